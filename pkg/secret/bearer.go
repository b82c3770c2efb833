package secret

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/big"
	"strings"
)

const (
	// randomBytes is 160 bits of entropy for every generated bearer.
	randomBytes = 20
	// checksumChars hold a CRC-32 in base 62: 62^6 > 2^32.
	checksumChars = 6
	// randomChars hold 160 random bits: 62^27 > 2^160.
	randomChars = 27
	// shortHintChars name an owner below shortOwners. A bearer then has 36 characters after its
	// prefix.
	shortHintChars = 3
	shortOwners    = 62 * 62 * 62
	// longHintChars name any owner: 62^6 > 2^31. The hint must not replace random bits, so bearers
	// of owners beyond the first 238,327 are three characters longer.
	longHintChars = 6

	// MaxOwner is the largest owner id a bearer can hint at.
	MaxOwner = 1<<31 - 1
	// MinLength is the shortest bearer, in bytes.
	MinLength = 20
	// MaxLength is the longest bearer, in bytes.
	MaxLength = 255
	// MaxPrefixLength is the longest prefix an operator may set, in bytes.
	MaxPrefixLength = 20
)

var (
	// ErrMalformed means that a value cannot be a bearer of this deployment. Deciding it takes no
	// I/O.
	ErrMalformed = errors.New("bearer malformed")
	// ErrReserved means that a chosen value starts with the prefix of generated bearers and would
	// need a matching checksum.
	ErrReserved = errors.New("chosen value starts with a reserved prefix")
)

// A Bearer is the full plain string that a client presents. It does not print itself: fmt with
// every verb, JSON, text and slog show a placeholder. It holds a pointer, so that this is also true
// in an unexported field of a printed struct. Only Reveal returns the plain string. The zero Bearer
// is no bearer. A Bearer is immutable and safe for concurrent use.
type Bearer struct {
	value *string
	owner int64
}

const redacted = "[redacted bearer]"

// Reveal returns the plain string. Call it only where the one reply with a new bearer is written.
func (b Bearer) Reveal() string {
	if b.value == nil {
		return ""
	}
	return *b.value
}

// OwnerHint returns the id of the owner in the bearer, if there is one. It is a hint for reading
// ahead; the stored record decides.
func (b Bearer) OwnerHint() (int64, bool) { return b.owner, b.owner != 0 }

// Format implements fmt.Formatter and prints a placeholder for every verb.
func (Bearer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

func (Bearer) String() string { return redacted }

// MarshalText returns a placeholder, for JSON and every other encoder.
func (Bearer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns a placeholder.
func (Bearer) LogValue() slog.Value { return slog.StringValue(redacted) }

// New makes a bearer for owner from 20 bytes of random. The prefix has at most MaxPrefixLength
// bytes of the set that ValidPrefix accepts. It fails if owner is outside 1 to MaxOwner or if
// random fails.
func New(prefix string, owner int64, random io.Reader) (Bearer, error) {
	var seed [randomBytes]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return Bearer{}, fmt.Errorf("read random bytes: %w", err)
	}
	return assemble(prefix, owner, seed)
}

// assemble concatenates prefix, hint, random characters and checksum.
func assemble(prefix string, owner int64, seed [randomBytes]byte) (Bearer, error) {
	if owner < 1 || owner > MaxOwner {
		return Bearer{}, fmt.Errorf("owner %d is outside 1 to %d", owner, MaxOwner)
	}
	if !ValidPrefix(prefix) {
		return Bearer{}, fmt.Errorf("prefix %q is not valid", prefix)
	}
	random := new(big.Int).SetBytes(seed[:]).Text(62)
	body := prefix + spell(uint64(owner), hintChars(owner)) + strings.Repeat("0", randomChars-len(random)) + random
	value := body + checksum(body)
	return Bearer{value: &value, owner: owner}, nil
}

func hintChars(owner int64) int {
	if owner < shortOwners {
		return shortHintChars
	}
	return longHintChars
}

func checksum(body string) string {
	return spell(uint64(crc32.ChecksumIEEE([]byte(body))), checksumChars)
}

// alphabet is the alphabet of math/big, which encodes the random characters.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// spell returns the last width digits of n in base 62.
func spell(n uint64, width int) string {
	var digits [longHintChars]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = alphabet[n%62]
		n /= 62
	}
	return string(digits[:width])
}

// number parses base 62; ok is false for anything else.
func number(digits string) (n int64, ok bool) {
	for i := range len(digits) {
		digit := strings.IndexByte(alphabet, digits[i])
		if digit < 0 {
			return 0, false
		}
		n = n*62 + int64(digit)
	}
	return n, true
}

// A Format knows the prefixes of the bearers that this deployment generates.
type Format struct {
	// Prefixes are the prefixes in use. Values that start with one of them need a matching
	// checksum.
	Prefixes []string
}

// Parse accepts a value that a client presents. It returns ErrMalformed, without I/O, for a value
// shorter than MinLength or longer than MaxLength bytes, with characters other than printable ASCII
// without spaces, or with one of the prefixes and a form that New does not write. A value with
// another start may be one that an operator chose or one from before a change of the prefix. It
// gets a hint if its checksum matches. A prefix must therefore not be the start of an earlier one,
// whose bearers would look misspelt.
func (f Format) Parse(value string) (Bearer, error) {
	if len(value) < MinLength || len(value) > MaxLength || !printable(value) {
		return Bearer{}, ErrMalformed
	}
	ours := false
	for _, prefix := range f.Prefixes {
		if prefix == "" || !strings.HasPrefix(value, prefix) {
			continue
		}
		if owner, ok := readTail(value, len(value)-len(prefix)); ok {
			return Bearer{value: &value, owner: owner}, nil
		}
		ours = true
	}
	if ours {
		return Bearer{}, ErrMalformed
	}
	for _, hint := range []int{shortHintChars, longHintChars} {
		if owner, ok := readTail(value, hint+randomChars+checksumChars); ok {
			return Bearer{value: &value, owner: owner}, nil
		}
	}
	return Bearer{value: &value}, nil
}

// Choose accepts a value that an operator sets by hand: MinLength to MaxLength bytes of printable
// ASCII without spaces. It must not start with one of the prefixes, because clients could then not
// present it. It returns ErrMalformed or ErrReserved.
func (f Format) Choose(value string) (Bearer, error) {
	for _, prefix := range f.Prefixes {
		if prefix != "" && strings.HasPrefix(value, prefix) {
			return Bearer{}, ErrReserved
		}
	}
	return f.Parse(value)
}

// Found accepts a value that somebody found, if it can be a bearer of this deployment, now or under
// other prefixes. It returns ErrMalformed, without I/O, for a value of another length, with other
// characters than a bearer, or with one of the prefixes and a wrong checksum. Unlike Parse it accepts
// a matching checksum behind any prefix, because a token under an earlier prefix may work again.
func (f Format) Found(value string) (Bearer, error) {
	bearer, err := f.Parse(value)
	if err == nil || len(value) < MinLength || len(value) > MaxLength || !printable(value) {
		return bearer, err
	}
	body := value[:len(value)-checksumChars]
	if checksum(body) != value[len(body):] {
		return Bearer{}, ErrMalformed
	}
	return Bearer{value: &value}, nil
}

// readTail reads the owner from the last width characters of value. It accepts only the spelling
// that assemble writes.
func readTail(value string, width int) (owner int64, ok bool) {
	hint := width - randomChars - checksumChars
	if hint != shortHintChars && hint != longHintChars || width > len(value) {
		return 0, false
	}
	body := value[:len(value)-checksumChars]
	if checksum(body) != value[len(value)-checksumChars:] {
		return 0, false
	}
	tail := body[len(value)-width:]
	owner, ok = number(tail[:hint])
	return owner, ok && owner >= 1 && owner <= MaxOwner && hint == hintChars(owner) && alphanumeric(tail[hint:])
}

func printable(value string) bool {
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

func alphanumeric(value string) bool {
	for i := range len(value) {
		if !isAlphanumeric(value[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// ValidPrefix reports whether an operator may set prefix: at most
// MaxPrefixLength letters, digits and any of `_ + = / @ : . -`, the set that
// GitLab's setting personal_access_token_prefix accepts.
func ValidPrefix(prefix string) bool {
	if len(prefix) > MaxPrefixLength {
		return false
	}
	for i := range len(prefix) {
		if !isAlphanumeric(prefix[i]) && !strings.ContainsRune("_+=/@:.-", rune(prefix[i])) {
			return false
		}
	}
	return true
}
