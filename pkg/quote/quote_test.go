package quote_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/pkg/quote"
)

// A stranger chooses these names, and Latchkey mails them from a trusted sender. If a case fails,
// anybody can put a link, or text that looks like Latchkey's, into such a mail.
func TestName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ what, name, want string }{
		{"a plain name", "nightly export", "“nightly export”"},
		{"nothing", "", "“”"},
		{"a link", "Your password has expired, sign in at https://evil.example/login", "“Your password has expired, sign in at hxxps://evil[.]example/login”"},
		{"a link in capitals", "HTTP://EVIL.EXAMPLE", "“HXXP://EVIL[.]EXAMPLE”"},
		{"a link without a space in front", "seehttp://evil", "“seehxxp://evil”"},
		{"other schemes", "mailto:a ftp://b javascript:c tel:1", "“mailto[:]a ftp[:]//b javascript[:]c tel[:]1”"},
		{"a colon in a sentence", "backup: nightly", "“backup: nightly”"},
		{"a host name", "www.evil.example", "“www[.]evil[.]example”"},
		{"a mail address", "help@evil.example", "“help[at]evil[.]example”"},
		{"the end of a sentence", "Ends here. Next.", "“Ends here. Next.”"},
		{"a host name that ends in a dot", "evil.example.", "“evil[.]example.”"},
		{"a path", "acme/web.site", "“acme/web[.]site”"},
		{"full-width forms", "ｈｔｔｐｓ：／／ｅｖｉｌ．ｅｘａｍｐｌｅ＠ｘ", "“hxxps://evil[.]example[at]x”"},
		{"other dots", "evil。example｡a․b﹒c", "“evil[.]example[.]a[.]b[.]c”"},
		{"other colons and at signs", "mailto﹕me﹫x", "“mailto[:]me[at]x”"},
		{"quotation marks", `a” Latchkey says: "b« ‘c’ „d‟ ＂e″`, "“a' Latchkey says: 'b' 'c' 'd' 'e'”"},
		{"several lines", "a\r\n\r\nb\u2028c\u2029d\u0085e\tf\x00g", "“a b c d e f g”"},
		{"forced directions", "a\u202eb\u2066c\u2069", "“abc”"},
		{"emoji and right-to-left names", "👩‍💻 \u200fשלום", "“👩‍💻 \u200fשלום”"},
		{"invalid UTF-8", "a\xffb", "“a\ufffdb”"},
		{"the longest", strings.Repeat("é", quote.MaxLength), "“" + strings.Repeat("é", quote.MaxLength) + "”"},
		{"one more", strings.Repeat("é", quote.MaxLength+1), "“" + strings.Repeat("é", quote.MaxLength-1) + "…”"},
		{"a link that is cut", strings.Repeat("x", quote.MaxLength-6) + " evil.example", "“" + strings.Repeat("x", quote.MaxLength-6) + " evil…”"},
		{"a dot before the cut", strings.Repeat("x", quote.MaxLength-2) + ".example", "“" + strings.Repeat("x", quote.MaxLength-2) + "[.]…”"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			if got := quote.Name(test.name); got != test.want {
				t.Errorf("Name(%q)\n got %q\nwant %q", test.name, got, test.want)
			}
		})
	}
}

// linkable matches what mail programs make links of: a dot between two characters, an @, and a
// scheme.
var linkable = regexp.MustCompile(`(?i)[^\[ ]\.[^\] ]|@|https?|[a-z0-9]:[^ /]|\p{Cc}`)

func FuzzName(f *testing.F) {
	for _, seed := range []string{"https://evil.example", "a@b.c", "“”\"", ".:.:@", "h\u0000ttp:", "hthttp://ttp", "\xff.\xff", "x. y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := quote.Name(s)
		inner := strings.TrimSuffix(strings.TrimPrefix(got, "“"), "”")
		switch {
		case !utf8.ValidString(got), len(inner)+len("“”") != len(got), strings.ContainsAny(inner, "“”\""):
			t.Errorf("Name(%q) = %q leaves its quotation marks", s, got)
		case linkable.MatchString(strings.NewReplacer("[.]", "", "[:]", "", "[at]", "", "xxp:", "", "xxps:", "", "XXP:", "").Replace(inner)):
			t.Errorf("Name(%q) = %q could become a link", s, got)
		case utf8.RuneCountInString(inner) > 4*quote.MaxLength:
			t.Errorf("Name(%q) is %d characters long", s, utf8.RuneCountInString(inner))
		}
	})
}
