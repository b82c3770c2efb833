package secret

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"time"
)

// NonceLength is the length of a Nonce in bytes.
const NonceLength = 16

// A Nonce makes the secrets of two uses of one idempotency key differ after the first use has
// expired. It is random and not secret.
type Nonce [NonceLength]byte

// NewNonce reads a nonce from random.
func NewNonce(random io.Reader) (nonce Nonce, err error) {
	_, err = io.ReadFull(random, nonce[:])
	return nonce, err
}

// A Request is a request with an idempotency key. Its bearer can be derived from it again, so a
// retry can get the first reply although the bearer is not stored.
type Request struct {
	// Caller is the digest of the bearer that authenticated the request.
	Caller Digest
	// Generation is that of Caller. It decides the key of everything below, so that functions that
	// have got a new pepper and functions that have not find the same use.
	Generation Generation
	// Key is the client's Idempotency-Key.
	Key string
	// Body is everything that decides the outcome: route and parameters.
	Body []byte
}

// Handle returns the name under which the use of the key is stored. It reveals nothing about caller
// or key without the pepper.
func (p Pepper) Handle(r Request) string {
	return encode(p.labelled(p.at(r.Generation), "idempotency handle", []byte(r.Caller.Key()), []byte(r.Key)))
}

// Fingerprint returns a value that differs for different bodies.
func (p Pepper) Fingerprint(r Request) string {
	return encode(p.labelled(p.at(r.Generation), "idempotency body", []byte(r.Caller.Key()), []byte(r.Key), r.Body))
}

// Derive returns the bearer of a request and nonce, always the same for the same arguments. Its 160
// secret bits are HMAC output, which nobody can compute without the pepper. Errors are those of
// New.
func (p Pepper) Derive(r Request, nonce Nonce, prefix string, owner int64) (Bearer, error) {
	seed := p.labelled(p.at(r.Generation), "idempotency secret", []byte(r.Caller.Key()), []byte(r.Key), r.Body, nonce[:])
	return New(prefix, owner, bytes.NewReader(seed))
}

// at returns the place of a generation. One that left the pepper has no tokens that could present a
// key, so its place does not matter.
func (p Pepper) at(g Generation) int { return max(0, slices.Index(p.names[:p.count], g)) }

func encode(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum) }

// A Use is the stored use of an idempotency key. It is enough to derive the bearer again and to
// detect another body, and holds nothing secret.
type Use struct {
	Handle      string // see Pepper.Handle
	Fingerprint string // see Pepper.Fingerprint
	Nonce       Nonce
	// Prefix and Owner are the arguments of Derive.
	Prefix string
	Owner  int64
	At     time.Time
}

// UseLife is how long a key belongs to its first request.
const UseLife = 24 * time.Hour

// Good reports whether the use is valid at now.
func (u Use) Good(now time.Time) bool { return now.Before(u.At.Add(UseLife)) }
