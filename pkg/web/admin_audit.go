package web

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// An auditPage lists audit events.
type auditPage struct {
	Query       *query
	Deeds       []adminDeed
	First, Next string // links, or ""
	// CSV is the link to the same events as a file, which has Most rows at most.
	CSV  string
	Most int
}

// An adminDeed is an event in words, with what only administrators see.
type adminDeed struct {
	When    moment
	What    string
	Detail  string // "from → to", or how many
	Target  string // as shown, or ""
	About   string // whose or what trail it belongs to
	Who     string
	Source  audit.Source
	Address string
}

func adminDeedOf(v *visit, e audit.Event, page trail.Page) adminDeed {
	d := adminDeed{When: before(e.At, v.now), What: capital(strings.ReplaceAll(string(e.Name), "_", " ")), About: aboutOf(e, page), Who: authorOf(e, page), Source: e.Source, Address: e.Address}
	if e.Target != "" {
		d.Target = shown(e.Target)
	}
	if e.Asker != 0 {
		d.Who += fmt.Sprintf(", through account %d", e.Asker)
	}
	switch {
	case e.Change != "" && e.From == "" && e.To != "": // it was nothing before
		d.Detail = strings.ReplaceAll(e.Change, "_", " ") + ": " + shown(e.To)
	case e.Change != "" && (e.From != "" || e.To != ""):
		d.Detail = strings.ReplaceAll(e.Change, "_", " ") + ": " + shown(e.From) + " → " + shown(e.To)
	case e.Change != "":
		d.Detail = strings.ReplaceAll(e.Change, "_", " ")
	case e.Previous != 0:
		d.Detail = fmt.Sprintf("%s was replaced by %s", e.Previous, e.Token)
	case e.Tokens > 0:
		d.Detail = count(e.Tokens, "token")
	case e.Omitted > 0:
		d.Detail = fmt.Sprintf("and %d like it before", e.Omitted)
	}
	return d
}

// authorOf returns who caused an event.
func authorOf(e audit.Event, page trail.Page) string {
	if e.Author != 0 {
		return "@" + page.Accounts[e.Author].Username
	}
	switch e.Source {
	case audit.Mail:
		return "the mail service"
	case audit.Console:
		return "an operator"
	case audit.Policy:
		return "a policy"
	case audit.Reuse:
		return "Latchkey, because an old token was used again"
	case audit.Leak:
		return "Latchkey, because the value was reported as leaked"
	case audit.Provider:
		return "the identity provider"
	default:
		return "somebody unknown"
	}
}

// aboutOf returns the account, project or group whose trail has the event.
func aboutOf(e audit.Event, page trail.Page) string {
	switch e.Entity.Type {
	case audit.Account:
		if acct := page.Accounts[account.ID(e.Entity.ID)]; acct.ID != account.GhostID {
			return "@" + acct.Username
		}
		return fmt.Sprintf("user %d", e.Entity.ID)
	case audit.Project, audit.Group:
		if path := page.Paths[project.ID(e.Entity.ID)]; path != "" {
			return path
		}
		return fmt.Sprintf("%s %d", e.Entity.Type, e.Entity.ID)
	default:
		return "everything"
	}
}

// auditQuery reads the API's filters.
func (s *Site) auditQuery(v *visit) (*query, trail.Query, error) {
	q := v.query()
	t := trail.Query{
		From: q.instant("created_after"), To: q.instant("created_before"), Name: audit.Name(q.text("event_name")), EntityID: q.number("entity_id"),
		Type: map[string]audit.EntityType{
			"User": audit.Account, "Project": audit.Project, "Group": audit.Group, "Gitlab::Audit::InstanceScope": audit.Instance,
		}[q.choice("entity_type", "User", "Project", "Group", "Gitlab::Audit::InstanceScope")],
	}
	if t.EntityID != 0 && t.Type == "" {
		q.wrong("entity_type", "Choose what the id is of.")
	}
	t.Token = token.ID(q.number("token_id"))
	if author := q.text("author_id"); author == "-1" {
		t.Author = trail.Nobody
	} else {
		var err error
		if t.Author, err = v.person(q, "author_id"); err != nil {
			return q, t, err
		}
	}
	return q, t, nil
}

func (s *Site) adminAudit(v *visit) error {
	q, wanted, err := s.auditQuery(v)
	if err != nil {
		return err
	}
	wanted.Want = v.want(q)
	page := auditPage{Query: q, Most: maxCSVRows, CSV: v.base + adminCSVPath + "?" + linkQuery(q.Values, cursorField, "")}
	if len(q.Broken) == 0 {
		events, err := s.parts.Trail.Every(v.ctx, v.by, wanted)
		if err != nil {
			return err
		}
		for _, e := range events.Events {
			page.Deeds = append(page.Deeds, adminDeedOf(v, e, events))
		}
		page.First, page.Next = v.around(q, events.Next)
	}
	return v.render(listStatus(q), "admin_audit", "Audit trail", page)
}

// maxCSVRows is how many events one file has. A reply of a function may have 6 MB (Lambda quotas),
// and three texts of an event may have 255 characters of four bytes each.
const maxCSVRows = 1000

// maxCSVParts is how many parts of the trail one file looks through. A part may have few events that match.
const maxCSVParts = 10

var csvColumns = []string{
	"id", "created_at", "event_name", "entity_type", "entity_id", "entity", "author_id", "author", "sudo_by", "token_id", "previous_token_id",
	"target", "change", "from", "to", "ip_address", "source", "request_id", "presented_token_id", "token_count", "omitted_events",
}

// adminAuditCSV replies with the events of the same filters as a file (RFC 4180). The last row of a
// file that does not have all of them says so.
func (s *Site) adminAuditCSV(v *visit) error {
	q, wanted, err := s.auditQuery(v)
	if err != nil {
		return err
	}
	wanted.Want = v.want(q)
	if len(q.Broken) > 0 {
		return errUnreadable
	}
	continued := wanted.Want.ByPlace
	wanted.Want.ByPlace = true
	rows := [][]string{csvColumns}
	next := ""
	for range maxCSVParts {
		wanted.Want.Limit = maxCSVRows + 1 - len(rows)
		events, err := s.parts.Trail.Every(v.ctx, v.by, wanted)
		if err != nil {
			return err
		}
		for _, e := range events.Events {
			rows = append(rows, csvRow(e, events))
		}
		next, wanted.Want.Place = events.Next, events.Next
		if next == "" || len(rows) > maxCSVRows {
			break
		}
	}
	if next != "" {
		cursor := listing.Cursor(next, v.listed(q)...)
		v.header().Set("Link", "<"+v.base+adminCSVPath+"?"+linkQuery(q.Values, cursorField, cursor)+`>; rel="next"`)
		cut := make([]string, len(csvColumns))
		cut[0] = "cut"
		cut[2] = fmt.Sprintf("This file ends here, and there are older events. Add cursor=%s to its address, or choose a shorter period.", cursor)
		rows = append(rows, cut)
	}
	for _, r := range rows {
		for i := range r {
			r[i] = cell(r[i])
		}
	}
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	w.UseCRLF = true
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	name := "latchkey-audit-" + v.now.UTC().Format("20060102T150405Z")
	if continued || next != "" {
		name += "-part"
	}
	v.header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	return v.write(http.StatusOK, "text/csv; charset=utf-8; header=present", file.Bytes())
}

func csvRow(e audit.Event, page trail.Page) []string {
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	return []string{
		strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339), string(e.Name), string(e.Entity.Type), number(e.Entity.ID), aboutOf(e, page),
		number(int64(e.Author)), authorOf(e, page), number(int64(e.Asker)), number(int64(e.Token)), number(int64(e.Previous)),
		e.Target, e.Change, e.From, e.To, e.Address, string(e.Source), e.RequestID, number(int64(e.Presented)), number(int64(e.Tokens)), number(int64(e.Omitted)),
	}
}

// cell guards a text against spreadsheets, which run a cell that starts like a formula (OWASP: CSV
// Injection). A quote in front makes it text.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
