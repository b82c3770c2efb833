package secret_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"latchkey/pkg/secret"
)

const pepperKey = "pepper-of-thirty-two-bytes-12345"

func pepper(t testing.TB, key string) secret.Pepper {
	t.Helper()
	p, err := secret.NewPepper(key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hmac is RFC 2104 section 2, written out.
func hmac(key, message string) []byte {
	const block = 64
	if len(key) > block {
		sum := sha256.Sum256([]byte(key))
		key = string(sum[:])
	}
	pad := func(with byte) []byte {
		out := bytes.Repeat([]byte{with}, block)
		for i := range len(key) {
			out[i] ^= key[i]
		}
		return out
	}
	inner := sha256.Sum256(append(pad(0x36), message...))
	outer := sha256.Sum256(append(pad(0x5c), inner[:]...))
	return outer[:]
}

func TestDigestIsTheHMACOfTheWholeBearer(t *testing.T) {
	for _, key := range []string{pepperKey, strings.Repeat("k", 64), strings.Repeat("k", 65), "\x00\xff" + pepperKey} {
		for _, value := range []string{bearer(t, prefix, 58).Reveal(), bearer(t, "", 62*62*62).Reveal(), "token-string-here123"} {
			b, err := format.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			digest := pepper(t, key).Digest(b)
			// Breaks if the prefix is left out, the pepper is not the key, or
			// the encoding changes: each would kill every stored token.
			want := base64.RawURLEncoding.EncodeToString(hmac(key, value))
			if digest.Key() != want || len(want) != 43 {
				t.Errorf("Digest() = %s, want %s", digest.Key(), want)
			}
			if digest != secret.DigestFromKey(want) || digest.IsZero() {
				t.Error("a digest that went through the table is another one")
			}
		}
	}
}

func TestDigestsDiffer(t *testing.T) {
	p := pepper(t, pepperKey)
	a, b := bearer(t, prefix, 58), bearer(t, prefix, 59)
	if p.Digest(a) == p.Digest(b) {
		t.Error("two bearers have one digest")
	}
	// Breaks if tokens would survive a change of the pepper.
	if p.Digest(a) == pepper(t, pepperKey[1:]+"x").Digest(a) {
		t.Error("two peppers make one digest")
	}
}

func TestZeroDigestBelongsToNoBearer(t *testing.T) {
	for name, digest := range map[string]secret.Digest{"zero": {}, "from an empty key": secret.DigestFromKey("")} {
		if !digest.IsZero() || digest.Key() != "" || digest != (secret.Digest{}) {
			t.Errorf("%s: IsZero() = %t, Key() = %q", name, digest.IsZero(), digest.Key())
		}
	}
}

func TestPepperHasAtLeast32Bytes(t *testing.T) {
	for length, want := range map[int]error{0: secret.ErrPepper, 31: secret.ErrPepper, 32: nil, 33: nil, 1000: nil} {
		key := strings.Repeat("k", length)
		if _, err := secret.NewPepper(key); !errors.Is(err, want) {
			t.Errorf("NewPepper of %d bytes: %v, want %v", length, err, want)
		}
		var p secret.Pepper
		if err := p.UnmarshalText([]byte(key)); !errors.Is(err, want) {
			t.Errorf("UnmarshalText of %d bytes: %v, want %v", length, err, want)
		}
	}
	_, err := secret.NewPepper("too-short-a-pepper")
	if strings.Contains(err.Error(), "too-short-a-pepper") {
		t.Errorf("the error shows the pepper: %v", err)
	}
}

// An empty key would make digests that everybody can compute.
func TestZeroPepperDigestsNothing(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a pepper that was never set made a digest")
		}
	}()
	secret.Pepper{}.Digest(bearer(t, prefix, 58))
}
