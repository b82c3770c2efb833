package gitlabapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

// memberRoutes are the members of projects or groups, which differ in the base
// and in who may change them.
func (api *directoryAPI) memberRoutes(kind project.Kind) []route {
	base := "/" + string(kind) + "s/{id}/members"
	m := memberAPI{api, kind}
	return []route{
		{method: "GET", path: base, handle: m.listDirect},
		{method: "GET", path: base + "/all", handle: m.listAll},
		{method: "GET", path: base + "/{user_id}", handle: m.getDirect},
		{method: "GET", path: base + "/all/{user_id}", handle: m.getAny},
		{method: "POST", path: base, handle: m.add},
		{method: "PUT", path: base + "/{user_id}", handle: m.change},
		{method: "DELETE", path: base + "/{user_id}", handle: m.remove},
	}
}

type memberAPI struct {
	*directoryAPI
	kind project.Kind
}

func (api memberAPI) listDirect(w http.ResponseWriter, r *http.Request) error {
	return api.list(w, r, false)
}

func (api memberAPI) listAll(w http.ResponseWriter, r *http.Request) error {
	return api.list(w, r, true)
}

func (api memberAPI) list(w http.ResponseWriter, r *http.Request, inherited bool) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	filter := directory.MemberFilter{Search: b.text("query"), Inherited: inherited}
	for _, id := range b.ids("user_ids") {
		filter.Only = append(filter.Only, account.ID(id))
	}
	for _, id := range b.ids("skip_users") {
		filter.Without = append(filter.Without, account.ID(id))
	}
	page := b.paging()
	if err := b.faultWith(page); err != nil {
		return err
	}
	views, total, err := api.directory.ListMembers(r.Context(), principal.From(r.Context()), api.kind, r.PathValue("id"), filter, page.offset(), page.perPage)
	if err != nil {
		return err
	}
	api.writePageHeaders(w, r, page, total)
	wire := make([]memberJSON, len(views))
	for i, view := range views {
		wire[i] = api.memberWire(r.Context(), view)
	}
	writeJSON(w, http.StatusOK, wire)
	return nil
}

// ids returns whole numbers: a JSON array, repeated as name[], or one string
// with commas.
func (b *binder) ids(name string) (ids []int64) {
	values := append(append([]any{}, b.params[name]...), b.params[name+"[]"]...)
	for len(values) > 0 {
		value := values[0]
		values = values[1:]
		var digits []string
		switch value := value.(type) {
		case nil:
		case []any:
			values = append(values, value...)
		case json.Number:
			digits = []string{value.String()}
		case string:
			digits = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		default:
			digits = []string{""}
		}
		for _, text := range digits {
			id, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				b.reject(name, "is invalid")
				return nil
			}
			ids = append(ids, id)
		}
	}
	return ids
}

func (api memberAPI) getDirect(w http.ResponseWriter, r *http.Request) error {
	return api.get(w, r, false)
}

func (api memberAPI) getAny(w http.ResponseWriter, r *http.Request) error {
	return api.get(w, r, true)
}

func (api memberAPI) get(w http.ResponseWriter, r *http.Request, inherited bool) error {
	view, err := api.directory.GetMember(r.Context(), principal.From(r.Context()), api.kind, r.PathValue("id"), memberID(r), inherited)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.memberWire(r.Context(), view))
	return nil
}

// memberID reads the path. What is no id is nobody's: 0, so that a project that
// is not there is reported first.
func memberID(r *http.Request) account.ID {
	id, err := account.ParseID(r.PathValue("user_id"))
	if err != nil {
		return 0
	}
	return id
}

func (api memberAPI) add(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	wanted := directory.Addition{Level: b.requiredLevel("access_level")}
	who := b.accounts()
	wanted.ExpiresOn = b.day("expires_at")
	if err := b.fault(); err != nil {
		return err
	}
	if len(who) > 1 {
		return api.addMany(w, r, who, wanted)
	}
	view, err := api.addOne(r, who[0], wanted)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, api.memberWire(r.Context(), view))
	return nil
}

func (api memberAPI) addOne(r *http.Request, who accountName, wanted directory.Addition) (directory.MemberView, error) {
	by := principal.From(r.Context())
	wanted.Account, wanted.Username = who.id, who.username
	view, err := api.directory.AddMember(r.Context(), by, api.kind, r.PathValue("id"), wanted)
	if err != nil {
		return directory.MemberView{}, err
	}
	api.Log.Info("member added", facts(r, "resource_id", int64(view.Member.Project), "owner", int64(view.Account.ID),
		"access_level", int(view.Member.Level), "added_by", int64(by.Account.ID))...)
	return view, nil
}

// mostAdded is how many accounts one request may make members, as in GitLab.
const mostAdded = 50

var errTooMany = fmt.Errorf("too many users specified (limit is %d)", mostAdded)

// addMany makes several accounts members, each by itself, and reports those
// that it could not. One who is a member already in the way that is asked for is
// no failure: a request that was answered half-way can be sent again.
func (api memberAPI) addMany(w http.ResponseWriter, r *http.Request, who []accountName, wanted directory.Addition) error {
	if len(who) > mostAdded {
		return &badRequest{errTooMany}
	}
	failures := map[string]string{}
	added := 0
	for _, name := range who {
		_, err := api.addOne(r, name, wanted)
		if errors.Is(err, directory.ErrMemberExists) && api.isMember(r, name, wanted) {
			err = nil
		}
		reason := failureOf(err)
		switch {
		case err == nil:
			added++
		case reason == "" && added == 0 && len(failures) == 0:
			return err // not about this account: nobody can be added
		case reason == "":
			// What was written is not taken back by what cannot be now.
			reason = "could not be added, try again"
			recordOf(r.Context()).err = err
			fallthrough
		default:
			failures[name.given] = reason
		}
	}
	var body any = map[string]any{"status": "success"}
	if len(failures) > 0 {
		body = map[string]any{"status": "error", "message": failures}
	}
	writeJSON(w, http.StatusCreated, body)
	return nil
}

// failureOf returns what keeps one account from becoming a member, "" for what
// has nothing to do with it.
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

// isMember reports whether an account is the direct member that is wanted.
func (api memberAPI) isMember(r *http.Request, who accountName, wanted directory.Addition) bool {
	by, id := principal.From(r.Context()), who.id
	if id == 0 {
		user, err := api.directory.ByName(r.Context(), who.username)
		if err != nil {
			return false
		}
		id = user.ID
	}
	view, err := api.directory.GetMember(r.Context(), by, api.kind, r.PathValue("id"), id, false)
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
		// What is no id is left without a name either, and is nobody's.
		if !seen[name.given] {
			seen[name.given] = true
			names = append(names, name)
		}
	}
	return names
}

// requiredLevel returns a level that has to be given. Whether there is such a
// level is for the directory to say.
func (b *binder) requiredLevel(name string) project.Level {
	before := len(b.faults)
	value := b.required(name)
	level, err := strconv.Atoi(value)
	if err != nil && len(b.faults) == before {
		b.reject(name, "is invalid")
	}
	return project.Level(level)
}

func (api memberAPI) change(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	level := b.requiredLevel("access_level")
	var expires *clock.Day
	if len(b.params["expires_at"]) > 0 { // null and nothing take the end away
		day := b.day("expires_at")
		expires = &day
	}
	if err := b.fault(); err != nil {
		return err
	}
	by := principal.From(r.Context())
	view, err := api.directory.ChangeMember(r.Context(), by, api.kind, r.PathValue("id"), memberID(r), level, expires)
	if err != nil {
		return err
	}
	api.Log.Info("member changed", facts(r, "resource_id", int64(view.Member.Project), "owner", int64(view.Account.ID),
		"access_level", int(view.Member.Level), "changed_by", int64(by.Account.ID))...)
	writeJSON(w, http.StatusOK, api.memberWire(r.Context(), view))
	return nil
}

func (api memberAPI) remove(w http.ResponseWriter, r *http.Request) error {
	b, err := paramsOf(r.Context())
	if err != nil {
		return err
	}
	below := !b.truth("skip_subresources")
	if err := b.fault(); err != nil {
		return err
	}
	by, user := principal.From(r.Context()), memberID(r)
	pid, err := api.directory.RemoveMember(r.Context(), by, api.kind, r.PathValue("id"), user, below)
	if err != nil {
		return err
	}
	api.Log.Info("member removed", facts(r, "resource_id", int64(pid), "owner", int64(user), "removed_by", int64(by.Account.ID))...)
	w.WriteHeader(http.StatusNoContent)
	return nil
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

func (api *API) memberWire(ctx context.Context, v directory.MemberView) memberJSON {
	wire := memberJSON{
		basicUserJSON: *api.basicUserWire(ctx, v.Account),
		AccessLevel:   int(v.Member.Level), CreatedAt: timestamp(v.Member.CreatedAt),
		ExpiresAt: optionalDay(v.Member.ExpiresOn), MembershipState: "active",
	}
	if v.Author.ID != 0 {
		wire.CreatedBy = api.basicUserWire(ctx, v.Author)
	}
	return wire
}
