package directory

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna" // international domains; maintained by the Go team

	"latchkey/pkg/fault"
)

// The longest parts of a mail address, in bytes (RFC 5321 section 4.5.3.1, RFC 1035 section 2.3.4). A
// path has two bytes more than its address.
const (
	maxLocalPart = 64
	maxAddress   = 254
	maxLabel     = 63
)

// domains checks international domains as a registry does (RFC 5891 section 4.2). It maps nothing,
// because the domain of somebody else could be what a character maps to: "ſ" would become "s".
var domains = idna.New(idna.ValidateForRegistration(), idna.BidiRule(), idna.CheckJoiners(true), idna.VerifyDNSLength(true))

// domainText are the characters of domains (RFC 5892 section 2, without the symbols that UTS 46 adds).
var domainText = []*unicode.RangeTable{unicode.L, unicode.M, unicode.Nd}

// mailAddress returns an address in the form in which it is kept and mailed: its domain in Punycode. It
// returns the broken rule of an address to which no mail can be sent.
func mailAddress(address string) (string, fault.Rule) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", fault.Malformed
	}
	local, domain := address[:at], address[at+1:]
	if strings.ContainsFunc(local, func(r rune) bool { return r >= 0x80 }) {
		return "", fault.NotASCII // SES has no SMTPUTF8 (Amazon SES API v2: EmailAddress)
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomText(r) }) {
			return "", fault.Malformed
		}
	}
	if international(domain) {
		ascii, err := domains.ToASCII(strings.Map(lower, domain))
		text, textErr := domains.ToUnicode(ascii)
		if err != nil || textErr != nil || strings.ContainsFunc(text, func(r rune) bool {
			return !unicode.In(r, domainText...) && !strings.ContainsRune("-.·・\u200c\u200d", r)
		}) {
			return "", fault.Malformed
		}
		domain = ascii
	}
	if len(local) > maxLocalPart || len(local)+1+len(domain) > maxAddress || !isDomain(domain) {
		return "", fault.Malformed
	}
	return local + "@" + domain, ""
}

// mailSearch returns the text to look for in kept addresses when somebody searches for an address, or for
// the domain of some.
func mailSearch(search string) string {
	if address, rule := mailAddress(search); rule == "" {
		return strings.ToLower(address)
	}
	const anybody = "a@"
	if address, rule := mailAddress(anybody + strings.TrimPrefix(search, "@")); rule == "" {
		return strings.ToLower(strings.TrimPrefix(address, anybody))
	}
	return strings.ToLower(search)
}

// lower returns the small letter of a capital, unless one that is not ASCII would become ASCII.
func lower(r rune) rune {
	if small := unicode.ToLower(r); r < unicode.MaxASCII || small > unicode.MaxASCII {
		return small
	}
	return r
}

// isAtomText reports whether a character may be in a local part without quotes (RFC 5322 section 3.2.3).
func isAtomText(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// international reports whether a domain has a label that IDNA decides about.
func international(domain string) bool {
	return strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 }) ||
		strings.Contains("."+strings.ToLower(domain), ".xn--")
}

// isDomain reports whether a text is a domain of letters, digits and hyphens (RFC 5321 section 4.1.2) with
// a dot, without which SES sends nothing. The last label of a domain is never a number (RFC 3696 section 2),
// so an IPv4 address in any spelling is none.
func isDomain(domain string) bool {
	top := strings.LastIndexByte(domain, '.')
	if top < 0 || strings.Trim(domain[top:], ".0123456789") == "" {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
			}) {
			return false
		}
	}
	return true
}
