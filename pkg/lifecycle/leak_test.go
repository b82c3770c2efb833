package lifecycle_test

import (
	"cmp"
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
	if want := []token.ID{first.ID, second.ID, chosen.Token.ID}; !slices.Equal(idsOf(report.Revoked), want) || !slices.Equal(idsOf(report.Leaked), want) {
		t.Errorf("ended %v and knows of %v, want %v", idsOf(report.Revoked), idsOf(report.Leaked), want)
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
	if want := []token.ID{first.ID, second.ID}; !slices.Equal(idsOf(again.Leaked), want) {
		t.Errorf("the same report again knows of %v, want %v", idsOf(again.Leaked), want)
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
	if want := []token.ID{overlapping.ID}; !slices.Equal(idsOf(report.Revoked), want) || !slices.Equal(idsOf(report.Leaked), want) {
		t.Errorf("ended %v and knows of %v, want %v", idsOf(report.Revoked), idsOf(report.Leaked), want)
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

// Breaks if a malformed value is told from an unknown one by a lookup that is
// not made.
func TestEveryReportedValueIsLookedUpOnce(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	malformed := bearer[:len(bearer)-1] + "~"
	_, err := f.revoker.ReportLeaked(t.Context(), principal.Principal{}, []string{bearer, "x", malformed, "x", "", "\x00", bearer, "unknown-but-possible-value"}, "")
	checkErr(t, err, nil)
	if len(f.lookups) != 1 || len(f.lookups[0]) != 6 {
		t.Fatalf("lookups of %v", f.lookups)
	}
	_, err = f.revoker.ReportLeaked(t.Context(), principal.Principal{}, nil, "")
	checkErr(t, err, nil)
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
