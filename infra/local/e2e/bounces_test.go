package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/local/localtest"
)

// mailTo returns the latest mail to somebody.
func mailTo(tb testing.TB, w *localtest.World, address string) mailbox.Mail {
	tb.Helper()
	for _, mail := range w.Mailbox.Mails() {
		if mail.To[0] == address {
			return mail
		}
	}
	tb.Fatalf("no mail to %s", address)
	return mailbox.Mail{}
}

// comeBack delivers SES's event about a mail to the function, and returns whether it marked somebody.
func comeBack(tb testing.TB, w *localtest.World, mail mailbox.Mail, kind mailbox.Return) bool {
	tb.Helper()
	if mail.ConfigurationSet == "" {
		tb.Fatal("without a configuration set, SES tells nobody that a mail came back")
	}
	reply, err := w.Functions["bounces"].Invoke(tb.Context(), mailbox.ReturnEvent(mail, kind, w.Clock.Now()))
	if err != nil {
		tb.Fatal(err)
	}
	return string(reply) == `{"marked":true}`
}

// If this fails, Latchkey goes on mailing an address that does not exist until SES pauses the account, or an
// address that works gets no more mails and nobody sees it.
func TestAnAddressThatMailsDoNotReach(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ann, bob := newAccount(t, w, "ann"), newAccount(t, w, "bob")
	newToken(t, w, ann.ID, "nightly", "2026-03-23")
	newToken(t, w, bob.ID, "weekly", "2026-03-23")
	newToken(t, w, ann.ID, "later", "2026-03-25")
	newToken(t, w, ann.ID, "latest", "2026-03-27")
	w.Logs.Secret("ann@example.test")
	user := fmt.Sprintf("/api/v4/users/%d", ann.ID)
	state := func(bearer, path string) (of struct {
		Unreachable   string  `json:"unreachable"`
		UnreachableAt *string `json:"unreachable_at"`
	}) {
		decode(t, want(t, w, bearer, "GET", path, "", http.StatusOK), &of)
		return of
	}

	if subjects, _ := scan(t, w, "expiring", "2026-03-17T01:00:00Z"); len(subjects) != 2 {
		t.Fatalf("mails %v", subjects)
	}
	first := mailTo(t, w, "ann@example.test")
	if comeBack(t, w, first, mailbox.TransientBounce) || state(root.Bearer, user).Unreachable != "" {
		t.Error("a full mailbox stops all mails")
	}
	if !comeBack(t, w, first, mailbox.PermanentBounce) {
		t.Fatal("nobody is marked")
	}
	if comeBack(t, w, first, mailbox.PermanentBounce) || comeBack(t, w, first, mailbox.Complaint) {
		t.Error("a repeated event marks again")
	}
	for bearer, path := range map[string]string{root.Bearer: user, ann.Bearer: "/api/v4/user"} {
		if got := state(bearer, path); got.Unreachable != "bounced" || got.UnreachableAt == nil || *got.UnreachableAt != "2026-03-17T01:00:00.000Z" {
			t.Errorf("%s shows %+v", path, got)
		}
	}
	if got := state(root.Bearer, fmt.Sprintf("/api/v4/users/%d", bob.ID)); got.Unreachable != "" || got.UnreachableAt != nil {
		t.Errorf("somebody else: %+v", got)
	}
	want(t, w, bob.Bearer, "GET", user, "", http.StatusNotFound)

	// The person counts as told.
	before := len(w.Mailbox.Mails())
	if subjects, _ := scan(t, w, "expiring", "2026-03-18T01:00:00Z"); len(subjects) != 0 {
		t.Errorf("mails %v", subjects)
	}
	if body := want(t, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/audit_events?entity_type=User&entity_id=%d", ann.ID), "", http.StatusOK); strings.Count(body, `"unreachable"`) != 1 {
		t.Errorf("events %s", body)
	}

	for status, body := range map[int]string{
		http.StatusForbidden:  `{"unreachable":false}`, // of ann
		http.StatusBadRequest: `{"unreachable":true}`,
	} {
		by := root
		if status == http.StatusForbidden {
			by = ann
		}
		if got := w.Do(t, by.Bearer, "PUT", user, body); got.Status != status {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	want(t, w, root.Bearer, "PUT", user, `{"unreachable":false}`, http.StatusOK)
	if got := state(root.Bearer, user); got.Unreachable != "" || got.UnreachableAt != nil {
		t.Errorf("cleared: %+v", got)
	}
	if comeBack(t, w, first, mailbox.PermanentBounce) {
		t.Error("the event of an earlier mail marks again")
	}
	if subjects, _ := scan(t, w, "expiring", "2026-03-20T01:00:00Z"); len(subjects) != 1 || len(w.Mailbox.Mails()) != before+1 {
		t.Errorf("after it was cleared: mails %v", subjects)
	}

	// Of a complaint, and an address that changes.
	second := mailTo(t, w, "ann@example.test")
	w.Clock.Advance(time.Minute)
	if !comeBack(t, w, second, mailbox.Complaint) || state(ann.Bearer, "/api/v4/user").Unreachable != "complained" {
		t.Error("a complaint marks nobody")
	}
	want(t, w, root.Bearer, "PUT", user, `{"email":"new@example.test"}`, http.StatusOK)
	if got := state(root.Bearer, user); got.Unreachable != "" || comeBack(t, w, second, mailbox.PermanentBounce) {
		t.Errorf("another address: %+v", got)
	}
}
