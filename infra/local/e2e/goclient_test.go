package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
)

// A wire is an HTTP client's transport that keeps the last reply, because the Go client drops the
// bodies of some.
type wire struct {
	next   http.RoundTripper
	status int
	body   string
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	next := w.next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	w.status, w.body = response.StatusCode, strings.TrimSpace(string(body))
	return response, nil
}

// client returns the official Go client with a bearer, without its retries.
func client(tb testing.TB, w *localtest.World, bearer string, options ...gitlab.ClientOptionFunc) *gitlab.Client {
	tb.Helper()
	c, err := gitlab.NewClient(bearer, append([]gitlab.ClientOptionFunc{gitlab.WithBaseURL(w.URL), gitlab.WithoutRetries()}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func day(text string) *gitlab.ISOTime {
	instant, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return gitlab.Ptr(gitlab.ISOTime(instant))
}

func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// must is for calls whose failure ends the test.
func must[T any](tb testing.TB) func(T, *gitlab.Response, error) T {
	return func(value T, _ *gitlab.Response, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return value
	}
}

// Promise 7: every method of the official client's token service works. The cases are compared with
// the service's interface, so a method that a newer client brings fails here until it has a case.
func TestEveryMethodOfTheTokenService(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	admin := client(t, w, root.Bearer)
	dora := newAccount(t, w, "dora")
	token := must[*gitlab.PersonalAccessToken](t)

	rotate := func(t *testing.T, call func(int64, *gitlab.RotatePersonalAccessTokenOptions, ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, *gitlab.Response, error)) {
		t.Helper()
		old := newToken(t, w, dora.ID, "to rotate", "2026-05-01", "read_user", "api")
		next, response, err := call(old.ID, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-06-01")})
		if err != nil {
			t.Fatal(err)
		}
		same := next.Name == "to rotate" && next.UserID == dora.ID && next.Active && !next.Revoked &&
			slices.Equal(next.Scopes, []string{"read_user", "api"}) && next.ExpiresAt.String() == "2026-06-01"
		if !same || response.StatusCode != http.StatusOK || next.ID <= old.ID {
			t.Errorf("successor %+v with status %d", next, response.StatusCode)
		}
		want(t, w, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
		want(t, w, old.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	}
	revoke := func(t *testing.T, call func(int64, ...gitlab.RequestOptionFunc) (*gitlab.Response, error)) {
		t.Helper()
		old := newToken(t, w, dora.ID, "to revoke", "2026-05-01")
		for range 2 { // revoking what is revoked is fine
			response, err := call(old.ID)
			if err != nil || response.StatusCode != http.StatusNoContent {
				t.Fatalf("%v, status %d", err, response.StatusCode)
			}
		}
		want(t, w, old.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	}
	cases := map[string]func(*testing.T){
		"ListPersonalAccessTokens": func(t *testing.T) {
			list, response, err := admin.PersonalAccessTokens.ListPersonalAccessTokens(nil)
			if err != nil || len(list) == 0 || int64(len(list)) != min(response.TotalItems, 20) {
				t.Errorf("%d tokens of %d: %v", len(list), response.TotalItems, err)
			}
		},
		"GetSinglePersonalAccessTokenByID": func(t *testing.T) {
			got := token(admin.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(dora.TokenID))
			if got.ID != dora.TokenID || got.UserID != dora.ID || got.Token != "" || !got.CreatedAt.Equal(localtest.Now) {
				t.Errorf("got %+v", got)
			}
		},
		"GetSinglePersonalAccessToken": func(t *testing.T) {
			got := token(client(t, w, dora.Bearer).PersonalAccessTokens.GetSinglePersonalAccessToken())
			if got.ID != dora.TokenID || got.Token != "" {
				t.Errorf("got %+v", got)
			}
		},
		"RotatePersonalAccessToken":     func(t *testing.T) { rotate(t, admin.PersonalAccessTokens.RotatePersonalAccessToken) },
		"RotatePersonalAccessTokenByID": func(t *testing.T) { rotate(t, admin.PersonalAccessTokens.RotatePersonalAccessTokenByID) },
		"RotatePersonalAccessTokenSelf": func(t *testing.T) {
			old := newToken(t, w, dora.ID, "rotates itself", "2026-05-01", "self_rotate")
			// Without options the client sends the four characters null.
			next := token(client(t, w, old.Token).PersonalAccessTokens.RotatePersonalAccessTokenSelf(nil))
			if next.ID <= old.ID || next.ExpiresAt.String() != "2026-03-26" {
				t.Errorf("successor %+v, want one that ends in a week", next)
			}
			got := token(client(t, w, next.Token).PersonalAccessTokens.GetSinglePersonalAccessToken())
			if got.ID != next.ID {
				t.Errorf("the new bearer belongs to %d, want %d", got.ID, next.ID)
			}
		},
		"RevokePersonalAccessToken":     func(t *testing.T) { revoke(t, admin.PersonalAccessTokens.RevokePersonalAccessToken) }, //nolint:staticcheck // the product promises all calls, deprecated ones too
		"RevokePersonalAccessTokenByID": func(t *testing.T) { revoke(t, admin.PersonalAccessTokens.RevokePersonalAccessTokenByID) },
		"RevokePersonalAccessTokenSelf": func(t *testing.T) {
			old := newToken(t, w, dora.ID, "ends itself", "2026-05-01", "k8s_proxy")
			response, err := client(t, w, old.Token).PersonalAccessTokens.RevokePersonalAccessTokenSelf()
			if err != nil || response.StatusCode != http.StatusNoContent {
				t.Fatalf("%v, status %d", err, response.StatusCode)
			}
			got := token(admin.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(old.ID))
			if !got.Revoked || got.Active {
				t.Errorf("got %+v, want a revoked token", got)
			}
		},
	}
	service := reflect.TypeFor[gitlab.PersonalAccessTokensServiceInterface]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		run := cases[name]
		if run == nil {
			t.Errorf("the client's method %s has no case", name)
			continue
		}
		t.Run(name, run)
	}
}

// listed is a world whose user has tokens of every sort. Each is made, used and ended on days of its
// own, so that every filter can tell them apart.
func listed(t *testing.T) (*localtest.World, holder) {
	t.Helper()
	w := localtest.Start(t, localtest.Options{})
	w.Clock.Set(instant("2026-01-10T12:00:00Z"))
	edda := newAccount(t, w, "edda") // not used until the list is asked for
	issue := func(at, name, expires string) personalToken {
		w.Clock.Set(instant(at))
		return newToken(t, w, edda.ID, name, expires)
	}
	use := func(at string, token personalToken) {
		w.Clock.Set(instant(at))
		want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusOK)
	}
	alpha := issue("2026-01-11T00:00:00Z", "Alpha deploy", "2026-06-01")
	beta := issue("2026-01-12T12:00:00Z", "beta export job", "2026-02-20")
	gamma := issue("2026-01-13T12:00:00Z", "gamma Deploy ci", "2026-04-01")
	issue("2026-01-14T12:00:00Z", "ci", "2026-05-01")
	use("2026-02-01T00:00:00Z", alpha)
	use("2026-02-10T12:00:00Z", beta)
	use("2026-02-15T12:00:00Z", gamma)
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", gamma.ID), "", http.StatusNoContent)
	w.Clock.Set(localtest.Now) // beta has expired
	return w, edda
}

// Names of the tokens that listed makes, by id.
const (
	first = "edda's"
	alpha = "Alpha deploy"
	beta  = "beta export job"
	gamma = "gamma Deploy ci"
	ci    = "ci"
)

func TestListFiltersAndOrders(t *testing.T) {
	t.Parallel()
	w, edda := listed(t)
	type options = gitlab.ListPersonalAccessTokensOptions
	text := gitlab.Ptr[string]
	for name, test := range map[string]struct {
		options options
		want    []string
	}{
		"everything, by ascending id":               {options{}, []string{first, alpha, beta, gamma, ci}},
		"state active":                              {options{State: text("active")}, []string{first, alpha, ci}},
		"state inactive is revoked or expired":      {options{State: text("inactive")}, []string{beta, gamma}},
		"revoked":                                   {options{Revoked: gitlab.Ptr(true)}, []string{gamma}},
		"not revoked, expired ones included":        {options{Revoked: gitlab.Ptr(false)}, []string{first, alpha, beta, ci}},
		"search without case":                       {options{Search: text("DEPLOY")}, []string{alpha, gamma}},
		"search for all of several words":           {options{Search: text("deploy gamma")}, []string{gamma}},
		"search passes over short words":            {options{Search: text("deploy ci")}, []string{alpha, gamma}},
		"search for a short word is the whole name": {options{Search: text("CI")}, []string{ci}},
		"search without a match":                    {options{Search: text("nothing")}, nil},
		"created after a day, its start included":   {options{CreatedAfter: day("2026-01-11")}, []string{alpha, beta, gamma, ci}},
		"created before a day, its start included":  {options{CreatedBefore: day("2026-01-11")}, []string{first, alpha}},
		"created within two days":                   {options{CreatedAfter: day("2026-01-12"), CreatedBefore: day("2026-01-14")}, []string{beta, gamma}},
		"last used after a day, its start included": {options{LastUsedAfter: day("2026-02-01")}, []string{alpha, beta, gamma}},
		"last used before, never used ones not":     {options{LastUsedBefore: day("2026-02-11")}, []string{alpha, beta}},
		"expires after a day, itself included":      {options{ExpiresAfter: day("2026-05-01")}, []string{first, alpha, ci}},
		"expires before a day, itself not":          {options{ExpiresBefore: day("2026-05-01")}, []string{beta, gamma}},
		"filters together":                          {options{State: text("active"), Search: text("deploy"), ExpiresAfter: day("2026-04-01")}, []string{alpha}},
		"sort created_asc":                          {options{Sort: text("created_asc")}, []string{first, alpha, beta, gamma, ci}},
		"sort created_desc":                         {options{Sort: text("created_desc")}, []string{ci, gamma, beta, alpha, first}},
		"sort expires_asc":                          {options{Sort: text("expires_asc")}, []string{beta, gamma, ci, alpha, first}},
		"sort expires_desc":                         {options{Sort: text("expires_desc")}, []string{first, alpha, ci, gamma, beta}},
		"sort last_used_asc, never used ones last":  {options{Sort: text("last_used_asc")}, []string{alpha, beta, gamma, first, ci}},
		"sort last_used_desc, never used ones first": {options{Sort: text("last_used_desc")},
			[]string{ci, first, gamma, beta, alpha}},
		"sort name_asc":           {options{Sort: text("name_asc")}, []string{alpha, beta, ci, first, gamma}},
		"sort name_desc":          {options{Sort: text("name_desc")}, []string{gamma, first, ci, beta, alpha}},
		"sort id_desc":            {options{Sort: text("id_desc")}, []string{ci, gamma, beta, alpha, first}},
		"sort created_at_desc":    {options{Sort: text("created_at_desc")}, []string{ci, gamma, beta, alpha, first}},
		"unknown sort is ignored": {options{Sort: text("colour_desc")}, []string{first, alpha, beta, gamma, ci}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for who, c := range map[string]*gitlab.Client{
				"administrator, one owner": client(t, w, root.Bearer),
				"administrator, everybody": client(t, w, root.Bearer),
			} {
				options := test.options
				if strings.HasSuffix(who, "owner") {
					options.UserID = &edda.ID
				}
				list := must[[]*gitlab.PersonalAccessToken](t)(c.PersonalAccessTokens.ListPersonalAccessTokens(&options))
				var names []string
				for _, token := range list {
					if token.Token != "" {
						t.Errorf("a list shows a bearer")
					}
					if token.UserID == edda.ID {
						names = append(names, token.Name)
					}
				}
				if !slices.Equal(names, test.want) {
					t.Errorf("%s: got %q, want %q", who, names, test.want)
				}
			}
		})
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	fred := newAccount(t, w, "fred")
	var ids []int64
	ids = append(ids, fred.TokenID)
	for range 24 {
		ids = append(ids, newToken(t, w, fred.ID, "one, two; three", "2026-05-01").ID)
	}
	fredsClient, admin := client(t, w, fred.Bearer), client(t, w, root.Bearer)
	list := func(c *gitlab.Client, options *gitlab.ListPersonalAccessTokensOptions) func(gitlab.PaginationOptionFunc) ([]*gitlab.PersonalAccessToken, *gitlab.Response, error) {
		return func(p gitlab.PaginationOptionFunc) ([]*gitlab.PersonalAccessToken, *gitlab.Response, error) {
			return c.PersonalAccessTokens.ListPersonalAccessTokens(options, p)
		}
	}
	idsOf := func(tokens []*gitlab.PersonalAccessToken) (ids []int64) {
		for _, token := range tokens {
			ids = append(ids, token.ID)
		}
		return ids
	}

	for name, walk := range map[string]func(*testing.T) []*gitlab.PersonalAccessToken{
		"scanner over the default page size": func(t *testing.T) []*gitlab.PersonalAccessToken {
			return collect(t, list(fredsClient, &gitlab.ListPersonalAccessTokensOptions{}))
		},
		"scanner over pages of four": func(t *testing.T) []*gitlab.PersonalAccessToken {
			return collect(t, list(fredsClient, &gitlab.ListPersonalAccessTokensOptions{ListOptions: gitlab.ListOptions{PerPage: 4}}))
		},
		"scanner with filter and order": func(t *testing.T) []*gitlab.PersonalAccessToken {
			return collect(t, list(admin, &gitlab.ListPersonalAccessTokensOptions{
				ListOptions: gitlab.ListOptions{PerPage: 7}, UserID: &fred.ID,
				State: gitlab.Ptr("active"), Sort: gitlab.Ptr("created_asc"), ExpiresAfter: day("2026-05-01"),
			}))
		},
		"classic loop over X-Next-Page": func(t *testing.T) (all []*gitlab.PersonalAccessToken) {
			options := &gitlab.ListPersonalAccessTokensOptions{ListOptions: gitlab.ListOptions{PerPage: 6, Page: 1}}
			for {
				page, response, err := fredsClient.PersonalAccessTokens.ListPersonalAccessTokens(options)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, page...)
				if response.NextPage == 0 {
					return all
				}
				options.Page = response.NextPage
			}
		},
		"whole Link addresses, as python-gitlab follows them": func(t *testing.T) (all []*gitlab.PersonalAccessToken) {
			next := w.URL + "/api/v4/personal_access_tokens?per_page=9&search=one,+two;&user_id=" + fmt.Sprint(fred.ID)
			next = strings.NewReplacer(",", "%2C", ";", "%3B").Replace(next)
			all = append(all, &gitlab.PersonalAccessToken{ID: fred.TokenID}) // does not match the search
			for next != "" {
				target, err := url.Parse(next)
				if err != nil || !strings.HasPrefix(next, w.URL+"/api/v4/") {
					t.Fatalf("link %q: %v", next, err)
				}
				response := w.Do(t, fred.Bearer, "GET", target.RequestURI(), "")
				var page []*gitlab.PersonalAccessToken
				decode(t, response.Body, &page)
				all = append(all, page...)
				next = linkTo(response.Header.Get("Link"), "next")
			}
			return all
		},
	} {
		t.Run(name+" finds each token once, in order", func(t *testing.T) {
			t.Parallel()
			if got := idsOf(walk(t)); !slices.Equal(got, ids) {
				t.Errorf("got %d ids %v, want %d %v", len(got), got, len(ids), ids)
			}
		})
	}
	for name, test := range map[string]struct {
		page, perPage                int64
		items                        int
		next, previous, total, pages int64
		links                        []string
	}{
		"first page":              {1, 10, 10, 2, 0, 25, 3, []string{"next", "first", "last"}},
		"middle page":             {2, 10, 10, 3, 1, 25, 3, []string{"prev", "next", "first", "last"}},
		"last page":               {3, 10, 5, 0, 2, 25, 3, []string{"prev", "first", "last"}},
		"a page beyond the end":   {9, 10, 0, 0, 0, 25, 3, []string{"first", "last"}},
		"pages of more than 100":  {1, 1000, 25, 0, 0, 25, 1, []string{"first", "last"}},
		"pages before the first":  {-3, 25, 25, 0, 0, 25, 1, []string{"first", "last"}},
		"exactly as many as wide": {1, 25, 25, 0, 0, 25, 1, []string{"first", "last"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, r, err := fredsClient.PersonalAccessTokens.ListPersonalAccessTokens(&gitlab.ListPersonalAccessTokensOptions{
				ListOptions: gitlab.ListOptions{Page: test.page, PerPage: test.perPage},
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) != test.items || r.NextPage != test.next || r.PreviousPage != test.previous || r.TotalItems != test.total ||
				r.TotalPages != test.pages || r.CurrentPage != max(test.page, 1) || r.ItemsPerPage != min(test.perPage, 100) {
				t.Errorf("got %d items, %+v", len(page), r)
			}
			var links []string
			for _, part := range strings.Split(r.Header.Get("Link"), ", ") {
				_, relation, _ := strings.Cut(part, "; rel=")
				links = append(links, strings.Trim(relation, `"`))
			}
			if !slices.Equal(links, test.links) {
				t.Errorf("links %q, want %q", links, test.links)
			}
			if r.FirstLink == "" || r.LastLink == "" || (r.NextLink != "") != (test.next != 0) || (r.PreviousLink != "") != (test.previous != 0) {
				t.Errorf("the client reads the links as %q %q %q %q", r.PreviousLink, r.NextLink, r.FirstLink, r.LastLink)
			}
		})
	}
}

// collect walks all pages with the client's own scanner.
func collect[T any](t *testing.T, list func(gitlab.PaginationOptionFunc) ([]T, *gitlab.Response, error)) []T {
	t.Helper()
	all, err := gitlab.ScanAndCollect(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func linkTo(header, relation string) string {
	for _, part := range strings.Split(header, ", ") {
		if target, found := strings.CutSuffix(part, `>; rel="`+relation+`"`); found {
			return strings.TrimPrefix(target, "<")
		}
	}
	return ""
}

func TestUsersThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	admin := client(t, w, root.Bearer)
	user := must[*gitlab.User](t)
	create := func(username string, adjust func(*gitlab.CreateUserOptions)) *gitlab.User {
		options := &gitlab.CreateUserOptions{
			Username: &username, Name: gitlab.Ptr("Name of " + username), Email: gitlab.Ptr(username + "@example.test"),
			ForceRandomPassword: gitlab.Ptr(true), SkipConfirmation: gitlab.Ptr(true),
		}
		if adjust != nil {
			adjust(options)
		}
		return user(admin.Users.CreateUser(options))
	}
	gina := create("gina", nil)
	w.Clock.Advance(24 * time.Hour)
	hugo := create("Hugo.H", func(o *gitlab.CreateUserOptions) { o.Admin, o.Note = gitlab.Ptr(true), gitlab.Ptr("on call") })
	ines := create("ines", func(o *gitlab.CreateUserOptions) { o.External = gitlab.Ptr(true) })
	if gina.ID != 2 || gina.State != "active" || gina.IsAdmin || gina.Bot || gina.Email != "gina@example.test" ||
		gina.WebURL != w.URL+"/gina" || !gina.CreatedAt.Equal(localtest.Now) {
		t.Errorf("created %+v", gina)
	}
	if !hugo.IsAdmin || hugo.Note != "on call" || !ines.External {
		t.Errorf("created %+v and %+v", hugo, ines)
	}
	if got := user(admin.Users.GetUser(hugo.ID, gitlab.GetUsersOptions{})); got.Username != "Hugo.H" || !got.IsAdmin {
		t.Errorf("got %+v", got)
	}
	if got := user(admin.Users.CurrentUser()); got.ID != root.ID || !got.IsAdmin {
		t.Errorf("current user is %+v", got)
	}
	if err := admin.Users.BlockUser(ines.ID); err != nil {
		t.Fatal(err)
	}

	type options = gitlab.ListUsersOptions
	yes := gitlab.Ptr(true)
	for name, test := range map[string]struct {
		options options
		want    []string
	}{
		"everybody, newest first":        {options{}, []string{"ines", "Hugo.H", "gina", "root"}},
		"username without case":          {options{Username: gitlab.Ptr("hugo.h")}, []string{"Hugo.H"}},
		"username of nobody":             {options{Username: gitlab.Ptr("nobody")}, nil},
		"search in usernames":            {options{Search: gitlab.Ptr("gin")}, []string{"gina"}},
		"search in names":                {options{Search: gitlab.Ptr("name of hugo")}, []string{"Hugo.H"}},
		"search in addresses":            {options{Search: gitlab.Ptr("ines@example")}, []string{"ines"}},
		"active":                         {options{Active: yes}, []string{"Hugo.H", "gina", "root"}},
		"blocked":                        {options{Blocked: yes}, []string{"ines"}},
		"not active":                     {options{ExcludeActive: yes}, []string{"ines"}},
		"external":                       {options{External: yes}, []string{"ines"}},
		"not external":                   {options{ExcludeExternal: yes}, []string{"Hugo.H", "gina", "root"}},
		"administrators":                 {options{Admins: yes}, []string{"Hugo.H", "root"}},
		"humans":                         {options{Humans: yes}, []string{"ines", "Hugo.H", "gina", "root"}},
		"no humans":                      {options{ExcludeHumans: yes}, nil},
		"without project bots":           {options{WithoutProjectBots: yes}, []string{"ines", "Hugo.H", "gina", "root"}},
		"created after an instant":       {options{CreatedAfter: gitlab.Ptr(localtest.Now.Add(time.Second))}, []string{"ines", "Hugo.H"}},
		"created before, itself counted": {options{CreatedBefore: gitlab.Ptr(localtest.Now)}, []string{"gina", "root"}},
		"by name, ascending":             {options{OrderBy: gitlab.Ptr("name"), Sort: gitlab.Ptr("asc")}, []string{"Hugo.H", "gina", "ines", "root"}},
		"by username, descending":        {options{OrderBy: gitlab.Ptr("username"), Sort: gitlab.Ptr("desc")}, []string{"root", "ines", "Hugo.H", "gina"}},
		"by id, ascending, second page":  {options{Sort: gitlab.Ptr("asc"), ListOptions: gitlab.ListOptions{Page: 2, PerPage: 3}}, []string{"ines"}},
	} {
		t.Run("list: "+name, func(t *testing.T) {
			t.Parallel()
			users := must[[]*gitlab.User](t)(admin.Users.ListUsers(&test.options))
			var names []string
			for _, u := range users {
				names = append(names, u.Username)
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("got %q, want %q", names, test.want)
			}
		})
	}
	t.Run("pages of users, with the scanner", func(t *testing.T) {
		t.Parallel()
		users := collect(t, func(p gitlab.PaginationOptionFunc) ([]*gitlab.User, *gitlab.Response, error) {
			return admin.Users.ListUsers(&options{ListOptions: gitlab.ListOptions{PerPage: 1}}, p)
		})
		if len(users) != 4 {
			t.Errorf("%d users, want 4", len(users))
		}
	})
}

func TestTokensAreCreatedThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	jonas := newAccount(t, w, "jonas")
	token := must[*gitlab.PersonalAccessToken](t)
	made, response, err := client(t, w, root.Bearer).Users.CreatePersonalAccessToken(jonas.ID, &gitlab.CreatePersonalAccessTokenOptions{
		Name: gitlab.Ptr("nightly"), Description: gitlab.Ptr("pulls <figures> & more"), Scopes: &[]string{"self_rotate", "read_api"}, ExpiresAt: day("2026-06-02"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusCreated || made.Name != "nightly" || made.Description != "pulls <figures> & more" || made.UserID != jonas.ID ||
		!slices.Equal(made.Scopes, []string{"self_rotate", "read_api"}) || made.ExpiresAt.String() != "2026-06-02" || !made.Active || made.Revoked || made.LastUsedAt != nil {
		t.Errorf("created %+v with status %d", made, response.StatusCode)
	}
	self := token(client(t, w, made.Token).PersonalAccessTokens.GetSinglePersonalAccessToken())
	if self.ID != made.ID {
		t.Errorf("the bearer belongs to %d, want %d", self.ID, made.ID)
	}
	weaker, response, err := client(t, w, jonas.Bearer).Users.CreatePersonalAccessTokenForCurrentUser(&gitlab.CreatePersonalAccessTokenForCurrentUserOptions{
		Name: gitlab.Ptr("cluster"), Scopes: &[]string{"k8s_proxy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusCreated || weaker.UserID != jonas.ID || weaker.ExpiresAt.String() != "2026-09-01" {
		t.Errorf("created %+v with status %d, want one that ends with its maker", weaker, response.StatusCode)
	}
	if long := token(client(t, w, root.Bearer).Users.CreatePersonalAccessToken(jonas.ID, &gitlab.CreatePersonalAccessTokenOptions{
		Name: gitlab.Ptr("long"), Scopes: &[]string{"api"},
	})); long.ExpiresAt.String() != "2027-03-19" {
		t.Errorf("a token without a date ends on %s, want 365 days from now", long.ExpiresAt)
	}
}

func TestVersionAndMetadataThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	c := client(t, w, newAccount(t, w, "karl", "read_user").Bearer)
	if version := must[*gitlab.Version](t)(c.Version.GetVersion()); version.Version != "18.4.0" || version.Revision == "" {
		t.Errorf("version %+v", version)
	}
	if metadata := must[*gitlab.Metadata](t)(c.Metadata.GetMetadata()); metadata.Version != "18.4.0" || metadata.Enterprise || metadata.KAS.Enabled {
		t.Errorf("metadata %+v", metadata)
	}
}

// Promise 7 for refusals: what the client shows to people has the reference's status and words.
func TestRefusalsThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	lena := newAccount(t, w, "lena")
	reader := newToken(t, w, lena.ID, "reader", "2026-09-01", "read_api")
	rotator := newToken(t, w, lena.ID, "rotator", "2026-09-01", "self_rotate")
	expired := newToken(t, w, lena.ID, "expired", "2026-03-20")
	both := newToken(t, w, lena.ID, "expired and revoked", "2026-03-20")
	revoked := newToken(t, w, lena.ID, "revoked", "2026-09-01")
	for _, id := range []int64{revoked.ID, both.ID} {
		want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", id), "", http.StatusNoContent)
	}
	blocked := newAccount(t, w, "mats")
	want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", blocked.ID), "", http.StatusCreated)
	w.Clock.Set(instant("2026-03-20T00:00:00Z"))

	const unknownID, unknownUser = 1<<22 + 4000, 4000
	type call func(c *gitlab.Client) error
	self := func(c *gitlab.Client) error {
		_, _, err := c.PersonalAccessTokens.GetSinglePersonalAccessToken()
		return err
	}
	get := func(id int64) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(id)
			return err
		}
	}
	rotate := func(id int64, on *gitlab.ISOTime) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.PersonalAccessTokens.RotatePersonalAccessTokenByID(id, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: on})
			return err
		}
	}
	rotateSelf := func(c *gitlab.Client) error {
		_, _, err := c.PersonalAccessTokens.RotatePersonalAccessTokenSelf(nil)
		return err
	}
	revoke := func(id int64) call {
		return func(c *gitlab.Client) error {
			_, err := c.PersonalAccessTokens.RevokePersonalAccessTokenByID(id)
			return err
		}
	}
	list := func(options gitlab.ListPersonalAccessTokensOptions) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.PersonalAccessTokens.ListPersonalAccessTokens(&options)
			return err
		}
	}
	createFor := func(user int64, options gitlab.CreatePersonalAccessTokenOptions) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.Users.CreatePersonalAccessToken(user, &options)
			return err
		}
	}
	createForSelf := func(options gitlab.CreatePersonalAccessTokenForCurrentUserOptions) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.Users.CreatePersonalAccessTokenForCurrentUser(&options)
			return err
		}
	}
	createUser := func(username, email string) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.Users.CreateUser(&gitlab.CreateUserOptions{Username: &username, Name: &username, Email: &email, ForceRandomPassword: gitlab.Ptr(true)})
			return err
		}
	}
	user := func(id int64) call {
		return func(c *gitlab.Client) error {
			_, _, err := c.Users.GetUser(id, gitlab.GetUsersOptions{})
			return err
		}
	}
	block := func(id int64) call { return func(c *gitlab.Client) error { return c.Users.BlockUser(id) } }
	unblock := func(id int64) call { return func(c *gitlab.Client) error { return c.Users.UnblockUser(id) } }
	name, scopes := gitlab.Ptr("x"), &[]string{"read_api"}
	ordinary := gitlab.CreatePersonalAccessTokenOptions{Name: name, Scopes: scopes}

	const (
		lacking = `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"%s"}`
		general = "api read_api"
	)
	forbidden := `{"message":"403 Forbidden"}`
	for name, test := range map[string]struct {
		bearer string
		call   call
		status int
		body   string
	}{
		"expired token": {expired.Token, self, 401, expiredBody},
		"expired and revoked token is called expired": {both.Token, self, 401, expiredBody},
		"revoked token":                                 {revoked.Token, self, 401, revokedBody},
		"unknown token":                                 {"no-such-token-anywhere", self, 401, unauthorizedBody},
		"no token":                                      {"", self, 401, unauthorizedBody},
		"token of a blocked account":                    {blocked.Bearer, self, 403, blockedBody},
		"read_api token revokes":                        {reader.Token, revoke(lena.TokenID), 403, fmt.Sprintf(lacking, general)},
		"read_api token rotates by id":                  {reader.Token, rotate(lena.TokenID, nil), 403, fmt.Sprintf(lacking, general)},
		"read_api token rotates itself":                 {reader.Token, rotateSelf, 403, fmt.Sprintf(lacking, "api self_rotate read_api")},
		"self_rotate token lists":                       {rotator.Token, list(gitlab.ListPersonalAccessTokensOptions{}), 403, fmt.Sprintf(lacking, general)},
		"self_rotate token looks at its owner":          {rotator.Token, func(c *gitlab.Client) error { _, _, err := c.Users.CurrentUser(); return err }, 403, fmt.Sprintf(lacking, "read_user api read_api")},
		"foreign token is looked at":                    {lena.Bearer, get(root.TokenID), 401, unauthorizedBody},
		"unknown token is looked at":                    {lena.Bearer, get(unknownID), 401, unauthorizedBody},
		"administrator looks at an unknown token":       {root.Bearer, get(unknownID), 404, `{"message":"404 Not Found"}`},
		"foreign token is rotated":                      {lena.Bearer, rotate(root.TokenID, nil), 401, unauthorizedBody},
		"administrator rotates an unknown token":        {root.Bearer, rotate(unknownID, nil), 404, `{"message":"404 Not Found"}`},
		"revoked token is rotated by id":                {root.Bearer, rotate(revoked.ID, nil), 400, `{"message":"400 Bad request - Token already revoked"}`},
		"rotation beyond the limit":                     {root.Bearer, rotate(lena.TokenID, day("2027-03-21")), 400, `{"message":"400 Bad request - Expiration date must be before 2027-03-20"}`},
		"foreign token is revoked":                      {lena.Bearer, revoke(root.TokenID), 404, `{"message":"404 Not found"}`},
		"unknown token is revoked":                      {root.Bearer, revoke(unknownID), 404, `{"message":"404 Not found"}`},
		"list of somebody else":                         {lena.Bearer, list(gitlab.ListPersonalAccessTokensOptions{UserID: gitlab.Ptr(root.ID)}), 401, unauthorizedBody},
		"list of an unknown owner":                      {root.Bearer, list(gitlab.ListPersonalAccessTokensOptions{UserID: gitlab.Ptr[int64](unknownUser)}), 404, `{"message":"404 Not Found"}`},
		"list of an unknown state":                      {root.Bearer, list(gitlab.ListPersonalAccessTokensOptions{State: gitlab.Ptr("asleep")}), 400, `{"error":"state does not have a valid value"}`},
		"non-administrator creates for somebody":        {lena.Bearer, createFor(root.ID, ordinary), 403, forbidden},
		"non-administrator creates for self through it": {lena.Bearer, createFor(lena.ID, ordinary), 403, forbidden},
		"creation for nobody":                           {root.Bearer, createFor(unknownUser, ordinary), 404, `{"message":"404 User Not Found"}`},
		"creation without name and scopes":              {root.Bearer, createFor(lena.ID, gitlab.CreatePersonalAccessTokenOptions{}), 400, `{"error":"name is missing, scopes is missing"}`},
		"creation with a blank name":                    {root.Bearer, createFor(lena.ID, gitlab.CreatePersonalAccessTokenOptions{Name: gitlab.Ptr(" "), Scopes: scopes}), 422, `{"message":"Name can't be blank"}`},
		"creation with an unknown scope":                {root.Bearer, createFor(lena.ID, gitlab.CreatePersonalAccessTokenOptions{Name: name, Scopes: &[]string{"everything"}}), 400, `{"error":"scopes does not have a valid value"}`},
		"creation beyond the limit":                     {root.Bearer, createFor(lena.ID, gitlab.CreatePersonalAccessTokenOptions{Name: name, Scopes: scopes, ExpiresAt: day("2027-03-21")}), 422, `{"message":"Expiration date must be before 2027-03-20"}`},
		"creation for oneself with a stronger scope":    {reader.Token, createForSelf(gitlab.CreatePersonalAccessTokenForCurrentUserOptions{Name: name, Scopes: &[]string{"api"}}), 403, fmt.Sprintf(lacking, "read_user api read_api")},
		"creation for oneself with an administrator's":  {lena.Bearer, createForSelf(gitlab.CreatePersonalAccessTokenForCurrentUserOptions{Name: name, Scopes: &[]string{"sudo"}}), 400, `{"error":"scopes does not have a valid value"}`},
		"creation for oneself beyond the presented one": {lena.Bearer, createForSelf(gitlab.CreatePersonalAccessTokenForCurrentUserOptions{Name: name, Scopes: scopes, ExpiresAt: day("2026-09-02")}), 422, `{"message":"Expiration date must be before 2026-09-01"}`},
		"non-administrator creates a user":              {lena.Bearer, createUser("nina", "nina@example.test"), 403, forbidden},
		"username in use":                               {root.Bearer, createUser("LENA", "other@example.test"), 409, `{"message":"Username has already been taken"}`},
		"address in use":                                {root.Bearer, createUser("lena", "lena@example.test"), 409, `{"message":"Email has already been taken"}`},
		"non-administrator blocks":                      {lena.Bearer, block(root.ID), 403, forbidden},
		"non-administrator unblocks":                    {lena.Bearer, unblock(blocked.ID), 403, forbidden},
		"administrator blocks nobody":                   {root.Bearer, block(unknownUser), 404, `{"message":"404 User Not Found"}`},
		"administrator blocks themselves":               {root.Bearer, block(root.ID), 403, `{"message":"403 Forbidden - The API initiating user cannot be blocked by the API"}`},
		"non-administrator looks at somebody":           {lena.Bearer, user(root.ID), 404, `{"message":"404 User Not Found"}`},
		"administrator looks at nobody":                 {root.Bearer, user(unknownUser), 404, `{"message":"404 User Not Found"}`},
		"token for a blocked account":                   {root.Bearer, createFor(blocked.ID, ordinary), 422, `{"message":"Not permitted to create"}`},
		"sudo without being an administrator":           {lena.Bearer, func(c *gitlab.Client) error { _, _, err := c.Users.CurrentUser(gitlab.WithSudo("root")); return err }, 403, `{"message":"403 Forbidden - Must be admin to use sudo"}`},
		"sudo to a blocked account":                     {root.Bearer, func(c *gitlab.Client) error { _, _, err := c.Users.CurrentUser(gitlab.WithSudo("MATS")); return err }, 403, blockedBody},
		"sudo to nobody":                                {root.Bearer, func(c *gitlab.Client) error { _, _, err := c.Users.CurrentUser(gitlab.WithSudo(123)); return err }, 404, `{"message":"404 User with ID or username '123' Not Found"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := &wire{}
			err := test.call(client(t, w, test.bearer, gitlab.WithHTTPClient(&http.Client{Transport: last})))
			if err == nil {
				t.Fatalf("no error; status %d: %s", last.status, last.body)
			}
			if last.status != test.status || last.body != test.body {
				t.Errorf("got %d %s\nwant %d %s", last.status, last.body, test.status, test.body)
			}
			if refusal := (*gitlab.ErrorResponse)(nil); errors.As(err, &refusal) && !refusal.HasStatusCode(test.status) {
				t.Errorf("the client reports %v", err)
			}
		})
	}
}

// Blocking and unblocking work through the client, which accepts no status but 201 for the latter.
func TestBlockedUserComesBack(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	olaf := newAccount(t, w, "olaf")
	users := client(t, w, root.Bearer).Users
	for _, step := range []struct {
		name   string
		call   func(int64, ...gitlab.RequestOptionFunc) error
		status int
	}{
		{"blocked", users.BlockUser, http.StatusForbidden},
		{"blocked again", users.BlockUser, http.StatusForbidden},
		{"unblocked", users.UnblockUser, http.StatusOK},
		{"unblocked again", users.UnblockUser, http.StatusOK},
	} {
		if err := step.call(olaf.ID); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		want(t, w, olaf.Bearer, "GET", "/api/v4/user", "", step.status)
	}
}

// Promise 7: the official client acts as another account, by id and by username, with that account's
// rights, and the presented token stays the administrator's.
func TestSudoThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	nora := newAccount(t, w, "nora")
	onlySudo := client(t, w, newToken(t, w, root.ID, "acts as others", "2026-09-01", "sudo").Token)
	for name, as := range map[string]gitlab.RequestOptionFunc{
		"id": gitlab.WithSudo(nora.ID), "username": gitlab.WithSudo("Nora"),
	} {
		t.Run(name, func(t *testing.T) {
			user := must[*gitlab.User](t)(onlySudo.Users.CurrentUser(as))
			if user.ID != nora.ID || user.IsAdmin {
				t.Errorf("is %d, administrator %t", user.ID, user.IsAdmin)
			}
			list := must[[]*gitlab.PersonalAccessToken](t)(onlySudo.PersonalAccessTokens.ListPersonalAccessTokens(nil, as))
			if len(list) == 0 || slices.ContainsFunc(list, func(p *gitlab.PersonalAccessToken) bool { return p.UserID != nora.ID }) {
				t.Errorf("sees %+v", list)
			}
			if self := must[*gitlab.PersonalAccessToken](t)(onlySudo.PersonalAccessTokens.GetSinglePersonalAccessToken(as)); self.UserID != root.ID {
				t.Errorf("the presented token is said to be of %d", self.UserID)
			}
			if err := onlySudo.Users.BlockUser(root.ID, as); err == nil {
				t.Error("an account without the right has blocked another")
			}
		})
	}
	// Without sudo in the request the scope opens nothing.
	if _, response, err := onlySudo.Users.CurrentUser(); err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("without sudo: %v", err)
	}
	made := must[*gitlab.PersonalAccessToken](t)(client(t, w, root.Bearer).Users.CreatePersonalAccessTokenForCurrentUser(
		&gitlab.CreatePersonalAccessTokenForCurrentUserOptions{Name: gitlab.Ptr("for nora"), Scopes: &[]string{"api"}}, gitlab.WithSudo(nora.ID)))
	if made.UserID != nora.ID {
		t.Errorf("made for %d", made.UserID)
	}
	if _, err := onlySudo.PersonalAccessTokens.RevokePersonalAccessTokenSelf(gitlab.WithSudo(nora.ID)); err != nil {
		t.Errorf("revoking itself: %v", err)
	}
	want(t, w, nora.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
}

// Promise 7: the official client's four methods for impersonation tokens work.
func TestImpersonationThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	olga := newAccount(t, w, "olga")
	admin := client(t, w, root.Bearer)
	one, all := must[*gitlab.ImpersonationToken](t), must[[]*gitlab.ImpersonationToken](t)
	made := one(admin.Users.CreateImpersonationToken(olga.ID, &gitlab.CreateImpersonationTokenOptions{
		Name: gitlab.Ptr("support-visit"), Scopes: &[]string{"api", "read_user"}, ExpiresAt: gitlab.Ptr(instant("2026-03-26T00:00:00Z")),
	}))
	if !made.Active || made.Revoked || made.ExpiresAt.String() != "2026-03-26" || !slices.Equal(made.Scopes, []string{"api", "read_user"}) || !strings.HasPrefix(made.Token, "lkimp_") {
		t.Errorf("made %+v", made)
	}

	// It acts as the account, at the API and behind the authorizer, which names who is behind it.
	hers := client(t, w, made.Token)
	if user := must[*gitlab.User](t)(hers.Users.CurrentUser()); user.ID != olga.ID {
		t.Errorf("acts as %d", user.ID)
	}
	for _, f := range formats {
		answer, err := decide(t.Context(), w, f, "GET", "/orders", made.Token)
		if err != nil || !answer.allowed || !strings.Contains(answer.raw, fmt.Sprintf(`"impersonator_id":"%d"`, root.ID)) {
			t.Errorf("%s: %s, %v", f.name, answer.raw, err)
		}
	}
	_, response, err := hers.Users.CreatePersonalAccessTokenForCurrentUser(&gitlab.CreatePersonalAccessTokenForCurrentUserOptions{
		Name: gitlab.Ptr("stays"), Scopes: &[]string{"k8s_proxy"}})
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("made an ordinary token: %v", err)
	}

	// Administrators see it among the account's, the account does not.
	second := newImpersonation(t, w, olga.ID, "second")
	got := one(admin.Users.GetImpersonationToken(olga.ID, made.ID))
	if got.ID != made.ID || got.Token != "" || got.LastUsedAt == nil {
		t.Errorf("got %+v", got)
	}
	ids := func(state string) (ids []int64) {
		walk := func(p gitlab.PaginationOptionFunc) ([]*gitlab.ImpersonationToken, *gitlab.Response, error) {
			return admin.Users.GetAllImpersonationTokens(olga.ID, &gitlab.GetAllImpersonationTokensOptions{
				ListOptions: gitlab.ListOptions{PerPage: 1}, State: &state}, p)
		}
		for _, token := range collect(t, walk) {
			ids = append(ids, token.ID)
		}
		return ids
	}
	if list := all(admin.Users.GetAllImpersonationTokens(olga.ID, nil)); len(list) != 2 {
		t.Errorf("listed %+v", list)
	}
	for _, token := range must[[]*gitlab.PersonalAccessToken](t)(client(t, w, olga.Bearer).PersonalAccessTokens.ListPersonalAccessTokens(nil)) {
		if token.ID != olga.TokenID {
			t.Errorf("the account sees %+v", token)
		}
	}
	if _, response, err := admin.Users.GetImpersonationToken(olga.ID, olga.TokenID); err == nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("an ordinary token is found: %v", err)
	}

	if _, err := admin.Users.RevokeImpersonationToken(olga.ID, made.ID); err != nil {
		t.Error(err)
	}
	want(t, w, made.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	for state, expected := range map[string][]int64{"all": {made.ID, second.ID}, "active": {second.ID}, "inactive": {made.ID}} {
		if got := ids(state); !slices.Equal(got, expected) {
			t.Errorf("%s: %v, want %v", state, got, expected)
		}
	}
	condition := gitlab.WithHeader("If-Unmodified-Since", "Thu, 19 Mar 2026 07:59:59 GMT")
	if response, err := admin.Users.RevokeImpersonationToken(olga.ID, second.ID, condition); err == nil || response.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("revoked what has changed: %v", err)
	}
	want(t, w, second.Token, "GET", "/api/v4/user", "", http.StatusOK)
	if _, response, err := client(t, w, olga.Bearer).Users.GetAllImpersonationTokens(olga.ID, nil); err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("the account lists them: %v", err)
	}
}
