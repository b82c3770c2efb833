// Package scopetest has readers of paths, for tests: what backends make of a path that they are sent.
//
// Start with Readers, and add Lenient where nobody has checked the path.
package scopetest

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// A Reader turns a path as sent into the path that it acts on.
type Reader func(string) string

// Readers are those who must agree on every path that scope.Catalog.CheckPath accepts.
var Readers = map[string]Reader{
	"decodes once":                    Unescape,
	"decodes twice":                   func(p string) string { return Unescape(Unescape(p)) },
	"cleans, then decodes":            func(p string) string { return Unescape(path.Clean(p)) },
	"decodes, then cleans":            func(p string) string { return path.Clean(Unescape(p)) },
	"decodes twice, then cleans":      func(p string) string { return path.Clean(Unescape(Unescape(p))) },
	"strips parameters":               func(p string) string { return path.Clean(withoutParameters(Unescape(p))) },
	"strips parameters, then decodes": func(p string) string { return path.Clean(Unescape(withoutParameters(p))) },
	"takes backslashes for slashes":   func(p string) string { return path.Clean(strings.ReplaceAll(Unescape(p), `\`, "/")) },
	"stops at a query or fragment":    func(p string) string { return cut(Unescape(p), "?#") },
	"stops at a NUL or line end":      func(p string) string { return cut(Unescape(p), "\x00\r\n") },
	"drops control characters": func(p string) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, Unescape(p))
	},
	"accepts overlong forms": func(p string) string { return path.Clean(overlong.Replace(Unescape(p))) },
	"drops broken UTF-8":     func(p string) string { return path.Clean(strings.ToValidUTF8(Unescape(p), "")) },
	"writes escapes in lower case": func(p string) string {
		return Unescape(MapEscapes(p, strings.ToLower))
	},
	"writes escapes in upper case": func(p string) string {
		return Unescape(MapEscapes(p, strings.ToUpper))
	},
}

var overlong = strings.NewReplacer(
	"\xc0\xae", ".", "\xc0\xaf", "/", "\xc1\x9c", `\`, "\xe0\x80\xae", ".", "\xe0\x80\xaf", "/",
	"\xf0\x80\x80\xaf", "/", "\xf8\x80\x80\x80\xaf", "/")

func cut(p, at string) string {
	if i := strings.IndexAny(p, at); i >= 0 {
		return p[:i]
	}
	return p
}

func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

var escapes = regexp.MustCompile(`%u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}`)

// simpleEscapes leaves %uXXXX alone, whose u is no digit.
var simpleEscapes = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// Unescape decodes what it can, %uXXXX included, and leaves the rest.
func Unescape(p string) string {
	return escapes.ReplaceAllStringFunc(p, func(escape string) string {
		digits, wide := strings.CutPrefix(escape[1:], "u")
		n, err := strconv.ParseUint(digits, 16, 16)
		switch {
		case err != nil:
			return escape
		case wide:
			return string(rune(n))
		default:
			return string([]byte{byte(n)}) //nolint:gosec // two digits
		}
	})
}

// MapEscapes applies change to every simple escape.
func MapEscapes(p string, change func(string) string) string {
	return simpleEscapes.ReplaceAllStringFunc(p, change)
}

// Lenient are more readers that a kept policy meets, because nobody checks the path again.
var Lenient = map[string]Reader{
	"accepts forms of five and six bytes": func(p string) string {
		return path.Clean(strings.NewReplacer("\xf8\x80\x80\x80\xae", ".", "\xfc\x80\x80\x80\x80\xae", ".", "\xfc\x80\x80\x80\x80\xaf", "/").Replace(Unescape(p)))
	},
	"decodes %U": func(p string) string { return path.Clean(Unescape(strings.ReplaceAll(p, "%U", "%u"))) },
	"drops what is not ASCII": func(p string) string {
		return path.Clean(strings.Map(func(r rune) rune {
			if r > '~' || r < ' ' {
				return -1
			}
			return r
		}, Unescape(p)))
	},
}
