package gitlabapi

import (
	"net/http"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

func (api *settingsAPI) auditRoutes() []route {
	return []route{
		{method: "GET", path: "/audit_events", handle: api.listAuditEvents, adminOnly: true},
		{method: "GET", path: "/audit_events/{event_id}", handle: api.getAuditEvent, adminOnly: true},
		{method: "GET", path: "/user/audit_events", handle: api.listOwnAuditEvents},
		{method: "GET", path: "/users/{user_id}/audit_events", handle: api.listAuditEventsOfUser, adminOnly: true, words: []row{noUser}},
		{method: "GET", path: "/projects/{project}/audit_events", handle: api.listAuditEventsOf, kind: project.KindProject},
		{method: "GET", path: "/projects/{project}/audit_events/{event_id}", handle: api.getAuditEventOf, kind: project.KindProject},
		{method: "GET", path: "/groups/{project}/audit_events", handle: api.listAuditEventsOf, kind: project.KindGroup},
		{method: "GET", path: "/groups/{project}/audit_events/{event_id}", handle: api.getAuditEventOf, kind: project.KindGroup},
	}
}

// auditEventJSON is an audit event on the wire: GitLab's fields, and a few details
// of our own.
type auditEventJSON struct {
	ID         int64            `json:"id"`
	AuthorID   int64            `json:"author_id"`
	EntityID   int64            `json:"entity_id"`
	EntityType string           `json:"entity_type"`
	EventName  string           `json:"event_name"`
	EventType  string           `json:"event_type"`
	Details    auditDetailsJSON `json:"details"`
	CreatedAt  string           `json:"created_at"`
}

type auditDetailsJSON struct {
	EventName     string  `json:"event_name"`
	AuthorName    string  `json:"author_name"`
	AuthorClass   string  `json:"author_class"`
	TargetID      *int64  `json:"target_id"`
	TargetType    string  `json:"target_type"`
	TargetDetails string  `json:"target_details"`
	CustomMessage string  `json:"custom_message"`
	Change        string  `json:"change,omitempty"`
	From          string  `json:"from,omitempty"`
	To            string  `json:"to,omitempty"`
	IPAddress     *string `json:"ip_address"`
	EntityPath    string  `json:"entity_path"`

	Source           string  `json:"source"`
	RequestID        *string `json:"request_id"`
	TokenID          *int64  `json:"token_id"`
	SudoBy           *int64  `json:"sudo_by"`
	PresentedTokenID *int64  `json:"presented_token_id,omitempty"`
	OmittedEvents    int     `json:"omitted_events,omitempty"`
	TokenCount       int     `json:"token_count,omitempty"`
}

// nobody is the author's id of events that no account caused, as in GitLab.
const nobody = -1

func auditEventWire(e audit.Event, page trail.Page) auditEventJSON {
	wire := auditEventJSON{
		ID: e.ID, AuthorID: nobody, EntityID: e.Entity.ID, EntityType: entityTypes[e.Entity.Type],
		EventName: string(e.Name), EventType: string(e.Name), CreatedAt: timestamp(e.At),
		Details: auditDetailsJSON{
			EventName: string(e.Name), CustomMessage: auditText(e), TargetDetails: e.Target,
			AuthorName: nobodyBehind(e.Source), AuthorClass: "Gitlab::Audit::UnauthenticatedAuthor",
			Change: wireName(e.Change), From: e.From, To: e.To, IPAddress: optional(e.Address),
			Source: string(e.Source), RequestID: optional(e.RequestID),
			TokenID: optionalID(int64(e.Token)), SudoBy: optionalID(int64(e.Asker)), PresentedTokenID: optionalID(int64(e.Presented)),
			OmittedEvents: e.Omitted, TokenCount: e.Tokens,
		},
	}
	if e.Name == audit.SettingsUpdated {
		wire.Details.TargetDetails = wireName(e.Target)
	}
	if e.Author != 0 {
		author := page.Accounts[e.Author]
		wire.AuthorID = int64(author.ID)
		wire.Details.AuthorName, wire.Details.AuthorClass = author.Name, "User"
	}
	wire.Details.TargetID, wire.Details.TargetType = auditTarget(e)
	if e.Previous != 0 {
		wire.Details.Change, wire.Details.From, wire.Details.To = "token", e.Previous.String(), e.Token.String()
	}
	switch e.Entity.Type {
	case audit.Account:
		if acct := page.Accounts[account.ID(e.Entity.ID)]; acct.ID != account.GhostID {
			wire.Details.EntityPath = acct.Username
		}
	case audit.Project, audit.Group:
		wire.Details.EntityPath = page.Paths[project.ID(e.Entity.ID)]
	}
	return wire
}

// nobodyBehind returns the author's name for events that no account caused.
func nobodyBehind(source audit.Source) string {
	switch source {
	case audit.Console:
		return "An operator"
	case audit.Policy:
		return "A policy"
	case audit.Mail:
		return "The mail service"
	case audit.Provider:
		return "The identity provider"
	default:
		return "An unauthenticated user"
	}
}

// auditTarget returns the target of an event.
func auditTarget(e audit.Event) (id *int64, kind string) {
	switch e.Name {
	case audit.SettingsUpdated:
		return optionalID(e.Entity.ID), "ApplicationSetting"
	case audit.FeatureSet, audit.FeatureDeleted:
		return nil, "Feature"
	case audit.MemberAdded, audit.MemberUpdated, audit.MemberRemoved:
		return nil, "User"
	}
	if e.Token != 0 {
		return optionalID(int64(e.Token)), "PersonalAccessToken"
	}
	return optionalID(e.Entity.ID), entityTypes[e.Entity.Type]
}

// trailQuery reads the filters that every list of events has.
func (b *binder) trailQuery() (trail.Query, paging) {
	page := b.paging()
	return trail.Query{
		From: b.instant("created_after"), To: b.instant("created_before"),
		Token:  token.ID(b.atLeastOne("token_id")),
		Author: b.author(), Name: audit.Name(b.text("event_name")),
	}, page
}

// author returns the optional account whose events are wanted.
func (b *binder) author() account.ID {
	const name = "author_id"
	if given := b.params[name]; len(given) == 1 && given[0] == strconv.Itoa(nobody) && !b.params.misspelled(name) {
		return trail.Nobody
	}
	return account.ID(b.atLeastOne(name))
}

// atLeastOne returns an optional number from 1 on, or 0.
func (b *binder) atLeastOne(name string) int64 {
	before := len(b.faults)
	n := b.integer(name, 0)
	if len(b.faults) == before && b.text(name) != "" && n < 1 {
		b.reject(name, "does not have a valid value")
	}
	return max(n, 0)
}

func (api *settingsAPI) listAuditEvents(c *call) error {
	q, page := c.trailQuery()
	q.Type = entityType(c.oneOf("entity_type", "User", "Project", "Group", "Gitlab::Audit::InstanceScope"))
	if q.EntityID = c.atLeastOne("entity_id"); q.EntityID != 0 && q.Type == "" {
		c.reject("entity_type", "is missing")
	}
	return c.auditEvents(page, q, func(q trail.Query) (trail.Page, error) { return api.trail.Every(c.ctx, c.by, q) })
}

func (api *settingsAPI) listOwnAuditEvents(c *call) error {
	q, page := c.trailQuery()
	return c.auditEvents(page, q, func(q trail.Query) (trail.Page, error) { return api.trail.Own(c.ctx, c.by, q) })
}

func (api *settingsAPI) listAuditEventsOfUser(c *call) error {
	q, page := c.trailQuery()
	return c.auditEvents(page, q, func(q trail.Query) (trail.Page, error) {
		id, err := account.ParseID(c.path("user_id"))
		if err != nil {
			return trail.Page{}, err
		}
		return api.trail.OfAccount(c.ctx, c.by, id, q)
	})
}

func (api *settingsAPI) listAuditEventsOf(c *call) error {
	q, page := c.trailQuery()
	return c.auditEvents(page, q, func(q trail.Query) (trail.Page, error) {
		return api.trail.OfProject(c.ctx, c.by, c.route.kind, c.path("project"), q)
	})
}

// auditEvents replies with a page of list.
func (c *call) auditEvents(p paging, q trail.Query, list func(trail.Query) (trail.Page, error)) error {
	var err error
	if q.Want, err = c.want(p); err != nil {
		return err
	}
	page, err := list(q)
	if err != nil {
		return err
	}
	return c.part(p, listing.Uncounted, page.Next, each(page.Events, func(e audit.Event) auditEventJSON { return auditEventWire(e, page) }))
}

func (api *settingsAPI) getAuditEvent(c *call) error {
	page, err := api.trail.Get(c.ctx, c.by, c.eventID())
	return c.auditEvent(page, err)
}

func (api *settingsAPI) getAuditEventOf(c *call) error {
	page, err := api.trail.GetOfProject(c.ctx, c.by, c.route.kind, c.path("project"), c.eventID())
	return c.auditEvent(page, err)
}

// eventID reads the path. A malformed id is 0, so that a missing right is reported
// first.
func (c *call) eventID() int64 {
	text := c.path("event_id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(id, 10) != text {
		return 0
	}
	return id
}

func (c *call) auditEvent(page trail.Page, err error) error {
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, auditEventWire(page.Events[0], page))
}
