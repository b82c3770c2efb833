package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// tokensPath is the list of one's own tokens, and the start of every page about them. It is GitLab's.
const tokensPath = "/-/user_settings/personal_access_tokens"

func (s *Site) tokenRoutes() []route {
	return append(s.tokenRoutesOf("", tokensPath),
		route{method: http.MethodGet, path: "/-/{$}", handle: home},
		route{method: http.MethodGet, path: "/-/profile/personal_access_tokens", open: true, handle: oldAddress},
		route{method: http.MethodGet, path: tokensPath + "/revoke_all", handle: s.askRevokeAll},
		route{method: http.MethodPost, path: tokensPath + "/revoke_all", handle: s.revokeAll},
	)
}

func home(v *visit) error { return v.redirect(tokensPath) }

// oldAddress redirects from the address that GitLab used to have. Links with prefilled values still
// use it.
func oldAddress(v *visit) error {
	to := tokensPath
	if v.r.URL.RawQuery != "" {
		to += "?" + v.r.URL.RawQuery
	}
	return v.redirect(to)
}

// perPage is how many tokens one page of the list shows. With 100, GitLab's number, it stays below 60 kB.
const perPage = 100

// A listPage is a list of tokens.
type listPage struct {
	place
	Tiles   []tile
	Columns []column
	Rows    []row
	Group   lifecycle.Group
	Search  string
	Sort    string // as in the URL; "" is the default
	// Total is the number of matches on all pages.
	Total int
	// Next and First are links, or "".
	Next, First string
	// Soon says of a project when its next token ends, if that is soon. The layout says it of one's own.
	Soon *soon
}

// A tile filters the list.
type tile struct {
	Label, Hint, Link string
	Count             int
	Current           bool
	Mark              string
}

// A column of the list; those that sort have a link.
type column struct{ Label, Link, Sorted string }

// A row is a token in a list.
type row struct {
	ID                token.ID
	Name, Description string
	// Level is the role of a project's token in words, or "".
	Level             string
	Scopes            []string
	Created, LastUsed moment
	Address           string
	State             state
	Networks          int
}

var groups = []struct {
	group             lifecycle.Group
	label, hint, mark string
}{
	{lifecycle.Working, "Active", "all that work", "good"},
	{lifecycle.Ending, "Ending", "within 14 days", "soon"},
	{lifecycle.Unused, "Unused", "for 90 days", "idle"},
	{lifecycle.Ended, "Ended", "expired or revoked", "over"},
}

var sortKeys = map[string]lifecycle.SortKey{
	"created": lifecycle.ByCreated, "expires": lifecycle.ByExpiry, "last_used": lifecycle.ByLastUse, "name": lifecycle.ByName,
}

// sortOf reads the API's names of orders, such as expires_asc. Anything else is the order by default.
func sortOf(text string) (lifecycle.Sort, string) {
	for _, direction := range []string{"_asc", "_desc"} {
		if key, known := sortKeys[strings.TrimSuffix(text, direction)]; known && strings.HasSuffix(text, direction) {
			return lifecycle.Sort{By: key, Descending: direction == "_desc"}, text
		}
	}
	return lifecycle.Sort{}, ""
}

// list shows an owner's tokens, or the form if a link fills it in.
func (s *Site) list(v *visit) error {
	query := v.r.URL.Query()
	if prefills(query) {
		return s.newToken(v)
	}
	o, err := s.ownerOf(v)
	if err != nil {
		return err
	}
	selection := lifecycle.Selection{Group: lifecycle.Working, Search: query.Get("search"), Limit: perPage}
	for _, g := range groups {
		if query.Get("state") == string(g.group) {
			selection.Group = g.group
		}
	}
	var sorted string
	selection.Sort, sorted = sortOf(query.Get("sort"))
	if sorted == "" { // what ends next comes first, and what was made last among the ended
		selection.Sort = lifecycle.Sort{By: lifecycle.ByExpiry}
		if selection.Group == lifecycle.Ended {
			selection.Sort = lifecycle.Sort{By: lifecycle.ByCreated, Descending: true}
		}
	}
	if id, err := token.ParseID(query.Get("after")); err == nil {
		selection.After = id
	}
	found, err := o.list(selection)
	if err != nil {
		return err
	}
	page := listPage{place: o.place, Group: selection.Group, Search: selection.Search, Sort: sorted, Total: found.Total}
	link := func(changes ...string) string {
		q := url.Values{}
		set := func(name, value string) {
			if q.Del(name); value != "" {
				q.Set(name, value)
			}
		}
		set("state", string(selection.Group))
		set("search", selection.Search)
		set("sort", sorted)
		for i := 0; i < len(changes); i += 2 {
			set(changes[i], changes[i+1])
		}
		return o.Path + "?" + q.Encode()
	}
	for _, g := range groups {
		page.Tiles = append(page.Tiles, tile{g.label, g.hint, link("state", string(g.group), "sort", ""), found.Counts[g.group], g.group == selection.Group, g.mark})
	}
	page.Columns = columns(selection, func(sort string) string { return link("sort", sort) })
	revoked, err := s.revocations(o, found.Views)
	if err != nil {
		return err
	}
	for _, view := range found.Views {
		page.Rows = append(page.Rows, rowOf(view, v.now, revoked[view.Token.ID]))
	}
	if found.More {
		page.Next = link("after", found.Views[len(found.Views)-1].Token.ID.String())
	}
	if selection.After != 0 {
		page.First = link()
	}
	if n := found.Counts[lifecycle.Ending]; o.own() {
		v.knowSoon(n, found.First) // the banner of every page
	} else if n > 0 {
		page.Soon = &soon{n, until(found.First, v.now), "this " + string(o.Kind), o.Path}
	}
	return v.render(http.StatusOK, "tokens", o.Heading(), page)
}

// columns are the list's columns. The link of the one that sorts turns the order around.
func columns(selection lifecycle.Selection, link func(sort string) string) []column {
	ends := "Ends"
	if selection.Group == lifecycle.Ended {
		ends = "Ended"
	}
	list := []column{{Label: "Name"}, {Label: "Scopes"}, {Label: "Created"}, {Label: "Last used"}, {Label: ends}}
	for i, key := range []string{"name", "", "created", "last_used", "expires"} {
		if key == "" || key == "expires" && selection.Group == lifecycle.Ended { // most ended otherwise
			continue
		}
		direction := "_asc"
		if sortKeys[key] == selection.Sort.By {
			list[i].Sorted = "ascending"
			if direction = "_desc"; selection.Sort.Descending {
				list[i].Sorted, direction = "descending", "_asc"
			}
		}
		list[i].Link = link(key + direction)
	}
	return list
}

func rowOf(view lifecycle.View, now time.Time, revoked *deed) row {
	t := view.Token
	r := row{
		ID: t.ID, Name: t.Name, Description: t.Description, Created: before(t.CreatedAt, now), LastUsed: before(t.LastUsedAt, now),
		State: stateOf(view, now, revoked), Networks: len(t.Networks),
	}
	if t.Kind.OfProject() {
		r.Level = levelWords(t.Level)
	}
	for _, s := range view.Scopes {
		r.Scopes = append(r.Scopes, string(s))
	}
	if len(t.LastUsedIPs) > 0 {
		r.Address = t.LastUsedIPs[0].String()
	}
	return r
}

// revocations finds who revoked tokens on request, in one walk through the events of that time.
func (s *Site) revocations(o owner, views []lifecycle.View) (map[token.ID]*deed, error) {
	const most = 500
	found := map[token.ID]*deed{}
	query := trail.Query{Name: audit.NameOf(o.tokenKind(), audit.Revoked), Want: listing.ByNumber(0, most)}
	for _, view := range views {
		if at := view.Token.RevokedAt; view.Token.RevokedReason == token.ReasonRequest {
			if query.From.IsZero() || at.Before(query.From) {
				query.From = at
			}
			if at.After(query.To) {
				query.To = at
			}
		}
	}
	if query.From.IsZero() {
		return found, nil
	}
	events, err := o.events(query)
	if err != nil {
		return nil, err
	}
	for _, e := range events.Events {
		d := o.v.deedOf(e, events)
		found[e.Token] = &d
	}
	return found, nil
}

// daysOf is the lifetime that a form chooses, in days, or 0. Without a session, nobody knows the longest.
func (v *visit) daysOf(form url.Values) int {
	if form.Get("expires") == onDay {
		day, err := clock.ParseDay(form.Get("expires_on"))
		if err != nil {
			return 0
		}
		return clock.DayOf(v.now).DaysUntil(day)
	}
	days, err := strconv.Atoi(form.Get("expires"))
	if err != nil {
		return 0
	}
	return days
}

// linkTo is the prefilled link with the values of a form.
func (v *visit) linkTo(form url.Values) url.Values {
	link := url.Values{}
	if description := form.Get("description"); description != "" {
		link.Set("description", description)
	}
	if scopes := form[scopesField]; len(scopes) > 0 {
		link.Set("scopes", strings.Join(scopes, ","))
	}
	if networks := splitList(form.Get("networks")); len(networks) > 0 {
		link.Set("allowed_cidrs", strings.Join(networks, ","))
	}
	if days := v.daysOf(form); days > 0 {
		link.Set("expires_in_days", strconv.Itoa(days))
	}
	if level := form.Get(levelField); level != "" {
		link.Set(levelField, level)
	}
	link.Set("name", form.Get("name")) // also an empty one, so that the link opens the form
	return link
}
