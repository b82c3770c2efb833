package secret

import (
	"bytes"
	"encoding/base64"
	"io"
	"time"
)

// NonceLength is the length of a Nonce in bytes.
const NonceLength = 16

// A Nonce makes the secrets of two uses of one idempotency key differ when
// they are more than its life apart. It is random and not secret.
type Nonce [NonceLength]byte

// NewNonce reads a nonce from random.
func NewNonce(random io.Reader) (nonce Nonce, err error) {
	_, err = io.ReadFull(random, nonce[:])
	return nonce, err
}

// A Request is one request that carries an idempotency key. The bearer it
// makes can be made again from it, which is why that bearer need not be stored
// for a retry to see the first reply.
type Request struct {
	// Caller is the digest of the bearer that authenticated the request.
	Caller Digest
	// Key is the client's Idempotency-Key.
	Key string
	// Body is everything that decides the outcome: route and parameters.
	Body []byte
}

// Handle returns the name under which the use of the key is stored. It tells
// nothing about caller or key to somebody who lacks the pepper.
func (p Pepper) Handle(r Request) string {
	return encode(p.labelled("idempotency handle", []byte(r.Caller.Key()), []byte(r.Key)))
}

// Fingerprint returns a value that differs when the body differs.
func (p Pepper) Fingerprint(r Request) string {
	return encode(p.labelled("idempotency body", []byte(r.Caller.Key()), []byte(r.Key), r.Body))
}

// Derive makes the bearer that belongs to request and nonce: the same for the
// same arguments. Its 160 secret bits are HMAC output, which nobody can
// compute without the pepper. Errors are those of New.
func (p Pepper) Derive(r Request, nonce Nonce, prefix string, owner int64) (Bearer, error) {
	seed := p.labelled("idempotency secret", []byte(r.Caller.Key()), []byte(r.Key), r.Body, nonce[:])
	return New(prefix, owner, bytes.NewReader(seed))
}

func encode(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum) }

// A Use is what is stored of an idempotency key that was used: enough to make
// the bearer again and to tell another body apart, and nothing secret.
type Use struct {
	Handle      string // see Pepper.Handle
	Fingerprint string // see Pepper.Fingerprint
	Nonce       Nonce
	// Prefix and Owner are the arguments that Derive was called with.
	Prefix string
	Owner  int64
	At     time.Time
}

// UseLife is how long a key stands for its first request.
const UseLife = 24 * time.Hour

// Good reports whether the use still stands at now.
func (u Use) Good(now time.Time) bool { return now.Before(u.At.Add(UseLife)) }
