package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// issued makes a token and returns it with its bearer.
func (f *fixture) issued(t *testing.T, id account.ID) (token.Token, string) {
	t.Helper()
	got, err := f.issuer.CreateByConsole(t.Context(), "", f.accts[id], spec(), "")
	checkErr(t, err, nil)
	return got.Token, got.Bearer.Reveal()
}

// told marks a token as one whose report everybody knows of.
func (f *fixture) told(id token.ID) {
	tok := f.tokens[id]
	tok.Notices = append(tok.Notices, token.MarkLeaked)
	f.tokens[id] = tok
}

func idsOf(tokens []token.Token) (ids []token.ID) {
	for _, t := range tokens {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestAReportEndsWhatIsOurs(t *testing.T) {
	f := newFixture(t)
	first, firstBearer := f.issued(t, owner)
	second, secondBearer := f.issued(t, other)
	over, overBearer := f.issued(t, owner)
	bystander, _ := f.issued(t, owner)
	chosen, err := f.issuer.CreateByConsole(t.Context(), "", f.accts[other], spec(), "token-string-here123")
	checkErr(t, err, nil)
	f.clock.Advance(time.Hour)
	checkErr(t, errOf(f.revoker.RevokeByConsole(t.Context(), "", over.ID)), nil)
	f.clock.Advance(time.Hour)
	f.writes = 0

	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{
		"", "x", secondBearer, firstBearer, "somebody-elses-token-here", "token-string-here123", firstBearer, overBearer,
		firstBearer + "0", strings.ToUpper(firstBearer), strings.Repeat("y", 5000), "\x00nul", "no \xff text", firstBearer,
	}, "")
	checkErr(t, err, nil)
	if want := []token.ID{first.ID, second.ID, chosen.Token.ID}; !slices.Equal(idsOf(report.Revoked), want) || !slices.Equal(report.Untold, want) {
		t.Errorf("ended %v, to tell %v, want %v", idsOf(report.Revoked), report.Untold, want)
	}
	for _, id := range []token.ID{first.ID, second.ID, chosen.Token.ID} {
		if got := f.tokens[id]; !got.RevokedAt.Equal(f.clock.Now()) || got.RevokedReason != token.ReasonLeak {
			t.Errorf("token %s: %s at %v", id, got.RevokedReason, got.RevokedAt)
		}
	}
	if got := f.tokens[over.ID]; got.RevokedReason != token.ReasonRequest || !got.RevokedAt.Equal(f.clock.Now().Add(-time.Hour)) {
		t.Errorf("what had ended before has a new end: %s at %v", got.RevokedReason, got.RevokedAt)
	}
	if !f.tokens[bystander.ID].RevokedAt.IsZero() || f.writes != 3 {
		t.Errorf("ended somebody else, or wrote %d times for 3 tokens", f.writes)
	}
	again, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{firstBearer, secondBearer, overBearer}, "")
	checkErr(t, err, nil)
	if len(again.Revoked) != 0 || f.writes != 3 {
		t.Errorf("the same report again ended %v with %d writes", idsOf(again.Revoked), f.writes)
	}
	// Whose mail was lost can be told then.
	if want := []token.ID{first.ID, second.ID}; !slices.Equal(again.Untold, want) {
		t.Errorf("the same report again has %v to tell, want %v", again.Untold, want)
	}
	f.told(first.ID)
	again, err = f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{firstBearer, secondBearer, overBearer}, "")
	checkErr(t, err, nil)
	if want := []token.ID{second.ID}; !slices.Equal(again.Untold, want) {
		t.Errorf("when one is told, the same report again has %v to tell, want %v", again.Untold, want)
	}
}

// A token in its overlap opens as much as any other.
func TestAReportEndsAnOverlap(t *testing.T) {
	f := newFixture(t)
	overlapping, overlappingBearer := f.issued(t, owner)
	over, overBearer := f.issued(t, owner)
	for id, until := range map[token.ID]time.Duration{overlapping.ID: time.Second, over.ID: 0} {
		tok := f.tokens[id]
		tok.WorksUntil = f.clock.Now().Add(until)
		f.tokens[id] = tok
	}
	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{overlappingBearer, overBearer}, "")
	checkErr(t, err, nil)
	both := []token.ID{overlapping.ID, over.ID}
	if want := both[:1]; !slices.Equal(idsOf(report.Revoked), want) || f.tokens[overlapping.ID].RevokedReason != token.ReasonLeak {
		t.Errorf("ended %v, want %v", idsOf(report.Revoked), want)
	}
	// Both have successors, which anybody who had the bearers may have made.
	if !slices.Equal(idsOf(report.Replaced), both) || !slices.Equal(report.Untold, both) {
		t.Errorf("replaced %v, to tell %v, want %v", idsOf(report.Replaced), report.Untold, both)
	}
}

// Breaks if somebody who finds a bearer and rotates it before it is reported goes unnoticed, or if an
// old value in a repository's history ends what works.
func TestTheFirstReportOfARotatedTokenIsRecorded(t *testing.T) {
	f := newFixture(t)
	old, bearer := f.issued(t, owner)
	next, err := f.issuer.RotateSelf(t.Context(), f.caller(f.tokens[old.ID]), lifecycle.Rotation{})
	checkErr(t, err, nil)
	f.events = nil
	f.clock.Advance(time.Hour)
	report := func() lifecycle.LeakReport {
		t.Helper()
		report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{bearer}, "https://git.example.test")
		checkErr(t, err, nil)
		if len(report.Revoked) != 0 || !f.tokens[next.Token.ID].RevokedAt.IsZero() || f.tokens[old.ID].RevokedReason != token.ReasonRotated {
			t.Fatalf("ended %v", idsOf(report.Revoked))
		}
		return report
	}
	want := []token.ID{old.ID}
	if got := report(); !slices.Equal(idsOf(got.Replaced), want) || !slices.Equal(got.Untold, want) {
		t.Errorf("the first: %+v", got)
	}
	recorded := []audit.Event{{
		At: f.clock.Now(), Name: audit.TokenReported, Entity: audit.AccountEntity(owner), Token: old.ID, Target: old.Name,
		Change: "found_in", To: "https://git.example.test", Origin: audit.Origin{Source: audit.Leak},
	}}
	if !slices.Equal(f.events, recorded) {
		t.Errorf("recorded %+v, want %+v", f.events, recorded)
	}
	if got := report(); len(got.Replaced) != 0 || !slices.Equal(got.Untold, want) { // the mail may be lost
		t.Errorf("the second, before the owner was told: %+v", got)
	}
	f.told(old.ID)
	if got := report(); len(got.Replaced) != 0 || len(got.Untold) != 0 || len(f.events) != 1 {
		t.Errorf("the third: %+v, recorded %d", got, len(f.events))
	}
}

// Breaks if somebody who rotates a token while it is being reported goes unnoticed.
func TestAReportThatLosesToARotation(t *testing.T) {
	for _, overlap := range []time.Duration{0, time.Hour} {
		f := newFixture(t)
		old, bearer := f.issued(t, owner)
		f.revokeToken = func(ended token.Token) error {
			f.revokeToken = nil
			_, err := f.issuer.RotateSelf(t.Context(), f.caller(f.tokens[old.ID]), lifecycle.Rotation{Overlap: overlap})
			checkErr(t, err, nil)
			return token.ErrSuperseded
		}
		report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{bearer}, "")
		checkErr(t, err, nil)
		if !slices.Equal(idsOf(report.Replaced), []token.ID{old.ID}) || !slices.Equal(report.Untold, []token.ID{old.ID}) {
			t.Errorf("overlap %s: %+v", overlap, report)
		}
		if ended := len(report.Revoked) == 1; ended != (overlap > 0) { // it still worked
			t.Errorf("overlap %s: ended %t", overlap, ended)
		}
	}
}

// Time that runs out must not start a write whose outcome nobody could learn.
func TestAReportStopsInTime(t *testing.T) {
	f := newFixture(t)
	var values []string
	for range 50 {
		_, bearer := f.issued(t, owner)
		values = append(values, bearer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries := atomic.Int64{}
	f.revokeToken = func(token.Token) error {
		if tries.Add(1) == 20 {
			cancel()
		}
		return nil
	}
	report, err := f.revoker.ReportLeaked(ctx, principal.Principal{}, values, "")
	checkErr(t, err, fault.ErrUnavailable)
	if ended := len(report.Revoked); ended < 20 || ended > 36 || len(report.Untold) != ended || int64(ended) != tries.Load() {
		t.Errorf("ended %d in %d tries, to tell %d", ended, tries.Load(), len(report.Untold))
	}
	if len(err.Error()) > 1000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	f.revokeToken = nil
	report, err = f.revoker.ReportLeaked(t.Context(), principal.Principal{}, values, "")
	checkErr(t, err, nil)
	if len(report.Revoked) != 50 { // the fake has written nothing
		t.Errorf("again: ended %d", len(report.Revoked))
	}
}

// A value of an earlier prefix, or one that today's prefixes would refuse, may
// work again tomorrow.
func TestAReportEndsWhatTheFormatOfTodayRefuses(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	f.parts.Format = secret.Format{Prefixes: []string{"lkpat_" + bearer[6:9]}}
	f.make(t)
	if _, err := f.parts.Format.Parse(bearer); err == nil {
		t.Fatal("not refused")
	}
	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{bearer}, "")
	checkErr(t, err, nil)
	if len(report.Revoked) != 1 {
		t.Error("not ended")
	}
}

// Breaks if strangers can make the table read what cannot be a token.
func TestOnlyWhatCanBeABearerIsLookedUpAndOnce(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	values := []string{
		bearer, "x", bearer[:len(bearer)-1] + "~", bearer[:len(bearer)-1], bearer + "0", strings.ToUpper(bearer), "x", "\x00", bearer, " " + bearer + "\r\n",
		"unknown-but-possible-value", "unknown but of no form at all", strings.Repeat("y", 19), strings.Repeat("y", 256), prefix + strings.Repeat("0", 36),
	}
	_, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, values, "")
	checkErr(t, err, nil)
	if len(f.lookups) != 1 || len(f.lookups[0]) != 3 { // the bearer, the chosen value, and one that is no bearer with another prefix
		t.Fatalf("lookups of %v", f.lookups)
	}
	_, err = f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{"x"}, "")
	checkErr(t, err, nil)
	if len(f.lookups) != 1 {
		t.Error("nothing was looked up")
	}
}

func TestAReportEndsTheBotOfAProject(t *testing.T) {
	f := newFixture(t)
	f.join(web, owner, project.Maintainer)
	issued, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, owner), project.KindProject, web.String(), wantedBot(nil))
	checkErr(t, err, nil)
	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{issued.Bearer.Reveal()}, "")
	checkErr(t, err, nil)
	if _, there := f.accts[issued.Token.Owner]; there || len(report.Revoked) != 1 {
		t.Errorf("ended %v, bot still there: %t", idsOf(report.Revoked), there)
	}
}

// Breaks if one failure leaves other leaked tokens alive, or is hidden.
func TestAReportGoesOnAfterAFailure(t *testing.T) {
	f := newFixture(t)
	var values []string
	var tokens []token.Token
	for range 5 {
		tok, bearer := f.issued(t, owner)
		tokens, values = append(tokens, tok), append(values, bearer)
	}
	odd := errors.New("odd")
	tries := atomic.Int64{}
	f.revokeToken = func(tok token.Token) error {
		tries.Add(1)
		switch tok.ID {
		case tokens[1].ID:
			return fault.ErrUnavailable
		case tokens[2].ID:
			return odd
		case tokens[3].ID:
			return fault.ErrNotFound // clean-up was faster
		}
		return nil
	}
	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, values, "")
	checkErr(t, err, fault.ErrUnavailable)
	if !errors.Is(err, odd) || !strings.Contains(err.Error(), fmt.Sprintf("token %s: odd", tokens[2].ID)) {
		t.Errorf("a failure is hidden: %v", err)
	}
	if want := []token.ID{tokens[0].ID, tokens[4].ID}; !slices.Equal(idsOf(report.Revoked), want) || tries.Load() != 5 {
		t.Errorf("ended %v by %d tries, want %v", idsOf(report.Revoked), tries.Load(), want)
	}
	f.revokeToken = nil
	report, err = f.revoker.ReportLeaked(t.Context(), principal.Principal{}, values, "")
	checkErr(t, err, nil)
	if len(report.Revoked) != 5 {
		t.Errorf("again: ended %d", len(report.Revoked))
	}
}

func TestAReportThatCannotBeLookedUpFails(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	f.tokensByDigest = func() error { return fault.ErrUnavailable }
	report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{bearer}, "")
	checkErr(t, err, fault.ErrUnavailable)
	if len(report.Revoked) != 0 || strings.Contains(err.Error(), bearer) {
		t.Errorf("ended %v, %v", report.Revoked, err)
	}
}

// A thousand at once must not be a thousand requests at once.
func TestAReportEndsSoManyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var values []string
		for range 100 {
			_, bearer := f.issued(t, owner)
			values = append(values, bearer)
		}
		var running atomic.Int64
		gate := make(chan struct{})
		f.revokeToken = func(token.Token) error {
			running.Add(1)
			<-gate
			return nil
		}
		done := make(chan lifecycle.LeakReport)
		go func() {
			report, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, values, "")
			checkErr(t, err, nil)
			done <- report
		}()
		synctest.Wait() // until nothing goes on by itself
		if n := running.Load(); n != 16 {
			t.Errorf("%d at a time", n)
		}
		close(gate)
		if report := <-done; len(report.Revoked) != 100 {
			t.Errorf("ended %d", len(report.Revoked))
		}
	})
}

// The audit trail says what was ended and where it was found, and never holds a
// bearer.
func TestAReportIsRecorded(t *testing.T) {
	f := newFixture(t)
	first, bearer := f.issued(t, owner)
	impersonation := f.give(t, other, func(tok *token.Token) { tok.Kind = token.Impersonation })
	f.join(web, owner, project.Maintainer)
	ofProject, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, owner), project.KindProject, web.String(), wantedBot(nil))
	checkErr(t, err, nil)
	f.join(acme, owner, project.Owner)
	ofGroup, err := f.issuer.CreateForProject(t.Context(), f.callerOf(t, owner), project.KindGroup, acme.String(), wantedBot(nil))
	checkErr(t, err, nil)
	values := []string{bearer, "", "x", "somebody-elses-token", ofProject.Bearer.Reveal(), ofGroup.Bearer.Reveal()}
	for _, test := range []struct{ name, source, want string }{
		{"no source", "", ""},
		{"a source", "https://git.example.test/acme/web", "https://git.example.test/acme/web"},
		{"a source with a reported value", "https://x.example.test/?t=" + bearer, ""},
		{"a source with somebody else's reported value", "found somebody-elses-token", ""},
		{"a source with what could be a bearer", "see lkpat_000", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.events = nil
			for _, tok := range []token.Token{first, impersonation, ofProject.Token, ofGroup.Token} {
				f.tokens[tok.ID] = tok
			}
			f.lookup = func() []token.Token { return []token.Token{first, impersonation, ofProject.Token, ofGroup.Token} }
			by := principal.Principal{Request: principal.Request{ID: "r", Address: netip.MustParseAddr("192.0.2.1")}}
			_, err := f.revoker.ReportLeaked(t.Context(), by, values, test.source)
			checkErr(t, err, nil)
			slices.SortFunc(f.events, func(a, b audit.Event) int { return cmp.Compare(a.Token, b.Token) })
			change := ""
			if test.want != "" {
				change = "found_in"
			}
			event := func(name audit.Name, entity audit.Entity, tok token.Token) audit.Event {
				return audit.Event{
					At: now, Name: name, Entity: entity, Token: tok.ID, Target: tok.Name, Change: change, To: test.want,
					Origin: audit.Origin{RequestID: "r", Address: "192.0.2.1", Source: audit.Leak},
				}
			}
			want := []audit.Event{
				event(audit.TokenRevoked, audit.AccountEntity(owner), first),
				event(audit.ImpersonationRevoked, audit.AccountEntity(other), impersonation),
				event(audit.ProjectTokenRevoked, audit.Entity{Type: audit.Project, ID: int64(web)}, ofProject.Token),
				event(audit.GroupTokenRevoked, audit.Entity{Type: audit.Group, ID: int64(acme)}, ofGroup.Token),
			}
			if !slices.Equal(f.events, want) {
				t.Errorf("recorded %+v, want %+v", f.events, want)
			}
		})
	}
}
