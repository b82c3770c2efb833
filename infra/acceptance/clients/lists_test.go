//go:build acceptance

package clients_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

// listed is how many accounts and tokens there are: more than a list puts in the order of names.
const listed = 12_000

// crowded is a world with that many, of which one is the administrator's.
func crowded(t *testing.T) *localtest.World {
	t.Helper()
	w := localtest.Start(t, localtest.Options{})
	loader, err := storetest.NewLoader(t.Context(), w.Engine, w.Table, store.DefaultShards)
	if err != nil {
		t.Fatal(err)
	}
	others := storetest.Crowd{Owners: listed - 1, TokensEach: 1, First: 2, On: func(owner account.ID, _ int) clock.Day {
		return clock.DayOf(storetest.Now).AddDays(1 + int(owner)%300)
	}}
	if err := errors.Join(loader.Crowd(t.Context(), others), loader.Listed(t.Context(), others), loader.Walkable(t.Context(), others)); err != nil {
		t.Fatal(err)
	}
	return w
}

var (
	userOrders  = []string{"id", "created_at", "updated_at", "name", "username"}
	tokenOrders = []string{"id", "created", "updated", "expires", "name", "last_used"}
	directions  = []string{"asc", "desc"}
	paginations = []string{"offset", "keyset"}
)

// saw fails the test unless a walk saw each entry once, or was told at once that it cannot, which is so for orders
// that need everything to be read.
func saw(t *testing.T, name, got string) {
	t.Helper()
	each := fmt.Sprintf("%d %d", listed, listed)
	order := strings.Fields(name)[1]
	if got != each && (got != "405" || order != "name" && order != "username" && order != "last_used") {
		t.Errorf("%s: %s, want %s", name, got, each)
	}
}

func walks() (names []string) {
	for _, pagination := range paginations {
		for _, direction := range directions {
			for kind, orders := range map[string][]string{"users": userOrders, "tokens": tokenOrders} {
				for _, order := range orders {
					names = append(names, strings.Join([]string{kind, order, direction, pagination}, " "))
				}
			}
		}
	}
	return names
}

// Promise 7: the clients page through long lists in every order that they offer, by number and by cursor, and see each
// entry once.
func TestLongListsInScripts(t *testing.T) {
	t.Parallel()
	w := crowded(t)
	for name, command := range map[string][]string{
		"python-gitlab": {installed(t, "python"), filepath.Join("testdata", "lists.py")},
		"gitbeaker":     {localtest.Node(t), filepath.Join("testdata", "lists.mjs"), filepath.Join(localtest.Root(t), ".tools", "npm")},
	} {
		t.Run(name, func(t *testing.T) {
			run := exec.CommandContext(t.Context(), command[0], command[1:]...)
			run.Env = []string{"PATH=" + os.Getenv("PATH"), "LATCHKEY_URL=" + w.URL, "LATCHKEY_TOKEN=" + localtest.AdminBearer}
			var complaints strings.Builder
			run.Stderr = &complaints
			out, err := run.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, complaints.String())
			}
			said := map[string]string{}
			for line := range strings.Lines(string(out)) {
				walk, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				said[walk] = result
			}
			for _, walk := range walks() {
				saw(t, walk, said[walk])
			}
		})
	}
}

// Promise 7: the same for the official Go client, also in the loop that only counts pages.
func TestLongListsInGo(t *testing.T) {
	t.Parallel()
	w := crowded(t)
	client, err := gitlab.NewClient(localtest.AdminBearer, gitlab.WithBaseURL(w.URL))
	if err != nil {
		t.Fatal(err)
	}
	for _, pagination := range paginations {
		for _, direction := range directions {
			options := gitlab.ListOptions{PerPage: 100, Pagination: pagination}
			for _, order := range userOrders {
				list := &gitlab.ListUsersOptions{ListOptions: options, OrderBy: &order, Sort: &direction}
				all, err := gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.User, *gitlab.Response, error) {
					return client.Users.ListUsers(list, p)
				})
				saw(t, strings.Join([]string{"users", order, direction, pagination}, " "), counted(all, func(u *gitlab.User) int64 { return u.ID }, err))
			}
			for _, order := range tokenOrders {
				sort := order + "_" + direction
				list := &gitlab.ListPersonalAccessTokensOptions{ListOptions: options, Sort: &sort}
				all, err := gitlab.ScanAndCollect(func(p gitlab.PaginationOptionFunc) ([]*gitlab.PersonalAccessToken, *gitlab.Response, error) {
					return client.PersonalAccessTokens.ListPersonalAccessTokens(list, p)
				})
				saw(t, strings.Join([]string{"tokens", order, direction, pagination}, " "), counted(all, func(p *gitlab.PersonalAccessToken) int64 { return p.ID }, err))
			}
		}
	}
	var all []*gitlab.User
	for options := (gitlab.ListOptions{PerPage: 100, Page: 1}); options.Page != 0; {
		some, response, err := client.Users.ListUsers(&gitlab.ListUsersOptions{ListOptions: options})
		if err != nil {
			t.Fatal(err)
		}
		all, options.Page = append(all, some...), response.NextPage
	}
	saw(t, "users id desc by counting", counted(all, func(u *gitlab.User) int64 { return u.ID }, nil))
}

// counted returns how many entries and ids a walk saw, or the status of its refusal.
func counted[T any](all []T, id func(T) int64, err error) string {
	if refusal, ok := errors.AsType[*gitlab.ErrorResponse](err); ok {
		return fmt.Sprint(refusal.Response.StatusCode)
	}
	if err != nil {
		return err.Error()
	}
	ids := map[int64]bool{}
	for _, entry := range all {
		ids[id(entry)] = true
	}
	return fmt.Sprintf("%d %d", len(all), len(ids))
}
