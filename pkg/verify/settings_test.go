package verify_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// If this fails, a check costs more than its one request, or goes by settings
// for longer than SettingsAge.
func TestSettingsAreReadAgainWhenTheyAreOld(t *testing.T) {
	f := newFixture(t)
	want := 0
	for _, step := range []struct {
		name  string
		after time.Duration
		reads bool
	}{
		{"the first check reads them", 0, true},
		{"the next one does not", 0, false},
		{"nor does one a second before they are old", verify.SettingsAge - time.Second, false},
		{"one reads them at that age", time.Second, true},
		{"not the next one", time.Second, false},
		{"one reads them long after", time.Hour, true},
		{"one reads them when the clock went back", -time.Minute, true},
	} {
		f.clock.Set(f.clock.Now().Add(step.after))
		if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		if step.reads {
			want++
		}
		if f.store.reads != want {
			t.Errorf("%s: read %d times, want %d", step.name, f.store.reads, want)
		}
	}
	if f.store.checks != 7 {
		t.Errorf("%d requests for 7 checks", f.store.checks)
	}
}

func TestWithoutAMemoryEveryCheckReadsTheSettings(t *testing.T) {
	f := newFixture(t)
	f.parts.Kept = nil
	f.make(t)
	for range 3 {
		if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	if f.store.reads != 3 {
		t.Errorf("read %d times, want 3", f.store.reads)
	}
}

// An expired token works on while expiry is not enforced, a revoked one never.
func TestExpiryThatIsNotEnforced(t *testing.T) {
	f := newFixture(t)
	f.store.settings.ExpiryIgnored = true
	f.clock.Set(midnight.Add(time.Hour))
	p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
	if err != nil || !p.Settings.ExpiryIgnored {
		t.Fatalf("%+v, %v", p.Settings, err)
	}
	f.store.settings.ExpiryIgnored = false
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
		t.Errorf("within the age of the settings: %v", err)
	}
	f.clock.Set(f.clock.Now().Add(verify.SettingsAge))
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrExpired) {
		t.Errorf("after it: %v", err)
	}
	f.store.settings.ExpiryIgnored = true
	f.token.RevokedAt, f.token.RevokedReason = noon, token.ReasonRequest
	f.clock.Set(f.clock.Now().Add(verify.SettingsAge))
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
}

func undecided(context.Context, []secret.Digest, account.ID) (token.Token, account.Account, error) {
	return token.Token{}, account.Account{}, fault.ErrUnavailable
}

func TestImpersonationThatIsSwitchedOff(t *testing.T) {
	f := newFixture(t)
	f.store.settings.ImpersonationOff = true
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); err != nil {
		t.Errorf("an ordinary token: %v", err)
	}
	f.token.Kind = token.Impersonation
	marks := len(f.store.marks)
	var refusal *verify.Refusal
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrImpersonation) || !errors.As(err, &refusal) || refusal.Token.ID != f.token.ID {
		t.Errorf("an impersonation token: %v", err)
	}
	if len(f.store.marks) != marks {
		t.Error("a refused token was marked as used")
	}
	f.token.RevokedAt, f.token.RevokedReason = noon, token.ReasonRequest
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrRevoked) {
		t.Errorf("a revoked impersonation token: %v", err)
	}
}

// If this fails, what a failed read left of the settings is gone by for a while.
func TestSettingsOfAFailedReadAreNotKept(t *testing.T) {
	f := newFixture(t)
	working := f.store.check
	f.store.settings.ExpiryIgnored = true
	f.store.check = undecided
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Fatal(err)
	}
	f.store.check, f.store.settings.ExpiryIgnored = working, false
	f.clock.Set(midnight)
	if _, err := f.Verify(t.Context(), f.bearer, netip.Addr{}); !errors.Is(err, token.ErrExpired) {
		t.Errorf("err = %v", err)
	}
}
