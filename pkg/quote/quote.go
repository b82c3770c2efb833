// Package quote shows names that people chose: of tokens, projects, groups and people, and their
// descriptions and paths. Everything that shows such a name to somebody else, in a mail or on a
// page, calls Name. The text around it must say that it is a name which somebody gave.
//
// The package promises that a name stays inside its quotation marks, on one line, and that no mail
// program or browser makes a link of an address in it, of a page or of a mail. It leaves digits, of
// which some programs on phones make a number to call. It escapes nothing: templates do that.
package quote

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLength is the most characters of a name that Name shows, without its quotation marks.
const MaxLength = 80

// Name returns a name in quotation marks, such as “nightly export”. It
//
//   - puts the name on one line, and removes characters that force a text direction (Unicode
//     Standard Annex 9, sections 2.1 to 2.6), but not the marks that emoji and right-to-left names
//     need;
//   - shortens it to MaxLength characters, with "…" at its end;
//   - turns every quotation mark into ', so that no name can end its own quotation;
//   - defangs links: http becomes hxxp, the colon of other schemes [:], a dot inside [.], and @
//     becomes [at]. Full-width forms count as the characters that they stand for, because software
//     that looks up host names treats them so (Unicode Technical Standard 46, section 4).
//
// Invalid UTF-8 becomes U+FFFD, and an empty name “”.
func Name(s string) string {
	return "“" + defang(shorten(strings.Join(strings.Fields(strings.Map(plain, s)), " "))) + "”"
}

// plain returns the character to show for r, or -1 for none.
func plain(r rune) rune {
	if r < utf8.RuneSelf && r >= ' ' && r != '"' && r != '\x7f' {
		return r // most names have nothing else
	}
	switch {
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return -1
	case unicode.IsControl(r):
		return ' '
	case r == '\u3002', r == '\uff61', r == '\u2024', r == '\ufe52': // other dots
		return '.'
	case r == '\ufe55':
		return ':'
	case r == '\ufe6b':
		return '@'
	case r >= '\uff01' && r <= '\uff5e': // full-width forms of ASCII
		r -= '\uff01' - '!'
	}
	if r == '"' || unicode.In(r, unicode.Pi, unicode.Pf) || strings.ContainsRune("„‚‟″‶〝〞〟❝❞❠", r) {
		return '\''
	}
	return r
}

// shorten cuts s after MaxLength characters.
func shorten(s string) string {
	n := 0
	for i := range s {
		if n++; n > MaxLength {
			end := strings.LastIndexFunc(s[:i], func(rune) bool { return true }) // for the ellipsis
			return strings.TrimRight(s[:end], " ") + "…"
		}
	}
	return s
}

// defang changes everything that a program could make a link of.
func defang(s string) string {
	if !strings.ContainsAny(s, "@.:tT") {
		return s
	}
	runes := []rune(s)
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i, r := range runes {
		inside := i+1 < len(runes) && runes[i+1] != ' '
		switch {
		case r == '@':
			b.WriteString("[at]")
		case r == '.' && inside:
			b.WriteString("[.]")
		case r == ':' && inside && i > 0 && !afterHTTP(runes[:i]):
			b.WriteString("[:]")
		case (r == 't' || r == 'T') && partOfHTTP(runes, i):
			b.WriteRune('x' - 't' + r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// partOfHTTP reports whether the character at i is one of the two t of http.
func partOfHTTP(runes []rune, i int) bool {
	for _, start := range []int{i - 1, i - 2} {
		if start < 0 || start+4 > len(runes) || runes[start]|' ' != 'h' {
			continue
		}
		if strings.EqualFold(string(runes[start:start+4]), "http") {
			return true
		}
	}
	return false
}

// afterHTTP reports whether s ends in http or https.
func afterHTTP(s []rune) bool {
	end := strings.ToLower(string(s[max(0, len(s)-5):]))
	return strings.HasSuffix(end, "http") || end == "https"
}
