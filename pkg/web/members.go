package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
)

// A membersPage lists the members of a project or group.
type membersPage struct {
	Kind     project.Kind
	FullPath string
	Title    string
	// Path is the page itself. Tokens is the list of tokens, or "" for members who may not see it.
	Path, Tokens string
	Rows         []memberRow
	Total        int
	Search       string
	Next, First  string // links, or ""
}

type memberRow struct {
	Name, Username string
	Level          string
	// From is the group above that the membership comes from, or "".
	From string
	Ends moment
	Bot  bool
	// Token is the bot's newest token, with its link, if the person may see it.
	Token *botToken
}

type botToken struct {
	row
	Link string
}

// members lists people and bots, with inherited members. Every member may see them.
func (s *Site) members(v *visit) error {
	id, err := project.ParseID(v.path("project"))
	if err != nil {
		return err
	}
	kind, ref, query := v.route.kind, id.String(), v.r.URL.Query()
	proj, err := s.parts.Finder.GetProject(v.ctx, v.by, kind, ref)
	if err != nil {
		return err
	}
	pages := pagerOf(query, perPage)
	filter := directory.MemberFilter{Search: strings.TrimSpace(query.Get("search")), Inherited: true}
	found, total, err := s.parts.Finder.ListMembers(v.ctx, v.by, kind, ref, filter, pages.offset(), perPage)
	if err != nil {
		return err
	}
	around := v.base + projectPath(proj.Project)
	page := membersPage{
		Kind: kind, FullPath: proj.FullPath(), Title: proj.Project.Name, Path: around + "/members", Total: total, Search: filter.Search,
	}
	tokens, seen, err := s.tokensOfBots(v, kind, ref)
	if err != nil {
		return err
	}
	if seen {
		page.Tokens = around + "/access_tokens"
	}
	for _, m := range found {
		r := memberRow{
			Name: m.Account.Name, Username: m.Account.Username, Level: levelWords(m.Member.Level), Bot: m.Account.Bot, Ends: never("never"),
		}
		if on := m.Member.ExpiresOn; !on.IsZero() {
			r.Ends = until(on.Start(), v.now)
		}
		if i := slices.IndexFunc(proj.Above, func(g project.Project) bool { return g.ID == m.Member.Project }); i >= 0 {
			r.From = proj.Above[i].FullPath
		}
		if view, there := tokens[m.Account.ID]; there {
			r.Token = &botToken{rowOf(view, v.now, nil), page.Tokens + "/" + view.Token.ID.String()}
		}
		page.Rows = append(page.Rows, r)
	}
	page.First, page.Next = pages.links(page.Path, page.Search, total)
	return v.render(http.StatusOK, "members", "Members of "+page.FullPath, page)
}

// tokensOfBots returns the newest token of each bot of a project. seen is false for members who may
// not see the project's tokens.
func (s *Site) tokensOfBots(v *visit, kind project.Kind, ref string) (tokens map[account.ID]lifecycle.View, seen bool, err error) {
	views, err := s.parts.Lister.AllOfProject(v.ctx, v.by, kind, ref)
	if errors.Is(err, lifecycle.ErrNotManager) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	tokens = map[account.ID]lifecycle.View{}
	for _, view := range views { // by ascending id
		tokens[view.Token.Owner] = view
	}
	return tokens, true, nil
}

// A pager finds the pages of a list that is counted through.
type pager struct{ number, size int }

// pagerOf reads the parameter page; anything but a page that there can be is the first.
func pagerOf(query url.Values, size int) pager {
	number, err := strconv.Atoi(query.Get("page"))
	if err != nil || number < 1 || number > listing.MaxOffset/size {
		number = 1
	}
	return pager{number, size}
}

func (p pager) offset() int { return (p.number - 1) * p.size }

// links are those to the first and the next page of a list with total rows, or "".
func (p pager) links(path, search string, total int) (first, next string) {
	link := func(number int) string {
		q := url.Values{"page": {strconv.Itoa(number)}}
		if search != "" {
			q.Set("search", search)
		}
		return path + "?" + q.Encode()
	}
	if p.number > 1 {
		first = link(1)
	}
	if total > p.number*p.size {
		next = link(p.number + 1)
	}
	return first, next
}
