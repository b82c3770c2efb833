package token_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

const largestID = 1<<53 - 1

func TestNewID(t *testing.T) {
	tests := []struct {
		name  string
		owner account.ID
		n     int64
		want  token.ID
		fails bool
		err   error
	}{
		{"first token of the first owner", 1, 1, 1<<22 + 1, false, nil},
		{"last token of the first owner", 1, token.MaxNumber, 2<<22 - 1, false, nil},
		{"first token of the next owner", 2, 1, 2<<22 + 1, false, nil},
		{"last token of the last owner is the largest exact integer of JavaScript", account.MaxID, token.MaxNumber, largestID, false, nil},
		{"number 0 is out of numbers", 1, 0, 0, true, token.ErrOutOfNumbers},
		{"a negative number is out of numbers", 1, -1, 0, true, token.ErrOutOfNumbers},
		{"one number more than there are is out of numbers", 1, token.MaxNumber + 1, 0, true, token.ErrOutOfNumbers},
		{"owner 0 is refused", 0, 1, 0, true, nil},
		{"a negative owner is refused", -1, 1, 0, true, nil},
		{"an owner beyond the largest is refused", account.MaxID + 1, 1, 0, true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, err := token.NewID(test.owner, test.n)
			if id != test.want || (err != nil) != test.fails || test.err != nil && !errors.Is(err, test.err) {
				t.Fatalf("NewID() = %d, %v, want %d, %v", id, err, test.want, test.err)
			}
			if err == nil && (id.Owner() != test.owner || id.Number() != test.n) {
				t.Errorf("id %d names %d of owner %d", id, id.Number(), id.Owner())
			}
		})
	}
	if !errors.Is(token.ErrOutOfNumbers, fault.ErrInput) {
		t.Error("running out of numbers is not the caller's to see")
	}
}

// Breaks if one token can be asked for under two names, past a cache or a log.
// Breaks if a token that was revoked in bulk passes for a consumer of events, which compares ids, or if a
// good one does not.
func TestIDsAreComparedAsNumbersAre(t *testing.T) {
	for _, n := range []int64{1, 2, token.MaxNumber, token.MaxNumber + 1} {
		for _, of := range []int64{1, 2, token.MaxNumber - 1, token.MaxNumber} {
			id, err := token.NewID(7, of)
			if err != nil {
				t.Fatal(err)
			}
			if id < token.FirstID(7, n) != (id.Number() < n) {
				t.Errorf("number %d, revoked below %d", of, n)
			}
		}
	}
}

func TestParseIDAcceptsExactlyOneSpelling(t *testing.T) {
	for _, good := range []int64{1<<22 + 1, 58<<22 + 7, 2<<22 - 1, largestID} {
		id, err := token.ParseID(strconv.FormatInt(good, 10))
		if err != nil || int64(id) != good || id.String() != strconv.FormatInt(good, 10) {
			t.Errorf("ParseID(%d) = %d, %v", good, id, err)
		}
	}
	good := token.ID(58<<22 + 7).String()
	for name, s := range map[string]string{
		"nothing":                     "",
		"a sign":                      "+" + good,
		"a negative":                  "-" + good,
		"a leading zero":              "0" + good,
		"a space in front":            " " + good,
		"a space behind":              good + " ",
		"a line feed behind":          good + "\n",
		"a fraction":                  good + ".0",
		"an exponent":                 "1e7",
		"underscores":                 good[:3] + "_" + good[3:],
		"hexadecimal":                 "0x" + good,
		"digits beyond ASCII":         "٤٢٤٢٤٢٤٢",
		"a word":                      "self",
		"zero":                        "0",
		"an owner of 0":               strconv.Itoa(1<<22 - 1),
		"a number of 0":               strconv.Itoa(58 << 22),
		"one more than the largest":   strconv.FormatInt(largestID+1, 10),
		"what overflows 64 bits":      "18446744073709551617",
		"what wraps to a good number": "18446744073952821255",
		"very many digits":            strings.Repeat("9", 1000),
	} {
		if id, err := token.ParseID(s); !errors.Is(err, fault.ErrNotFound) || id != 0 {
			t.Errorf("%s: ParseID(%q) = %d, %v", name, s, id, err)
		}
	}
}

func TestParseOwnerID(t *testing.T) {
	for s, want := range map[string]account.ID{
		"1": 1, "58": 58, "2147483647": account.MaxID,
		"": 0, "0": 0, "-1": 0, "+1": 0, "01": 0, " 1": 0, "1 ": 0, "2147483648": 0, "4294967297": 0, "1.0": 0, "0x1": 0, "me": 0,
	} {
		id, err := account.ParseID(s)
		if id != want || (err == nil) != (want != 0) || err != nil && !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("ParseOwnerID(%q) = %d, %v, want %d", s, id, err, want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "0", "4194305", "04194305", "+4194305", "4194304", "9007199254740991", "9007199254740992", "243269639", "-1", "1e9", "self"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := token.ParseID(s)
		if err != nil {
			if !errors.Is(err, fault.ErrNotFound) || id != 0 {
				t.Errorf("ParseID(%q) = %d, %v", s, id, err)
			}
			return
		}
		if id.String() != s || id < 1 || id > largestID {
			t.Errorf("ParseID(%q) = %s", s, id)
		}
		if again, err := token.NewID(id.Owner(), id.Number()); err != nil || again != id {
			t.Errorf("owner %d and number %d make %d, %v, not %d", id.Owner(), id.Number(), again, err, id)
		}
	})
}

func FuzzParseOwnerID(f *testing.F) {
	for _, s := range []string{"", "0", "1", "01", "+1", "2147483647", "2147483648", "-1", "1e3", "me"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := account.ParseID(s)
		if err != nil {
			if !errors.Is(err, fault.ErrNotFound) || id != 0 {
				t.Errorf("ParseOwnerID(%q) = %d, %v", s, id, err)
			}
			return
		}
		if _, err := token.NewID(id, 1); id.String() != s || err != nil {
			t.Errorf("ParseOwnerID(%q) = %s: %v", s, id, err)
		}
	})
}
