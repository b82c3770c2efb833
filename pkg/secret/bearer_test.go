package secret_test

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"latchkey/pkg/secret"
)

const (
	prefix   = "lkpat_"
	base62   = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	seedSize = 20 // 160 bits
)

var (
	format = secret.Format{Prefixes: []string{prefix, "lkprj_", "lkimp_"}}
	seed   = []byte("\x00\x01\x7f\x80\xff 14 more bytes.")
)

// crc is CRC-32/ISO-HDLC, bit by bit, so that the test does not use what it tests.
func crc(text string) uint32 {
	sum := ^uint32(0)
	for i := range len(text) {
		sum ^= uint32(text[i])
		for range 8 {
			sum = sum>>1 ^ 0xEDB88320&-(sum&1)
		}
	}
	return ^sum
}

// spell writes n in base 62 with leading zeros.
func spell(n *big.Int, width int) string {
	out := bytes.Repeat([]byte{'0'}, width)
	n = new(big.Int).Set(n)
	digit := new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(62), digit)
		out[i] = base62[digit.Int64()]
	}
	if n.Sign() != 0 {
		panic("number too wide")
	}
	return string(out)
}

// number reads base 62.
func number(digits string) (*big.Int, bool) {
	n := new(big.Int)
	for i := range len(digits) {
		digit := strings.IndexByte(base62, digits[i])
		if digit < 0 {
			return nil, false
		}
		n.Mul(n, big.NewInt(62)).Add(n, big.NewInt(int64(digit)))
	}
	return n, true
}

// sealed appends the checksum.
func sealed(body string) string { return body + spell(big.NewInt(int64(crc(body))), 6) }

// framed is the hint in so many characters and the seed in 27.
func framed(owner int64, seed []byte, hint int) string {
	return spell(big.NewInt(owner), hint) + spell(new(big.Int).SetBytes(seed), 27)
}

// frame is some number with many digits.
func frame(owner int64, seed []byte) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(owner), 160)
	return n.Add(n, new(big.Int).SetBytes(seed))
}

func bearer(t testing.TB, prefix string, owner int64) secret.Bearer {
	t.Helper()
	b, err := secret.New(prefix, owner, bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChecksumOfThisTestIsTheStandardOne(t *testing.T) {
	// The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
	if got := crc("123456789"); got != 0xCBF43926 {
		t.Fatalf("crc = %#x", got)
	}
	if len(seed) != seedSize {
		t.Fatalf("seed has %d bytes", len(seed))
	}
}

func TestNewWritesPrefixFrameAndChecksum(t *testing.T) {
	seeds := map[string][]byte{
		"smallest seed": make([]byte, seedSize),
		"largest seed":  bytes.Repeat([]byte{0xff}, seedSize),
		"some seed":     seed,
	}
	tests := []struct {
		name   string
		prefix string
		owner  int64
		chars  int
	}{
		{"first owner", prefix, 1, 36},
		{"last owner with a short frame", prefix, 62*62*62 - 1, 36},
		{"first owner with a long frame", prefix, 62 * 62 * 62, 39},
		{"largest owner", prefix, secret.MaxOwner, 39},
		{"no prefix", "", 7, 36},
		{"longest prefix", "aZ9_+=/@:.-678901234", 7, 36},
	}
	for _, test := range tests {
		for which, seed := range seeds {
			t.Run(test.name+", "+which, func(t *testing.T) {
				b, err := secret.New(test.prefix, test.owner, bytes.NewReader(seed))
				if err != nil {
					t.Fatal(err)
				}
				// Breaks if the owner costs random bits, the checksum leaves
				// out the prefix, or two seeds could make one bearer.
				want := sealed(test.prefix + framed(test.owner, seed, test.chars-33))
				if got := b.Reveal(); got != want {
					t.Errorf("New() = %s, want %s", got, want)
				}
				if hint, some := b.OwnerHint(); !some || hint != test.owner {
					t.Errorf("OwnerHint() = %d, %t", hint, some)
				}
				parsed, err := secret.Format{Prefixes: []string{test.prefix}}.Parse(want)
				if err != nil || parsed.Reveal() != want {
					t.Fatalf("Parse() = %q, %v", parsed.Reveal(), err)
				}
				if hint, some := parsed.OwnerHint(); !some || hint != test.owner {
					t.Errorf("OwnerHint() after Parse = %d, %t", hint, some)
				}
			})
		}
	}
}

func TestNewRefuses(t *testing.T) {
	broken := errors.New("no entropy")
	tests := []struct {
		name   string
		prefix string
		owner  int64
		random []byte
	}{
		{"owner 0", prefix, 0, seed},
		{"a negative owner", prefix, -1, seed},
		{"an owner beyond the largest", prefix, secret.MaxOwner + 1, seed},
		{"a prefix of 21 characters", "123456789012345678901", 1, seed},
		{"a prefix with a space", "lk ", 1, seed},
		{"too few random bytes", prefix, 1, seed[:seedSize-1]},
		{"no random bytes", prefix, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := secret.New(test.prefix, test.owner, bytes.NewReader(test.random))
			if err == nil || b.Reveal() != "" {
				t.Errorf("New() = %q, %v, want an error", b.Reveal(), err)
			}
		})
	}
	if _, err := secret.New(prefix, 1, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error = %v, want the reader's", err)
	}
}

// Two spellings of one bearer would be two digests of one secret at best, and
// a way past a list of leaked values at worst. And a mistyped bearer must not
// cost a read.
func TestParseAcceptsExactlyOneSpelling(t *testing.T) {
	for _, owner := range []int64{1, 58, 62*62*62 - 1, 62 * 62 * 62, secret.MaxOwner} {
		good := bearer(t, prefix, owner).Reveal()
		refused := func(what, value string) {
			t.Helper()
			if value == good {
				return
			}
			if b, err := format.Parse(value); !errors.Is(err, secret.ErrMalformed) || b.Reveal() != "" {
				t.Errorf("owner %d, %s: %q is accepted: %v", owner, what, value, err)
			}
		}
		for i := len(prefix); i < len(good); i++ {
			for c := range 256 {
				refused("one character changed", good[:i]+string([]byte{byte(c)})+good[i+1:])
			}
			refused("one character missing", good[:i]+good[i+1:])
			refused("one character twice", good[:i+1]+good[i:])
			refused("a zero put in", good[:i]+"0"+good[i:])
			if i+1 < len(good) && good[i] != good[i+1] {
				refused("neighbours swapped", good[:i]+string(good[i+1])+string(good[i])+good[i+2:])
			}
		}
		body, digits := good[:len(good)-6], good[len(prefix):len(good)-6]
		refused("upper case", prefix+strings.ToUpper(good[len(prefix):]))
		refused("lower case", prefix+strings.ToLower(good[len(prefix):]))
		refused("swapped case", prefix+strings.Map(swapCase, good[len(prefix):]))
		refused("swapped case with its own checksum left out", prefix+strings.Map(swapCase, digits)+good[len(good)-6:])
		refused("a sign for the leading zero", sealed(prefix+"+"+digits[1:]))
		refused("a minus sign", sealed(prefix+"-"+digits[1:]))
		refused("a sign inside", sealed(prefix+digits[:10]+"_"+digits[11:]))
		refused("three zeros in front", sealed(prefix+"000"+digits))
		refused("checksum of the frame alone", body+spell(big.NewInt(int64(crc(digits))), 6))
		refused("checksum with sign", body+"-"+good[len(good)-5:])
		for _, space := range []string{" ", "\t", "\n", "\r\n", "\x00", "\u00a0", "\u200b", "=", "0"} {
			refused("something behind", good+space)
			if _, err := format.Parse(space + good); space != "=" && space != "0" && !errors.Is(err, secret.ErrMalformed) {
				t.Errorf("%q in front is accepted", space)
			}
		}
	}
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}

func TestParse(t *testing.T) {
	foreign := sealed("other-" + framed(58, seed, 3))
	// 62^33 - 1 is beyond any owner.
	beyond := strings.Repeat("Z", 33)
	tests := []struct {
		name     string
		prefixes []string
		value    string
		owner    int64 // 0 for no hint
		err      error
	}{
		{"nothing is no bearer", format.Prefixes, "", 0, secret.ErrMalformed},
		{"the prefix alone is no bearer", format.Prefixes, prefix, 0, secret.ErrMalformed},
		{"a frame of owner 0 is no bearer", format.Prefixes, sealed(prefix + framed(0, seed, 3)), 0, secret.ErrMalformed},
		{"a frame of an owner beyond the largest is no bearer", format.Prefixes, sealed(prefix + framed(secret.MaxOwner+1, seed, 6)), 0, secret.ErrMalformed},
		{"the largest frame is no bearer", format.Prefixes, sealed(prefix + beyond), 0, secret.ErrMalformed},
		{"a long frame of a small owner is no bearer", format.Prefixes, sealed(prefix + framed(62*62*62-1, seed, 6)), 0, secret.ErrMalformed},
		{"a value of another prefix may be from before a change", format.Prefixes, foreign, 58, nil},
		{"a value of another prefix and a wrong checksum is taken as chosen", format.Prefixes, foreign[:len(foreign)-1] + "_", 0, nil},
		{"a prefix counts with its case", format.Prefixes, "LKPAT_" + spell(frame(58, seed), 36), 0, nil},
		{"no prefix in use asks for no checksum", []string{""}, "any-text-of-20-bytes", 0, nil},
		{"a shorter prefix does not hide a longer one", []string{"lk", prefix}, bearer(t, prefix, 58).Reveal(), 58, nil},
		{"a longer prefix does not hide a shorter one", []string{prefix, "lk"}, bearer(t, "lk", 58).Reveal(), 58, nil},
		{"overlapping prefixes both ask for the checksum", []string{"lk", prefix}, prefix + spell(frame(58, seed), 36), 0, secret.ErrMalformed},
		{"the shorter of overlapping prefixes asks for the checksum", []string{prefix, "lk"}, "lk-" + spell(frame(58, seed), 36), 0, secret.ErrMalformed},
		{"a longer prefix whose rest is base 62 does not hide a shorter one", []string{"lkp", "lk"}, bearer(t, "lk", 58).Reveal(), 58, nil},
		{"prefixes that are each other's start are told apart by the frame", []string{"lk", "lkp"}, bearer(t, "lkp", 58).Reveal(), 58, nil},
		{"19 bytes are too few", format.Prefixes, strings.Repeat("x", 19), 0, secret.ErrMalformed},
		{"20 bytes are enough", format.Prefixes, strings.Repeat("x", 20), 0, nil},
		{"255 bytes are possible", format.Prefixes, strings.Repeat("x", 255), 0, nil},
		{"256 bytes are too many", format.Prefixes, strings.Repeat("x", 256), 0, secret.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := secret.Format{Prefixes: test.prefixes}.Parse(test.value)
			if !errors.Is(err, test.err) {
				t.Fatalf("Parse() error = %v, want %v", err, test.err)
			}
			want := test.value
			if test.err != nil {
				want = ""
			}
			if hint, some := b.OwnerHint(); b.Reveal() != want || hint != test.owner || some != (test.owner != 0) {
				t.Errorf("Parse() = %q with hint %d, %t, want %q with %d", b.Reveal(), hint, some, want, test.owner)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	tests := []struct {
		name  string
		value string
		err   error
	}{
		{"a value of 20 characters", "token-string-here123", nil},
		{"a value of 19 characters is refused", "token-string-here12", secret.ErrMalformed},
		{"a value of 21 characters", "token-string-here1234", nil},
		{"a value of 255 characters", strings.Repeat("~", 255), nil},
		{"a value of 256 characters is refused", strings.Repeat("~", 256), secret.ErrMalformed},
		{"the first and last printable characters", "!!!!!!!!!!~~~~~~~~~~", nil},
		{"a reserved prefix is refused", "lkprj_-string-here123", secret.ErrReserved},
		{"a reserved prefix is refused also with a right checksum", bearer(t, prefix, 1).Reveal(), secret.ErrReserved},
		{"a reserved prefix is refused before the length", prefix, secret.ErrReserved},
		{"a space inside is refused", "token string-here1234", secret.ErrMalformed},
		{"a space in front is refused", " token-string-here123", secret.ErrMalformed},
		{"a space behind is refused", "token-string-here123 ", secret.ErrMalformed},
		{"a tab is refused", "token\tstring-here1234", secret.ErrMalformed},
		{"a line feed behind is refused", "token-string-here123\n", secret.ErrMalformed},
		{"a NUL is refused", "token\x00string-here1234", secret.ErrMalformed},
		{"DEL is refused", "token\x7fstring-here1234", secret.ErrMalformed},
		{"a letter beyond ASCII is refused", "tökén-string-here1234", secret.ErrMalformed},
		{"a byte that is no UTF-8 is refused", "token\xffstring-here1234", secret.ErrMalformed},
		{"nothing is refused", "", secret.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := format.Choose(test.value)
			if !errors.Is(err, test.err) {
				t.Fatalf("Choose() error = %v, want %v", err, test.err)
			}
			if err == nil && b.Reveal() != test.value {
				t.Errorf("Choose() = %q", b.Reveal())
			}
			// What can be chosen must be possible to present.
			if _, parseErr := format.Parse(test.value); err == nil && parseErr != nil {
				t.Errorf("chosen value cannot be presented: %v", parseErr)
			}
		})
	}
}

func TestValidPrefix(t *testing.T) {
	for c := range 256 {
		prefix := string([]byte{byte(c)})
		want := strings.Contains(base62+"_+=/@:.-", prefix)
		if got := secret.ValidPrefix(prefix); got != want {
			t.Errorf("ValidPrefix(%q) = %t", prefix, got)
		}
	}
	for prefix, want := range map[string]bool{
		"": true, strings.Repeat("a", 20): true, strings.Repeat("a", 21): false, "lk\u00e9_": false,
	} {
		if got := secret.ValidPrefix(prefix); got != want {
			t.Errorf("ValidPrefix(%q) = %t, want %t", prefix, got, want)
		}
	}
}

// FuzzParseBearer holds Parse against another reading of the format, and
// against New.
func FuzzParseBearer(f *testing.F) {
	for _, owner := range []int64{1, 58, 62*62*62 - 1, 62 * 62 * 62, secret.MaxOwner} {
		good := bearer(f, prefix, owner).Reveal()
		f.Add(good)
		f.Add(strings.ToUpper(good))
		f.Add(good[:len(good)-1])
		f.Add(good + " ")
		f.Add(sealed(prefix + "+" + good[len(prefix)+1:len(good)-6]))
		f.Add(sealed(prefix + "000" + good[len(prefix):len(good)-6]))
		f.Add(bearer(f, "", owner).Reveal())
	}
	f.Add(sealed(prefix + strings.Repeat("Z", 33)))
	f.Add(sealed(prefix + strings.Repeat("0", 30)))
	f.Add("token-string-here123")
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		possible := len(value) >= 20 && len(value) <= 255 && strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
		rest, ours := strings.CutPrefix(value, prefix)
		var owner int64
		var bits []byte
		if n := len(rest) - 6; possible && ours && (n == 30 || n == 33) && sealed(prefix+rest[:n]) == value {
			hint, hintOK := number(rest[:n-27])
			random, randomOK := number(rest[n-27 : n])
			short := hintOK && hint.Cmp(big.NewInt(62*62*62)) < 0
			if hintOK && randomOK && hint.Sign() > 0 && hint.Cmp(big.NewInt(secret.MaxOwner)) <= 0 && short == (n == 30) {
				owner = hint.Int64()
				if random.BitLen() <= 160 {
					bits = random.FillBytes(make([]byte, seedSize))
				}
			}
		}
		b, err := secret.Format{Prefixes: []string{prefix}}.Parse(value)
		if accepted := possible && (!ours || owner != 0); accepted != (err == nil) {
			t.Fatalf("Parse(%q) = %v, want accepted: %t", value, err, accepted)
		}
		if err != nil {
			if !errors.Is(err, secret.ErrMalformed) || len(value) >= 20 && strings.Contains(err.Error(), value) {
				t.Errorf("error = %v", err)
			}
			return
		}
		if b.Reveal() != value {
			t.Errorf("Reveal() = %q, want %q", b.Reveal(), value)
		}
		if !ours {
			return
		}
		if hint, some := b.OwnerHint(); !some || hint != owner {
			t.Errorf("OwnerHint() = %d, %t, want %d", hint, some, owner)
		}
		if bits == nil {
			return // 27 characters can hold a little more than 160 bits
		}
		again, err := secret.New(prefix, owner, bytes.NewReader(bits))
		if err != nil || again.Reveal() != value {
			t.Errorf("New() with the same owner and bits = %q, %v, want %q", again.Reveal(), err, value)
		}
	})
}

// Breaks if a leaked bearer is passed over, or if what cannot be one costs a read.
func TestFound(t *testing.T) {
	b, earlier := bearer(t, prefix, 58).Reveal(), bearer(t, "earlier-", 58).Reveal()
	behind := bearer(t, prefix+"x", 58).Reveal() // under a prefix that starts with today's
	for value, want := range map[string]bool{
		b: true, earlier: true, behind: true, "token-string-here123": true, strings.Repeat("~", 255): true,
		"": false, "x": false, strings.Repeat("x", 19): false, strings.Repeat("x", 256): false,
		b[:len(b)-1]: false, b + "0": false, strings.ToUpper(b[:len(b)-1]) + "~": true, // is not ours in capitals
		prefix + strings.Repeat("0", 36): false, "token-string here123": false, "token-string-here123\x00": false, "token-string-h\u00e9re123": false,
	} {
		got, err := format.Found(value)
		if (err == nil) != want || err != nil && !errors.Is(err, secret.ErrMalformed) || err == nil && got.Reveal() != value {
			t.Errorf("Found(%q) = %v", value, err)
		}
	}
	if got, err := format.Found(b); err != nil || pepper(t, pepperKey).Digest(got) != pepper(t, pepperKey).Digest(bearer(t, prefix, 58)) {
		t.Errorf("another digest than the bearer's, %v", err)
	}
}
