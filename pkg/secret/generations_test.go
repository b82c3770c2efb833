package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/secret"
)

var (
	firstKey  = strings.Repeat("first-key!", 4)
	secondKey = strings.Repeat("second-key", 4)
	thirdKey  = strings.Repeat("third-key!", 4)
)

func list(t *testing.T, keys ...string) string {
	t.Helper()
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Breaks if a change of the pepper loses tokens: a generation must find what it made, wherever it stands.
func TestEveryGenerationFindsWhatItMade(t *testing.T) {
	b := bearer(t, prefix, 58)
	alone := pepper(t, firstKey)
	for _, keys := range [][]string{{firstKey}, {firstKey, secondKey}, {secondKey, firstKey}, {thirdKey, secondKey, firstKey}} {
		p := pepper(t, list(t, keys...))
		digests := p.Digests(b)
		at := slices.Index(keys, firstKey)
		if len(digests) != len(keys) || digests[at] != alone.Digest(b) || p.Generation(at) != alone.Generation(0) {
			t.Errorf("generation %d of %d does not find the token", at, len(keys))
		}
		if digests[0] != p.Digest(b) || digests[0] != pepper(t, keys[0]).Digest(b) {
			t.Errorf("the first of %d generations does not make the digest", len(keys))
		}
	}
	if alone.Generation(0) == pepper(t, secondKey).Generation(0) {
		t.Error("two generations have one name")
	}
	if len(alone.Generation(0)) != 8 || strings.Contains(firstKey, string(alone.Generation(0))) {
		t.Errorf("name %q", alone.Generation(0))
	}
}

// Breaks if two tries of one request make two tokens, because a deployment has updated one function and
// not yet the other.
func TestAKeyMeansTheSameInDifferentlyUpdatedFunctions(t *testing.T) {
	caller := bearer(t, prefix, 58)
	before, after := pepper(t, list(t, firstKey, secondKey)), pepper(t, list(t, secondKey, firstKey))
	for n, generation := range []secret.Generation{before.Generation(0), before.Generation(1)} {
		r := secret.Request{Caller: before.Digests(caller)[n], Generation: generation, Key: "key", Body: []byte("body")}
		one, err := before.Derive(r, secret.Nonce{1}, prefix, 58)
		other, err2 := after.Derive(r, secret.Nonce{1}, prefix, 58)
		if err != nil || err2 != nil || one.Reveal() != other.Reveal() || before.Handle(r) != after.Handle(r) || before.Fingerprint(r) != after.Fingerprint(r) {
			t.Errorf("a caller of generation %d gets different tokens", n)
		}
	}
	r := secret.Request{Caller: before.Digest(caller), Generation: before.Generation(0), Key: "key"}
	of := r
	of.Generation = before.Generation(1)
	if before.Handle(r) == before.Handle(of) {
		t.Error("the generation of the caller does not count")
	}
}

func TestPeppersThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no list": "[" + firstKey, "a list of numbers": "[1,2]", "an empty list": "[]", "a short generation": list(t, firstKey, "short"),
		"four generations": list(t, firstKey, secondKey, thirdKey, firstKey+"4"), "one twice": list(t, firstKey, firstKey),
		"null": "[null]", "a list and more": list(t, firstKey) + "x", "a list behind a space": " [" + firstKey,
	} {
		p, err := secret.NewPepper(text)
		if !errors.Is(err, secret.ErrPepper) || p != (secret.Pepper{}) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), firstKey) {
			t.Errorf("%s: the error shows the pepper", name)
		}
	}
	p := pepper(t, list(t, firstKey, secondKey))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		for _, value := range []any{p, &p, struct{ p secret.Pepper }{p}, []secret.Pepper{p}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "first-key") || strings.Contains(got, "second-key") || strings.Contains(got, fmt.Sprintf("%x", "first-key")) {
				t.Errorf("%s shows the pepper: %s", verb, got)
			}
		}
	}
}
