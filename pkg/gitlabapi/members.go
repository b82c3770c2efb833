package gitlabapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// memberRoutes returns the routes of the members of projects or groups.
func (api *directoryAPI) memberRoutes(kind project.Kind) []route {
	base := "/" + string(kind) + "s/{id}/members"
	return []route{
		{method: "GET", path: base, handle: api.listMembers, kind: kind},
		{method: "GET", path: base + "/all", handle: api.listEveryMember, kind: kind},
		{method: "GET", path: base + "/{user_id}", handle: api.getMember, kind: kind},
		{method: "GET", path: base + "/all/{user_id}", handle: api.getAnyMember, kind: kind},
		{method: "POST", path: base, handle: api.addMembers, kind: kind},
		{method: "PUT", path: base + "/{user_id}", handle: api.changeMember, kind: kind},
		{method: "DELETE", path: base + "/{user_id}", handle: api.removeMember, kind: kind},
	}
}

func (api *directoryAPI) listMembers(c *call) error { return api.members(c, false) }

func (api *directoryAPI) listEveryMember(c *call) error { return api.members(c, true) }

func (api *directoryAPI) members(c *call, inherited bool) error {
	filter := directory.MemberFilter{Search: c.text("query"), Inherited: inherited}
	for _, id := range c.ids("user_ids") {
		filter.Only = append(filter.Only, account.ID(id))
	}
	for _, id := range c.ids("skip_users") {
		filter.Without = append(filter.Without, account.ID(id))
	}
	page := c.paging()
	if err := c.faultWith(page); err != nil {
		return err
	}
	views, total, err := api.directory.ListMembers(c.ctx, c.by, c.route.kind, c.path("id"), filter, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	return c.page(page, total, each(views, c.memberWire))
}

// ids returns whole numbers: those of a list, or of one string with commas.
func (b *binder) ids(name string) (ids []int64) {
	elements, _ := b.elements(name)
	for _, element := range elements {
		text, _, problem := scalarText(element)
		for number := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			id, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				problem = "is invalid"
			}
			ids = append(ids, id)
		}
		if problem != "" {
			b.reject(name, string(problem))
			return nil
		}
	}
	return ids
}

func (api *directoryAPI) getMember(c *call) error { return api.member(c, false) }

func (api *directoryAPI) getAnyMember(c *call) error { return api.member(c, true) }

func (api *directoryAPI) member(c *call, inherited bool) error {
	view, err := api.directory.GetMember(c.ctx, c.by, c.route.kind, c.path("id"), c.memberID(), inherited)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.memberWire(view))
}

// memberID reads the id in the path. A malformed id is 0, so that a missing project is reported
// first.
func (c *call) memberID() account.ID {
	id, err := account.ParseID(c.path("user_id"))
	if err != nil {
		return 0
	}
	return id
}

func (api *directoryAPI) addMembers(c *call) error {
	wanted := directory.Addition{Level: c.requiredLevel("access_level")}
	who := c.accounts()
	wanted.ExpiresOn = c.day("expires_at")
	if err := c.fault(); err != nil {
		return err
	}
	if len(who) > 1 {
		return api.addMany(c, who, wanted)
	}
	view, err := api.addOne(c, who[0], wanted)
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, c.memberWire(view))
}

func (api *directoryAPI) addOne(c *call, who accountName, wanted directory.Addition) (directory.MemberView, error) {
	wanted.Account, wanted.Username = who.id, who.username
	view, err := api.directory.AddMember(c.ctx, c.by, c.route.kind, c.path("id"), wanted)
	if err != nil {
		return directory.MemberView{}, err
	}
	api.Log.Info("member added", c.facts("project_id", int64(view.Member.Project), "owner", int64(view.Account.ID),
		"access_level", int(view.Member.Level), "added_by", int64(c.by.Account.ID))...)
	return view, nil
}

// mostAdded is how many accounts one request may make members, as in GitLab.
const mostAdded = 50

var errTooMany = errBadRequest(fmt.Sprintf("too many users specified (limit is %d)", mostAdded))

// addMany adds several members one by one and reports the failures. An account that already is the
// wanted member is no failure, so that a client can repeat a request that failed half-way.
func (api *directoryAPI) addMany(c *call, who []accountName, wanted directory.Addition) error {
	if len(who) > mostAdded {
		return errTooMany
	}
	failures := map[string]string{}
	added := 0
	for _, name := range who {
		_, err := api.addOne(c, name, wanted)
		if errors.Is(err, directory.ErrMemberExists) && api.isMember(c, name, wanted) {
			err = nil
		}
		reason := failureOf(err)
		switch {
		case err == nil:
			added++
		case reason == "" && added == 0 && len(failures) == 0:
			return err // no addition can succeed
		case reason == "":
			// The members added so far remain.
			reason = "could not be added, try again"
			c.err = err
			fallthrough
		default:
			failures[name.given] = reason
		}
	}
	var body any = map[string]any{"status": "success"}
	if len(failures) > 0 {
		body = map[string]any{"status": "error", "message": failures}
	}
	return c.json(http.StatusCreated, body)
}

// failureOf returns why one account cannot become a member, or "" if the error is not about this
// account.
func failureOf(err error) string {
	var broken fault.Breaches
	switch {
	case errors.Is(err, directory.ErrNoAccount):
		return "User Not Found"
	case errors.Is(err, directory.ErrMemberExists):
		return "Member already exists"
	case errors.As(err, &broken) && len(broken.Of("account")) > 0:
		return byField(broken, words)["user"][0]
	default:
		return ""
	}
}

// isMember reports whether an account already is the wanted direct member.
func (api *directoryAPI) isMember(c *call, who accountName, wanted directory.Addition) bool {
	id := who.id
	if id == 0 {
		acct, err := api.directory.ByName(c.ctx, who.username)
		if err != nil {
			return false
		}
		id = acct.ID
	}
	view, err := api.directory.GetMember(c.ctx, c.by, c.route.kind, c.path("id"), id, false)
	return err == nil && view.Member.Level == wanted.Level && view.Member.ExpiresOn == wanted.ExpiresOn
}

// An accountName is how a request names an account: by id or by username.
type accountName struct {
	given    string
	id       account.ID
	username string
}

// accounts reads user_id or username, each one or several with commas.
func (b *binder) accounts() (names []accountName) {
	ids, usernames := b.text("user_id"), b.text("username")
	switch {
	case b.params.has("user_id") && b.params.has("username"):
		b.faults = append(b.faults, "user_id, username are mutually exclusive")
		return nil
	case !b.params.has("user_id") && !b.params.has("username"):
		b.faults = append(b.faults, "user_id, username are missing, at least one parameter must be provided")
		return nil
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(ids+usernames, ",") {
		name := accountName{given: strings.TrimSpace(part)}
		if ids == "" {
			name.username = name.given
		} else if id, err := account.ParseID(name.given); err == nil {
			name.id = id
		}
		// A malformed id has neither id nor username, and is nobody.
		if !seen[name.given] {
			seen[name.given] = true
			names = append(names, name)
		}
	}
	return names
}

// requiredLevel returns a required level. The directory checks whether it exists.
func (b *binder) requiredLevel(name string) project.Level {
	before := len(b.faults)
	value := b.required(name)
	level, err := strconv.Atoi(value)
	if err != nil && len(b.faults) == before {
		b.reject(name, "is invalid")
	}
	return project.Level(level)
}

func (api *directoryAPI) changeMember(c *call) error {
	level := c.requiredLevel("access_level")
	var expires *clock.Day
	if c.params.given("expires_at") { // null and an empty text remove the end
		day := c.day("expires_at")
		expires = &day
	}
	if err := c.fault(); err != nil {
		return err
	}
	view, err := api.directory.ChangeMember(c.ctx, c.by, c.route.kind, c.path("id"), c.memberID(), level, expires)
	if err != nil {
		return err
	}
	api.Log.Info("member changed", c.facts("project_id", int64(view.Member.Project), "owner", int64(view.Account.ID),
		"access_level", int(view.Member.Level), "changed_by", int64(c.by.Account.ID))...)
	return c.json(http.StatusOK, c.memberWire(view))
}

func (api *directoryAPI) removeMember(c *call) error {
	below := !c.truth("skip_subresources")
	if err := c.fault(); err != nil {
		return err
	}
	acct := c.memberID()
	pid, err := api.directory.RemoveMember(c.ctx, c.by, c.route.kind, c.path("id"), acct, below)
	if err != nil {
		return err
	}
	api.Log.Info("member removed", c.facts("project_id", int64(pid), "owner", int64(acct), "removed_by", int64(c.by.Account.ID))...)
	return c.noContent()
}

// memberJSON is a member on the wire; its id is the account's.
type memberJSON struct {
	basicUserJSON
	AccessLevel     int            `json:"access_level"`
	CreatedAt       string         `json:"created_at"`
	CreatedBy       *basicUserJSON `json:"created_by,omitempty"`
	ExpiresAt       *string        `json:"expires_at"`
	MembershipState string         `json:"membership_state"`
}

func (s site) memberWire(v directory.MemberView) memberJSON {
	wire := memberJSON{
		basicUserJSON: *s.basicUserWire(v.Account),
		AccessLevel:   int(v.Member.Level), CreatedAt: timestamp(v.Member.CreatedAt),
		ExpiresAt: optionalDay(v.Member.ExpiresOn), MembershipState: "active",
	}
	if v.Author.ID != 0 {
		wire.CreatedBy = s.basicUserWire(v.Author)
	}
	return wire
}
