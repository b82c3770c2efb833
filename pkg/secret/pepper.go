package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// MinPepperLength is the least length of a pepper in bytes: the output size of SHA-256, as RFC 2104
// section 3 recommends for HMAC keys.
const MinPepperLength = sha256.Size

// ErrPepper means that a pepper is too short to protect anything.
var ErrPepper = errors.New("pepper is too short")

// A Pepper is the deployment's key for digests. Like a Bearer it does not print itself. The key is
// a pointer to a string, because fmt follows a pointer to a slice when the verb is wrong. Changing
// the key invalidates every token. A Pepper is safe for concurrent use.
type Pepper struct{ key *string }

// NewPepper accepts a key of at least MinPepperLength bytes, otherwise it returns ErrPepper.
func NewPepper(key string) (Pepper, error) {
	if len(key) < MinPepperLength {
		return Pepper{}, fmt.Errorf("%w: %d of at least %d bytes", ErrPepper, len(key), MinPepperLength)
	}
	return Pepper{key: &key}, nil
}

// Format implements fmt.Formatter and prints a placeholder for every verb.
func (Pepper) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted pepper]") }

// UnmarshalText reads a pepper from configuration; see NewPepper.
func (p *Pepper) UnmarshalText(text []byte) (err error) {
	*p, err = NewPepper(string(text))
	return err
}

// LogValue returns a placeholder.
func (Pepper) LogValue() slog.Value { return slog.StringValue("[redacted pepper]") }

// Digest returns the stored form of a bearer: HMAC-SHA-256 of the whole bearer under the pepper.
func (p Pepper) Digest(bearer Bearer) Digest {
	return DigestFromKey(encode(p.sum([]byte(bearer.Reveal()))))
}

func (p Pepper) sum(message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(*p.key))
	mac.Write(message)
	return mac.Sum(nil)
}

// labelled returns the HMAC of parts under the pepper. The label starts with a NUL byte, which no
// bearer contains, so that derived values cannot collide with digests. The lengths separate the
// parts.
func (p Pepper) labelled(label string, parts ...[]byte) []byte {
	message := append([]byte{0}, label...)
	for _, part := range parts {
		message = binary.BigEndian.AppendUint64(message, uint64(len(part)))
		message = append(message, part...)
	}
	return p.sum(message)
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
