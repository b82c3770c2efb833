package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/fault"
)

// MinCookieKeyLength is the length of the shortest cookie key, in bytes.
const MinCookieKeyLength = 32

// ErrSeal means that a text was not sealed here for this purpose: it was forged, cut, swapped with
// another one, or sealed under a key that is gone. It says no more, because the text is a stranger's.
var ErrSeal = fault.New(fault.Invalid, "seal broken")

// A Sealer seals short values for browsers to carry. Nobody else can read, change or make one. It
// is safe for concurrent use. Its text in a log is a placeholder.
//
// A sealed text is `<key id>.<base64url of nonce and AES-256-GCM>`. Each purpose has a key of its own
// (HKDF, RFC 5869), so a text that was sealed for one purpose does not open for another. Nonces are
// random, so a key is good for 2^32 texts (NIST SP 800-38D section 8.3).
//
// A Sealer does not know when a text was made. The value must hold what limits its life.
type Sealer struct{ keys []cookieKey } // the newest first, which seals

type cookieKey struct {
	id     string
	secret []byte
}

// NewSealer returns a Sealer with keys, the newest first. It seals with the newest and opens with each
// of them, so a key that was replaced stays in the list for as long as its texts matter.
func NewSealer(keys ...string) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no cookie key")
	}
	s := &Sealer{}
	for _, key := range keys {
		if len(key) < MinCookieKeyLength {
			return nil, fmt.Errorf("cookie key of fewer than %d bytes", MinCookieKeyLength)
		}
		id, err := hkdf.Key(sha256.New, []byte(key), nil, "latchkey cookie key id", 6)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, cookieKey{base64.RawURLEncoding.EncodeToString(id), []byte(key)})
	}
	return s, nil
}

// Seal seals value for a purpose.
func (s *Sealer) Seal(purpose string, value []byte) (string, error) {
	newest := s.keys[0]
	sealing, err := newest.aead(purpose)
	if err != nil {
		return "", err
	}
	sealed := sealing.Seal(nil, nil, value, nil) //nolint:gosec // G407: this AEAD makes its own nonce and takes none
	return newest.id + "." + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open returns the value of a text that Seal made for this purpose, or ErrSeal.
func (s *Sealer) Open(purpose, text string) ([]byte, error) {
	id, encoded, _ := strings.Cut(text, ".")
	for _, key := range s.keys {
		if key.id != id {
			continue
		}
		opening, err := key.aead(purpose)
		if err != nil {
			return nil, err
		}
		sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return nil, ErrSeal
		}
		value, err := opening.Open(nil, nil, sealed, nil)
		if err != nil {
			return nil, ErrSeal
		}
		return value, nil
	}
	return nil, ErrSeal
}

func (k cookieKey) aead(purpose string) (cipher.AEAD, error) {
	const keyLength = 32 // AES-256
	key, err := hkdf.Key(sha256.New, k.secret, nil, "latchkey cookie for "+purpose, keyLength)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// String keeps the keys out of logs, whatever the verb.
func (*Sealer) String() string { return "cookie keys" }

// GoString does the same for %#v.
func (s *Sealer) GoString() string { return s.String() }
