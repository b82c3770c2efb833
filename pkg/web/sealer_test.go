package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/web"
)

const (
	oldKey = "an old key of a test, long enough: 1"
	newKey = "a new key of a test, long enough: 22"
)

func sealer(t *testing.T, keys ...string) *web.Sealer {
	t.Helper()
	s, err := web.NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t *testing.T, s *web.Sealer, purpose, value string) string {
	t.Helper()
	text, err := s.Seal(purpose, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealedValueOpens(t *testing.T) {
	s := sealer(t, newKey)
	for _, value := range []string{"", "x", strings.Repeat("long ", 500)} {
		text := seal(t, s, "session", value)
		opened, err := s.Open("session", text)
		if err != nil || string(opened) != value {
			t.Errorf("%q opens as %q, %v", value, opened, err)
		}
		if len(value) > 1 && strings.Contains(text, value) {
			t.Errorf("%q is readable", value)
		}
		if text == seal(t, s, "session", value) {
			t.Error("the same value seals to the same text, so an observer can compare")
		}
	}
}

// Breaks if anybody but the Sealer can make a text that opens, or use one for something else.
func TestForgedCutAndSwappedTextsStayShut(t *testing.T) {
	s := sealer(t, newKey)
	text := seal(t, s, "session", "58")
	id, body, _ := strings.Cut(text, ".")
	for name, forged := range map[string]string{
		"nothing": "", "only the id": id + ".", "no id": body, "another id": "AAAAAAAA." + body,
		"padded": text + "=", "with a space": text + " ", "another deployment's": seal(t, sealer(t, oldKey), "session", "58"),
		"another deployment's under our id": id + "." + strings.SplitN(seal(t, sealer(t, oldKey), "session", "58"), ".", 2)[1],
		"another purpose's":                 seal(t, s, "sign-in", "58"),
	} {
		if _, err := s.Open("session", forged); !errors.Is(err, web.ErrSeal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text {
		if _, err := s.Open("session", text[:i]); !errors.Is(err, web.ErrSeal) {
			t.Errorf("cut after %d: %v", i, err)
		}
		for _, c := range []byte("A_b9") {
			changed := []byte(text)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if _, err := s.Open("session", string(changed)); !errors.Is(err, web.ErrSeal) {
				t.Errorf("changed at %d: %v", i, err)
			}
		}
	}
}

func TestKeysRotate(t *testing.T) {
	before, during, after := sealer(t, oldKey), sealer(t, newKey, oldKey), sealer(t, newKey)
	text := seal(t, before, "session", "58")
	if opened, err := during.Open("session", text); err != nil || !bytes.Equal(opened, []byte("58")) {
		t.Errorf("with the old key still there: %q, %v", opened, err)
	}
	if _, err := after.Open("session", text); !errors.Is(err, web.ErrSeal) {
		t.Errorf("with the old key gone: %v", err)
	}
	if _, err := after.Open("session", seal(t, during, "session", "58")); err != nil {
		t.Errorf("the newest key does not seal: %v", err)
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	for _, keys := range [][]string{nil, {""}, {newKey[:web.MinCookieKeyLength-1]}, {newKey, ""}} {
		if _, err := web.NewSealer(keys...); err == nil {
			t.Errorf("%q are taken", keys)
		}
	}
	if _, err := web.NewSealer(newKey[:web.MinCookieKeyLength]); err != nil {
		t.Errorf("the shortest key: %v", err)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	s := sealer(t, newKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, s); strings.Contains(text, "key of a test") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
