package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
)

// auditEvent is what tests read of an audit event.
type auditEvent struct {
	ID         int64  `json:"id"`
	AuthorID   int64  `json:"author_id"`
	EntityID   int64  `json:"entity_id"`
	EntityType string `json:"entity_type"`
	EventName  string `json:"event_name"`
	CreatedAt  string `json:"created_at"`
	Details    struct {
		Source  string `json:"source"`
		TokenID *int64 `json:"token_id"`
		SudoBy  *int64 `json:"sudo_by"`
		Message string `json:"custom_message"`
		IP      string `json:"ip_address"`
	} `json:"details"`
}

// auditedWorld is a world in which one thing happens each second: to anna's account and tokens, to
// the project web and the group acme.
func auditedWorld(t *testing.T) (w *localtest.World, anna, bert holder) {
	t.Helper()
	w = localtest.Start(t, localtest.Options{})
	anna, bert = newAccount(t, w, "anna"), newAccount(t, w, "bert")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer, bert.ID: project.Developer})
	step := func(bearer, method, path, body string, status int) string {
		t.Helper()
		w.Clock.Advance(time.Second)
		return want(t, w, bearer, method, path, body, status)
	}
	spec := `{"name":"deploy","scopes":["api","self_rotate"]}`
	for range 3 {
		step(anna.Bearer, "POST", "/api/v4/projects/acme%2Fweb/access_tokens", spec, http.StatusCreated)
	}
	var bot resourceToken
	decode(t, step(root.Bearer, "POST", "/api/v4/groups/acme/access_tokens", spec, http.StatusCreated), &bot)
	decode(t, step(bot.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK), &bot)
	step(root.Bearer, "DELETE", fmt.Sprintf("/api/v4/groups/1/access_tokens/%d", bot.ID), "", http.StatusNoContent)
	made := newToken(t, w, anna.ID, "nightly", "2026-05-01")
	step(anna.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", made.ID), "", http.StatusNoContent)
	newImpersonation(t, w, anna.ID, "look")
	step(root.Bearer, "GET", "/api/v4/user?sudo=anna", "", http.StatusOK)
	step(bert.Bearer, "GET", "/api/v4/user?sudo=anna", "", http.StatusForbidden)
	step(bert.Bearer, "POST", "/api/v4/projects/2/access_tokens", spec, http.StatusBadRequest)
	step(root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", bert.ID), "", http.StatusCreated)
	step(root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/unblock", bert.ID), "", http.StatusCreated)
	w.Clock.Advance(time.Second)
	return w, anna, bert
}

// Promise 7: every method of the official client's audit service works. The cases are compared with
// the service's interface, as those of tokens are.
func TestEveryMethodOfTheAuditService(t *testing.T) {
	t.Parallel()
	w, anna, _ := auditedWorld(t)
	admin, annas := client(t, w, root.Bearer).AuditEvents, client(t, w, anna.Bearer).AuditEvents
	events := must[[]*gitlab.AuditEvent](t)
	whole := func(t *testing.T, e *gitlab.AuditEvent) {
		t.Helper()
		d := e.Details
		if e.ID == 0 || e.AuthorID == 0 || e.EntityID == 0 || e.EntityType == "" || e.EventName == "" || e.EventType != e.EventName || e.CreatedAt == nil ||
			d.CustomMessage == "" || d.AuthorName == "" || d.AuthorClass == "" || d.TargetType == "" || d.EventName != e.EventName || d.AuthorEmail != "" {
			t.Errorf("event %+v", e)
		}
	}
	one := func(t *testing.T, list []*gitlab.AuditEvent, get func(int64, ...gitlab.RequestOptionFunc) (*gitlab.AuditEvent, *gitlab.Response, error)) {
		t.Helper()
		for _, e := range list {
			whole(t, e)
			got := must[*gitlab.AuditEvent](t)(get(e.ID))
			if !reflect.DeepEqual(got, e) {
				t.Errorf("got %+v, listed %+v", got, e)
			}
		}
		if _, response, err := get(list[0].ID + 16<<30); err == nil || response.StatusCode != http.StatusNotFound {
			t.Errorf("an event that is not there: %v", err)
		}
	}
	ofProject := events(annas.ListProjectAuditEvents("acme/web", nil))
	ofGroup := events(admin.ListGroupAuditEvents("acme", nil))
	cases := map[string]func(*testing.T){
		"ListInstanceAuditEvents": func(t *testing.T) {
			type options = gitlab.ListAuditEventsOptions
			walked := collect(t, func(p gitlab.PaginationOptionFunc) ([]*gitlab.AuditEvent, *gitlab.Response, error) {
				return admin.ListInstanceAuditEvents(&options{ListOptions: gitlab.ListOptions{PerPage: 3}}, p)
			})
			all, response, err := admin.ListInstanceAuditEvents(&options{ListOptions: gitlab.ListOptions{PerPage: 100}})
			if err != nil || !reflect.DeepEqual(walked, all) || len(all) < 18 || response.NextPage != 0 || response.TotalItems != 0 {
				t.Fatalf("%d events in pages of 3, %d in one; %v", len(walked), len(all), err)
			}
			ids := make([]int64, len(all))
			for i, e := range all {
				whole(t, e)
				ids[i] = e.ID
			}
			if !slices.IsSortedFunc(ids, func(a, b int64) int { return int(b - a) }) {
				t.Errorf("not newest first: %v", ids)
			}
			from, to := *all[7].CreatedAt, *all[4].CreatedAt
			some := events(admin.ListInstanceAuditEvents(&options{CreatedAfter: &from, CreatedBefore: &to}))
			var wanted []*gitlab.AuditEvent
			for _, e := range all {
				if !e.CreatedAt.Before(from) && !e.CreatedAt.After(to) {
					wanted = append(wanted, e)
				}
			}
			if len(wanted) == len(all) || !reflect.DeepEqual(some, wanted) {
				t.Errorf("%d events from %s to %s, want %d", len(some), from, to, len(wanted))
			}
			if _, response, err := annas.ListInstanceAuditEvents(nil); err == nil || response.StatusCode != http.StatusForbidden {
				t.Errorf("for nobody special: %v", err)
			}
		},
		"GetInstanceAuditEvent": func(t *testing.T) { one(t, events(admin.ListInstanceAuditEvents(nil)), admin.GetInstanceAuditEvent) },
		"ListProjectAuditEvents": func(t *testing.T) {
			if len(ofProject) != 3 || ofProject[0].EventName != "project_access_token_created" || ofProject[0].EntityID != 2 ||
				ofProject[0].Details.EntityPath != "acme/web" || ofProject[0].Details.IPAddress != "127.0.0.1" {
				t.Errorf("%d events, the first is %+v", len(ofProject), ofProject[0])
			}
			if byID := events(annas.ListProjectAuditEvents(2, nil)); !reflect.DeepEqual(byID, ofProject) {
				t.Error("by id and by path differ")
			}
		},
		"GetProjectAuditEvent": func(t *testing.T) {
			one(t, ofProject, func(id int64, options ...gitlab.RequestOptionFunc) (*gitlab.AuditEvent, *gitlab.Response, error) {
				return annas.GetProjectAuditEvent("acme/web", id, options...)
			})
		},
		"ListGroupAuditEvents": func(t *testing.T) {
			var names []string
			for _, e := range ofGroup {
				names = append(names, e.EventName)
			}
			if !slices.Equal(names, []string{"group_access_token_deleted", "group_access_token_rotated", "group_access_token_created"}) {
				t.Errorf("events %q", names)
			}
		},
		"GetGroupAuditEvent": func(t *testing.T) {
			one(t, ofGroup, func(id int64, options ...gitlab.RequestOptionFunc) (*gitlab.AuditEvent, *gitlab.Response, error) {
				return admin.GetGroupAuditEvent(1, id, options...)
			})
		},
	}
	service := reflect.TypeFor[gitlab.AuditEventsServiceInterface]()
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

// What python-gitlab sends and reads: parameters in the query, pages by the URL of the next one, as
// it stands, under the configured address.
func TestAuditEventsAsPythonGitlabReadsThem(t *testing.T) {
	t.Parallel()
	w, anna, _ := auditedWorld(t)
	walk := func(bearer, path string) (events []auditEvent) {
		t.Helper()
		for next := w.URL + path; next != ""; {
			if !strings.HasPrefix(next, w.URL) {
				t.Fatalf("the next page is at %s", next)
			}
			response := w.Do(t, bearer, "GET", strings.TrimPrefix(next, w.URL), "")
			if response.Status != http.StatusOK || response.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s: %d %s", next, response.Status, response.Body)
			}
			var page []auditEvent
			decode(t, response.Body, &page)
			events = append(events, page...)
			next = linkTo(response.Header.Get("Link"), "next")
			for _, header := range []string{"X-Total", "X-Total-Pages"} {
				if _, there := response.Header[http.CanonicalHeaderKey(header)]; there {
					t.Errorf("%s of a list that nobody counts", header)
				}
			}
		}
		return events
	}
	all := walk(root.Bearer, "/api/v4/audit_events?page=1&per_page=4")
	seen := map[int64]bool{}
	for _, e := range all {
		seen[e.ID] = true
	}
	if len(seen) != len(all) || len(all) < 18 {
		t.Errorf("%d events, %d of them once", len(all), len(seen))
	}
	of := func(filter string) int { return len(walk(root.Bearer, "/api/v4/audit_events?per_page=100&"+filter)) }
	count := func(is func(auditEvent) bool) (n int) {
		for _, e := range all {
			if is(e) {
				n++
			}
		}
		return n
	}
	for filter, want := range map[string]int{
		"entity_type=Project":                                 3,
		"entity_type=Group&entity_id=1":                       3,
		"entity_type=Group&entity_id=2":                       0,
		fmt.Sprintf("entity_type=User&entity_id=%d", anna.ID): count(func(e auditEvent) bool { return e.EntityType == "User" && e.EntityID == anna.ID }),
		fmt.Sprintf("token_id=%d", anna.TokenID):              count(func(e auditEvent) bool { return e.Details.TokenID != nil && *e.Details.TokenID == anna.TokenID }),
	} {
		if got := of(filter); got != want {
			t.Errorf("%s: %d events, want %d", filter, got, want)
		}
	}
	own := walk(anna.Bearer, "/api/v4/user/audit_events?per_page=2")
	var names []string
	for _, e := range own {
		names = append(names, e.EventName+" "+e.Details.Source)
		if e.EntityType != "User" || e.EntityID != anna.ID {
			t.Errorf("anna sees %+v", e)
		}
	}
	if want := []string{"sudo_used admin", "personal_access_token_revoked self", "personal_access_token_issued admin"}; len(names) != 5 || !slices.Equal(names[:3], want) {
		t.Errorf("anna sees %q, want %q, her first token and her account", names, want)
	}
	var object map[string]any
	decode(t, want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/audit_events/%d", all[0].ID), "", http.StatusOK), &object)
	for _, field := range []string{"id", "author_id", "entity_id", "entity_type", "event_name", "details", "created_at"} {
		if object[field] == nil {
			t.Errorf("no %s in %v", field, object)
		}
	}
}

var (
	anyBearer  = regexp.MustCompile(`lk(pat|prj|imp)_[0-9A-Za-z]{30,}`)
	anyDigest  = regexp.MustCompile(`[0-9A-Za-z_-]{43}`)
	anyAddress = regexp.MustCompile(`[^\s"@]@[^\s"@]`)
)

// Promise 5, for the trail: no event, in the table or in a reply, holds a bearer, a digest or a mail
// address.
func TestTheTrailHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	w, anna, bert := auditedWorld(t)
	for _, name := range []string{anna.Bearer, "for anna@example.test"} {
		newToken(t, w, anna.ID, name, "2026-05-01")
	}
	want(t, w, root.Bearer, "PUT", fmt.Sprintf("/api/v4/users/%d", bert.ID), `{"email":"else@example.test","note":"call bert@example.test"}`, http.StatusOK)
	want(t, w, root.Bearer, "GET", "/api/v4/user?sudo=nobody@example.test", "", http.StatusNotFound)

	out, err := w.Engine.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(w.Table)})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		want(t, w, root.Bearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK),
		want(t, w, anna.Bearer, "GET", "/api/v4/user/audit_events?per_page=100", "", http.StatusOK),
	}
	for _, item := range out.Items {
		text, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"AUDIT#`) {
			texts = append(texts, string(text))
		}
	}
	if len(texts) < 40 {
		t.Fatalf("only %d texts to search", len(texts))
	}
	for _, text := range texts {
		for what, pattern := range map[string]*regexp.Regexp{"bearer": anyBearer, "digest": anyDigest, "address": anyAddress} {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("a %s is in the trail: %s in %s", what, found, text)
			}
		}
		if strings.Contains(text, localtest.AdminBearer) {
			t.Errorf("a bearer is in the trail: %s", text)
		}
	}
}
