package secret_test

import (
	"bytes"
	"testing"
	"testing/iotest"
	"time"

	"latchkey/pkg/secret"
)

// A retry gets the first bearer because it is the same request; everything
// else must get another bearer, or one client would be shown another's.
func TestDeriveDependsOnEverything(t *testing.T) {
	type arguments struct {
		pepper, caller, key, body string
		nonce                     byte
		prefix                    string
		owner                     int64
	}
	base := arguments{pepperKey, "caller-digest", "key", "body", 1, prefix, 58}
	derive := func(t *testing.T, a arguments) (bearer, handle, fingerprint string) {
		t.Helper()
		p := pepper(t, a.pepper)
		r := secret.Request{Caller: secret.DigestFromKey(a.caller), Key: a.key, Body: []byte(a.body)}
		b, err := p.Derive(r, secret.Nonce{a.nonce}, a.prefix, a.owner)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (secret.Format{Prefixes: []string{a.prefix}}).Parse(b.Reveal()); err != nil {
			t.Errorf("derived bearer is malformed: %v", err)
		}
		if hint, _ := b.OwnerHint(); hint != a.owner {
			t.Errorf("OwnerHint() = %d, want %d", hint, a.owner)
		}
		return b.Reveal(), p.Handle(r), p.Fingerprint(r)
	}
	first, handle, fingerprint := derive(t, base)
	if again, _, _ := derive(t, base); again != first {
		t.Errorf("the same request makes %s and %s", first, again)
	}
	if handle == fingerprint {
		t.Error("handle and fingerprint are one value")
	}

	tests := []struct {
		name                           string
		change                         func(*arguments)
		otherHandle, otherFingerprints bool
	}{
		{"another pepper", func(a *arguments) { a.pepper = pepperKey + "x" }, true, true},
		{"another caller", func(a *arguments) { a.caller = "caller-digesu" }, true, true},
		{"another key", func(a *arguments) { a.key = "Key" }, true, true},
		{"another body", func(a *arguments) { a.body = "bodz" }, false, true},
		{"an empty body", func(a *arguments) { a.body = "" }, false, true},
		{"another nonce", func(a *arguments) { a.nonce = 2 }, false, false},
		{"another prefix", func(a *arguments) { a.prefix = "lkprj_" }, false, false},
		{"another owner", func(a *arguments) { a.owner = 59 }, false, false},
		{"a part of the key moved to the body", func(a *arguments) { a.key, a.body = "ke", "ybody" }, true, true},
		{"a part of the body moved to the key", func(a *arguments) { a.key, a.body = "keyb", "ody" }, true, true},
		{"a part of the caller moved to the key", func(a *arguments) { a.caller, a.key = "caller-diges", "tkey" }, true, true},
		{"the nonce moved to the body", func(a *arguments) { a.body, a.nonce = "body\x01", 0 }, false, true},
		{"key and body exchanged", func(a *arguments) { a.key, a.body = a.body, a.key }, true, true},
	}
	seen := map[string]string{first: "the first request"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := base
			test.change(&changed)
			b, h, f := derive(t, changed)
			if other, twice := seen[b]; twice {
				t.Errorf("makes the bearer of %s", other)
			}
			seen[b] = test.name
			if (h != handle) != test.otherHandle {
				t.Errorf("handle differs: %t, want %t", h != handle, test.otherHandle)
			}
			if (f != fingerprint) != test.otherFingerprints {
				t.Errorf("fingerprint differs: %t, want %t", f != fingerprint, test.otherFingerprints)
			}
		})
	}
}

func TestDeriveFailsLikeNew(t *testing.T) {
	p := pepper(t, pepperKey)
	if _, err := p.Derive(secret.Request{}, secret.Nonce{}, prefix, 0); err == nil {
		t.Error("owner 0 is accepted")
	}
	if _, err := p.Derive(secret.Request{}, secret.Nonce{}, "a b", 1); err == nil {
		t.Error("a prefix with a space is accepted")
	}
}

// Handles and fingerprints are stored, so neither may be a digest of
// something that somebody could present as a bearer.
func TestDerivedValuesAreNoDigests(t *testing.T) {
	p := pepper(t, pepperKey)
	value := "idempotency-handle-as-chosen"
	b, err := format.Choose(value)
	if err != nil {
		t.Fatal(err)
	}
	r := secret.Request{Key: value}
	digest := p.Digest(b).Key()
	if p.Handle(r) == digest || p.Fingerprint(r) == digest {
		t.Error("a stored value is a digest")
	}
}

func TestNewNonce(t *testing.T) {
	nonce, err := secret.NewNonce(bytes.NewReader([]byte("0123456789abcdefX")))
	if err != nil || string(nonce[:]) != "0123456789abcdef" {
		t.Errorf("NewNonce() = %q, %v", nonce, err)
	}
	for name, reader := range map[string]*bytes.Reader{"too few bytes": bytes.NewReader(make([]byte, 15)), "none": bytes.NewReader(nil)} {
		if _, err := secret.NewNonce(reader); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := secret.NewNonce(iotest.ErrReader(iotest.ErrTimeout)); err == nil {
		t.Error("a reader that fails: no error")
	}
}

func TestUseStandsFor24Hours(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	use := secret.Use{At: at}
	for name, test := range map[string]struct {
		now  time.Time
		want bool
	}{
		"at once":                 {at, true},
		"a second before the end": {at.Add(24*time.Hour - time.Second), true},
		"at the end":              {at.Add(24 * time.Hour), false},
		"a second after the end":  {at.Add(24*time.Hour + time.Second), false},
	} {
		if got := use.Good(test.now); got != test.want {
			t.Errorf("%s: Good() = %t", name, got)
		}
	}
}
