package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// MinPepperLength is the least length of a generation of the pepper in bytes: the output size of
// SHA-256, as RFC 2104 section 3 recommends for HMAC keys.
const MinPepperLength = sha256.Size

// MaxGenerations is how many generations a pepper has at most. Each costs every check a read.
const MaxGenerations = 3

// ErrPepper means that a text is no pepper. Errors around it do not repeat the text.
var ErrPepper = errors.New("not a pepper")

// A Pepper is the deployment's key for digests, in one to three generations. The first makes
// digests, and all of them find tokens, so the key can change while tokens work. Like a Bearer it
// does not print itself. The keys are pointers to strings, because fmt follows a pointer to a slice
// when the verb is wrong. A Pepper is safe for concurrent use.
type Pepper struct {
	keys  [MaxGenerations]*string
	names [MaxGenerations]Generation
	count int
}

// A Generation is the public name of one generation of a pepper: 8 characters of base64url, derived
// from the key. Records carry it, so that tokens can be counted by generation. "" is the generation
// of tokens that were made before generations had names.
type Generation string

// NewPepper reads a pepper: one key, or a JSON list of keys, the first of which makes digests. A
// text that starts with a bracket must be such a list. Each key has at least MinPepperLength bytes,
// and no key occurs twice. Otherwise NewPepper returns ErrPepper.
func NewPepper(text string) (Pepper, error) {
	keys := []string{text}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		// The error of the decoder could quote the text.
		if json.Unmarshal([]byte(text), &keys) != nil {
			return Pepper{}, fmt.Errorf("%w: starts with a bracket and is no JSON list of texts", ErrPepper)
		}
	}
	if len(keys) < 1 || len(keys) > MaxGenerations {
		return Pepper{}, fmt.Errorf("%w: %d generations, and not 1 to %d", ErrPepper, len(keys), MaxGenerations)
	}
	p := Pepper{count: len(keys)}
	for n, key := range keys {
		if len(key) < MinPepperLength {
			return Pepper{}, fmt.Errorf("%w: generation %d has %d of at least %d bytes", ErrPepper, n+1, len(key), MinPepperLength)
		}
		if slices.Contains(keys[:n], key) {
			return Pepper{}, fmt.Errorf("%w: generation %d repeats an earlier one", ErrPepper, n+1)
		}
		p.keys[n] = &key
		p.names[n] = Generation(encode(p.labelled(n, "generation")[:generationBytes]))
	}
	return p, nil
}

// generationBytes are enough to tell three keys apart, and tell nothing about them.
const generationBytes = 6

// Format implements fmt.Formatter and prints a placeholder for every verb.
func (Pepper) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted pepper]") }

// UnmarshalText reads a pepper from configuration; see NewPepper.
func (p *Pepper) UnmarshalText(text []byte) (err error) {
	*p, err = NewPepper(string(text))
	return err
}

// LogValue returns a placeholder.
func (Pepper) LogValue() slog.Value { return slog.StringValue("[redacted pepper]") }

// Digest returns the stored form of a new bearer: HMAC-SHA-256 of the whole bearer under the first
// generation.
func (p Pepper) Digest(bearer Bearer) Digest { return p.digest(0, bearer) }

// Digests returns the stored forms under which a token with this bearer can be found, one for each
// generation, that of Digest first.
func (p Pepper) Digests(bearer Bearer) []Digest {
	digests := make([]Digest, p.count)
	for n := range digests {
		digests[n] = p.digest(n, bearer)
	}
	return digests
}

// Generation returns the name of the generation that made the nth digest of Digests.
func (p Pepper) Generation(n int) Generation { return p.names[n] }

func (p Pepper) digest(n int, bearer Bearer) Digest {
	return DigestFromKey(encode(p.sum(n, []byte(bearer.Reveal()))))
}

func (p Pepper) sum(n int, message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(*p.keys[n]))
	mac.Write(message)
	return mac.Sum(nil)
}

// labelled returns the HMAC of parts under the generation n. The label starts with a NUL byte,
// which no bearer contains, so that derived values cannot collide with digests. The lengths
// separate the parts.
func (p Pepper) labelled(n int, label string, parts ...[]byte) []byte {
	message := append([]byte{0}, label...)
	for _, part := range parts {
		message = binary.BigEndian.AppendUint64(message, uint64(len(part)))
		message = append(message, part...)
	}
	return p.sum(n, message)
}

// A Digest is the stored, one-way form of a bearer: 43 characters of base64url. It does not print
// itself. It holds the text under a mask that only this process knows, so that this is also true in
// an unexported field and for verbs that skip Format, such as %p and a wrong %w. Only Key returns
// it, for the store. The zero Digest belongs to no bearer. Digests can be compared with ==.
type Digest struct{ masked string }

// mask hides digests from what prints memory, such as a struct in a log line. It is no encryption.
var mask = func() (m [64]byte) {
	_, _ = rand.Read(m[:]) // it never fails
	return m
}()

func masked(text string) string {
	b := []byte(text)
	for i := range b {
		b[i] ^= mask[i%len(mask)]
	}
	return string(b)
}

// DigestFromKey returns the digest that Key wrote.
func DigestFromKey(key string) Digest { return Digest{masked(key)} }

// Key returns the digest for a key of the table.
func (d Digest) Key() string { return masked(d.masked) }

// IsZero reports whether d belongs to no bearer.
func (d Digest) IsZero() bool { return d == Digest{} }

// Format implements fmt.Formatter and prints a placeholder for every verb.
func (Digest) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted digest]") }

// MarshalText returns a placeholder, for JSON and every other encoder.
func (Digest) MarshalText() ([]byte, error) { return []byte("[redacted digest]"), nil }

// LogValue returns a placeholder.
func (Digest) LogValue() slog.Value { return slog.StringValue("[redacted digest]") }
