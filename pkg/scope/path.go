package scope

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"latchkey/pkg/fault"
)

// MaxPathLength is the longest accepted path, in bytes. API Gateway accepts request lines and
// headers of 10,240 bytes together.
const MaxPathLength = 8192

// ErrAmbiguousPath means that the gateway, the rules and the backend might read a path in different
// ways, so that its spelling could bypass a rule.
var ErrAmbiguousPath = fault.New(fault.Invalid, "path can be read in two ways")

// CheckPath returns ErrAmbiguousPath for a path, encoded as the client sent it, that can be read in
// more than one way. These are paths that
//
//   - are too long or do not start with a slash;
//   - hold a control character, backslash, `;`, `?`, `#` or anything beyond ASCII;
//   - hold a broken escape, or escapes that spell no UTF-8, because some readers accept an overlong form of
//     a slash or dot (RFC 3629 section 3);
//   - hold an empty segment, a trailing slash included, or a dot segment in any spelling;
//   - hold an escape of a character that needs none or that would change the structure of the path (RFC
//     3986 sections 2.3, 3.3 and 6.2.2).
//
// Under a loose path of the catalog, empty segments and escaped slashes and dots are accepted, dot
// segments never.
func (c *Catalog) CheckPath(path string) error {
	if len(path) > MaxPathLength || !strings.HasPrefix(path, "/") {
		return ErrAmbiguousPath
	}
	loose := false
	for _, pattern := range c.LoosePaths {
		loose = loose || Match(pattern, path)
	}
	if path == "/" {
		return nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if err := checkSegment(segment, loose); err != nil {
			return fmt.Errorf("%w: %w", ErrAmbiguousPath, err)
		}
	}
	return nil
}

var (
	errEmptySegment = errors.New("empty segment")
	errDotSegment   = errors.New("dot segment")
	errCharacter    = errors.New("character with a meaning of its own")
	errEscape       = errors.New("escape that is broken or not needed")
)

func checkSegment(segment string, loose bool) error {
	if segment == "" && !loose {
		return errEmptySegment
	}
	var decoded []byte // allocated only for a path with escapes
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c != '%' {
			if c <= ' ' || c > '~' || strings.IndexByte(`\;?#`, c) >= 0 {
				return errCharacter
			}
			if decoded != nil {
				decoded = append(decoded, c)
			}
			continue
		}
		if i+2 >= len(segment) || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
			return errEscape
		}
		c = unhex(segment[i+1])<<4 | unhex(segment[i+2])
		if !escapeAllowed(c, loose) {
			return errEscape
		}
		if decoded == nil {
			decoded = append(make([]byte, 0, len(segment)), segment[:i]...)
		}
		decoded = append(decoded, c)
		i += 2
	}
	if decoded != nil {
		segment = string(decoded)
	}
	if !utf8.ValidString(segment) {
		return errEscape
	}
	for part := range strings.SplitSeq(segment, "/") {
		if part == "." || part == ".." {
			return errDotSegment
		}
	}
	return nil
}

func escapeAllowed(c byte, loose bool) bool {
	switch {
	case c == '/' || c == '.':
		return loose
	case c < ' ' || c == 0x7f || strings.IndexByte(`\;?#%`, c) >= 0:
		return false
	case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_~", c) >= 0:
		return false
	default:
		return true
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}
