package lifecycle_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// issued makes a token and returns it with its bearer.
func (f *fixture) issued(t *testing.T, id token.OwnerID) (token.Token, string) {
	t.Helper()
	got, err := f.issuer.CreateByConsole(t.Context(), f.users[id], spec(), "")
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
	chosen, err := f.issuer.CreateByConsole(t.Context(), f.users[other], spec(), "token-string-here123")
	checkErr(t, err, nil)
	f.clock.Advance(time.Hour)
	checkErr(t, f.revoker.RevokeByConsole(t.Context(), over.ID), nil)
	f.clock.Advance(time.Hour)
	f.writes = 0

	ended, err := f.revoker.ReportLeaked(t.Context(), []string{
		"", "x", secondBearer, firstBearer, "somebody-elses-token-here", "token-string-here123", firstBearer, overBearer,
		firstBearer + "0", strings.ToUpper(firstBearer), strings.Repeat("y", 5000), "\x00nul", "no \xff text", firstBearer,
	})
	checkErr(t, err, nil)
	if want := []token.ID{first.ID, second.ID, chosen.Token.ID}; !slices.Equal(idsOf(ended), want) {
		t.Errorf("ended %v, want %v", idsOf(ended), want)
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
	again, err := f.revoker.ReportLeaked(t.Context(), []string{firstBearer, secondBearer})
	checkErr(t, err, nil)
	if len(again) != 0 || f.writes != 3 {
		t.Errorf("the same report again ended %v with %d writes", idsOf(again), f.writes)
	}
}

// A value of an earlier prefix, or one that today's prefixes would refuse, may
// work again tomorrow.
func TestAReportEndsWhatTheFormatOfTodayRefuses(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	f.revoker.Format = secret.Format{Prefixes: []string{"lkpat_" + bearer[6:9]}}
	if _, err := f.revoker.Format.Parse(bearer); err == nil {
		t.Fatal("not refused")
	}
	ended, err := f.revoker.ReportLeaked(t.Context(), []string{bearer})
	checkErr(t, err, nil)
	if len(ended) != 1 {
		t.Error("not ended")
	}
}

// Breaks if a malformed value is told from an unknown one by a lookup that is
// not made.
func TestEveryReportedValueIsLookedUpOnce(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	malformed := bearer[:len(bearer)-1] + "~"
	_, err := f.revoker.ReportLeaked(t.Context(), []string{bearer, "x", malformed, "x", "", "\x00", bearer, "unknown-but-possible-value"})
	checkErr(t, err, nil)
	if len(f.lookups) != 1 || len(f.lookups[0]) != 6 {
		t.Fatalf("lookups of %v", f.lookups)
	}
	_, err = f.revoker.ReportLeaked(t.Context(), nil)
	checkErr(t, err, nil)
}

func TestAReportEndsTheBotOfAProject(t *testing.T) {
	f := newFixture(t)
	f.join(web, owner, token.Maintainer)
	issued, err := f.issuer.CreateForResource(t.Context(), f.callerOf(t, owner), principal.Project, web.String(), wantedBot(nil))
	checkErr(t, err, nil)
	ended, err := f.revoker.ReportLeaked(t.Context(), []string{issued.Bearer.Reveal()})
	checkErr(t, err, nil)
	if _, there := f.users[issued.Token.Owner]; there || len(ended) != 1 {
		t.Errorf("ended %v, bot still there: %t", idsOf(ended), there)
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
			return token.ErrUnavailable
		case tokens[2].ID:
			return odd
		case tokens[3].ID:
			return token.ErrNotFound // clean-up was faster
		}
		return nil
	}
	ended, err := f.revoker.ReportLeaked(t.Context(), values)
	checkErr(t, err, token.ErrUnavailable)
	if !errors.Is(err, odd) || !strings.Contains(err.Error(), fmt.Sprintf("token %s: odd", tokens[2].ID)) {
		t.Errorf("a failure is hidden: %v", err)
	}
	if want := []token.ID{tokens[0].ID, tokens[4].ID}; !slices.Equal(idsOf(ended), want) || tries.Load() != 5 {
		t.Errorf("ended %v by %d tries, want %v", idsOf(ended), tries.Load(), want)
	}
	f.revokeToken = nil
	ended, err = f.revoker.ReportLeaked(t.Context(), values)
	checkErr(t, err, nil)
	if len(ended) != 5 {
		t.Errorf("again: ended %d", len(ended))
	}
}

func TestAReportThatCannotBeLookedUpFails(t *testing.T) {
	f := newFixture(t)
	_, bearer := f.issued(t, owner)
	f.tokensByDigest = func() error { return token.ErrUnavailable }
	ended, err := f.revoker.ReportLeaked(t.Context(), []string{bearer})
	checkErr(t, err, token.ErrUnavailable)
	if len(ended) != 0 || strings.Contains(err.Error(), bearer) {
		t.Errorf("ended %v, %v", ended, err)
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
		done := make(chan []token.Token)
		go func() {
			ended, err := f.revoker.ReportLeaked(t.Context(), values)
			checkErr(t, err, nil)
			done <- ended
		}()
		synctest.Wait() // until nothing goes on by itself
		if n := running.Load(); n != 16 {
			t.Errorf("%d at a time", n)
		}
		close(gate)
		if ended := <-done; len(ended) != 100 {
			t.Errorf("ended %d", len(ended))
		}
	})
}
