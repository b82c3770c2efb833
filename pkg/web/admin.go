package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
)

// adminPath is the start of every page for administrators. For others, and for methods that a page
// does not have, nothing is there.
const adminPath = "/-/admin"

const (
	adminUsersPath    = adminPath + "/users"
	adminTokensPath   = adminPath + "/tokens"
	adminSettingsPath = adminPath + "/settings"
	adminFeaturesPath = adminPath + "/features"
	adminAuditPath    = adminPath + "/audit"
	adminCSVPath      = adminPath + "/audit.csv"
)

func (s *Site) adminRoutes() []route {
	const (
		user          = adminUsersPath + "/{user}"
		impersonation = user + "/impersonation_tokens"
		one           = adminTokensPath + "/{id}"
	)
	get := func(path string, h handler) route {
		return route{method: http.MethodGet, path: path, handle: h, admin: true}
	}
	post := func(path string, h handler) route {
		return route{method: http.MethodPost, path: path, handle: h, admin: true}
	}
	return []route{
		get(adminPath, func(v *visit) error { return v.redirect(adminUsersPath) }),
		get(adminUsersPath, s.adminUsers),
		get(user, s.adminUser),
		post(user+"/block", s.adminBlock),
		post(user+"/unblock", s.adminUnblock),
		post(user+"/reachable", s.adminReachable),
		get(user+"/revoke_all", s.adminAskRevokeAll),
		post(user+"/revoke_all", s.adminRevokeAll),
		get(impersonation, s.adminImpersonations),
		get(impersonation+"/new", s.adminNewImpersonation),
		post(impersonation, s.adminImpersonate),
		get(impersonation+"/{id}/created", s.adminCreated),
		get(adminTokensPath, s.adminTokens),
		get(one, s.adminToken),
		get(one+"/revoke", s.adminAskRevoke),
		post(one+"/revoke", s.adminRevoke),
		get(adminSettingsPath, s.adminSettings),
		post(adminSettingsPath, s.adminSaveSettings),
		get(adminFeaturesPath, s.adminFeatures),
		post(adminFeaturesPath, s.adminSetFeature),
		post(adminFeaturesPath+"/clear", s.adminClearFeature),
		get(adminAuditPath, s.adminAudit),
		get(adminCSVPath, s.adminAuditCSV),
	}
}

// account returns the account that the segment {user} of the path names.
func (v *visit) account() (account.Account, error) {
	id, err := account.ParseID(v.path("user"))
	if err != nil {
		return account.Account{}, err
	}
	return v.site.parts.Directory.Get(v.ctx, v.by, id)
}

func adminUserPath(id account.ID, more string) string {
	return adminUsersPath + "/" + id.String() + more
}

// A query reads the parameters of a list, and collects what is wrong with them.
type query struct {
	url.Values
	Broken []broken
}

func (v *visit) query() *query { return &query{Values: v.r.URL.Query()} }

// Of returns what is wrong with a field, or "".
func (q *query) Of(field string) string { return textOf(q.Broken, field) }

func (q *query) wrong(name, text string) { q.Broken = append(q.Broken, broken{name, text}) }

// text returns a parameter without the spaces around it.
func (q *query) text(name string) string { return strings.TrimSpace(q.Get(name)) }

// choice returns one of the allowed values, or "" for none.
func (q *query) choice(name string, allowed ...string) string {
	value := q.text(name)
	for _, a := range allowed {
		if value == a {
			return value
		}
	}
	if value != "" {
		q.wrong(name, "This is none of the choices.")
	}
	return ""
}

// yes returns true or false for "true" and "false", and nil for neither.
func (q *query) yes(name string) *bool {
	value := q.choice(name, "true", "false")
	if value == "" {
		return nil
	}
	is := value == "true"
	return &is
}

// instant returns an instant, in UTC unless it names its zone, or the zero time. A day is its first
// second, as in the API.
func (q *query) instant(name string) time.Time {
	value := q.text(name)
	if value == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, value, time.UTC); err == nil {
			q.Set(name, at.UTC().Format("2006-01-02T15:04:05")) // the form of the field
			return at.UTC()
		}
	}
	q.wrong(name, "This is no date with a time, such as 2026-03-19T08:00.")
	return time.Time{}
}

func (q *query) day(name string) clock.Day {
	value := q.text(name)
	if value == "" {
		return clock.Day{}
	}
	day, err := clock.ParseDay(value)
	if err != nil {
		q.wrong(name, "This is no day in the form YYYY-MM-DD.")
	}
	return day
}

// number returns a number from 1 on, or 0 for none.
func (q *query) number(name string) int64 {
	value := q.text(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 {
		q.wrong(name, "This is no id, which is a number from 1 on.")
		return 0
	}
	return n
}

// offset returns where the page starts, of lists whose pages have perPage rows.
func (q *query) offset() int {
	value := q.text("page")
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > listing.MaxOffset/perPage+1 {
		q.wrong("page", "There is no such page. Narrow the list.")
		return 0
	}
	return (n - 1) * perPage
}

// pages returns the links to the page before and the one behind, or "".
func (v *visit) pages(q *query, offset int, more bool) (before, next string) {
	link := func(page int) string {
		return v.base + v.r.URL.Path + "?" + linkQuery(q.Values, "page", strconv.Itoa(page))
	}
	if offset > 0 {
		before = link(offset / perPage)
	}
	if more {
		next = link(offset/perPage + 2)
	}
	return before, next
}

// cursorField is the parameter that names where a page of a list starts.
const cursorField = "cursor"

// want returns the part of a list that the query asks for: the first one, or the one behind a cursor.
func (v *visit) want(q *query) listing.Want {
	cursor := q.text(cursorField)
	if cursor == "" {
		return listing.ByNumber(0, perPage)
	}
	place, err := listing.PlaceOf(cursor, v.listed(q)...)
	if err != nil {
		q.wrong(cursorField, "The list has no such page. Start again.")
	}
	return listing.Want{Limit: perPage, ByPlace: true, Place: place}
}

// listed returns what a cursor belongs to: the path and the filters.
func (v *visit) listed(q *query) []string {
	filters := url.Values{}
	for name := range q.Values {
		if value := q.Get(name); value != "" && name != cursorField {
			filters.Set(name, value)
		}
	}
	return []string{v.r.URL.Path, filters.Encode()}
}

// around returns the links to the first part of a list and to the one that starts at a place, or "".
func (v *visit) around(q *query, next string) (first, behind string) {
	path := v.base + v.r.URL.Path + "?"
	if q.text(cursorField) != "" {
		first = path + linkQuery(q.Values, cursorField, "")
	}
	if next != "" {
		behind = path + linkQuery(q.Values, cursorField, listing.Cursor(next, v.listed(q)...))
	}
	return first, behind
}

// linkQuery returns a query without empty parameters, and with one parameter changed, or without it.
func linkQuery(values url.Values, name, value string) string {
	changed := url.Values{}
	for n := range values {
		if v := values.Get(n); v != "" {
			changed.Set(n, v)
		}
	}
	changed.Set(name, value)
	if value == "" {
		changed.Del(name)
	}
	return changed.Encode()
}

// person returns the account that a filter names by id or username, which is never only digits. An
// unknown one is a fault of the filter.
func (v *visit) person(q *query, name string) (account.ID, error) {
	value := strings.TrimPrefix(q.text(name), "@")
	if value == "" {
		return 0, nil
	}
	if strings.Trim(value, "0123456789") == "" {
		return account.ID(q.number(name)), nil
	}
	found, err := v.site.parts.Directory.List(v.ctx, v.by, directory.Filter{Username: value}, directory.Sort{}, listing.ByNumber(0, 1))
	if err != nil {
		return 0, err
	}
	if len(found.Entries) == 0 {
		q.wrong(name, "Nobody has this username.")
		return 0, nil
	}
	return found.Entries[0].ID, nil
}

// listStatus is the status of a list: what is wrong with a filter is the request's fault.
func listStatus(q *query) int {
	if len(q.Broken) > 0 {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}
