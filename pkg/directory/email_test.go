package directory_test

import (
	"errors"
	"net"
	"net/mail"
	"strings"
	"testing"

	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
)

// An account whose address nobody can send to would never be told about its tokens.
func TestAddressesThatGetMail(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	for address, want := range map[string]string{ // "" for a refusal
		"Ann.Other+x@Example.test":                    "Ann.Other+x@Example.test",
		"o'neil&co@example.test":                      "o'neil&co@example.test",
		"ann@bücher.example":                          "ann@xn--bcher-kva.example",
		"ann@BÜCHER.example":                          "ann@xn--bcher-kva.example",
		"ann@faß.example":                             "ann@xn--fa-hia.example",
		"ann@col·lecció.example":                      "ann@xn--collecci-ioa91d.example",
		"ann@xn--bcher-kva.example":                   "ann@xn--bcher-kva.example",
		"ann@a--b.example":                            "ann@a--b.example",
		"ann@" + label + ".example":                   "ann@" + label + ".example",
		strings.Repeat("l", 64) + "@example.test":     strings.Repeat("l", 64) + "@example.test",
		strings.Repeat("l", 65) + "@example.test":     "",
		"ann@" + label + "a.example":                  "",
		"ann@" + strings.Repeat("ü", 60) + ".example": "", // longer in Punycode
		"ann@xn--a.example":                           "", // no Punycode
		"ann@xn--bcher-kva-.example":                  "",
		"ann@-a.example":                              "",
		"ann@a-.example":                              "",
		"ann@a..example":                              "",
		"ann@a.example.":                              "",
		"ann@a_b.example":                             "",
		"ann@a b.example":                             "",
		"ann@☃.example":                               "", // no letter of IDNA 2008
		"ann@a\u200db.example":                        "", // an invisible joiner
		"ann@[192.0.2.1]":                             "",
		"ann@ſales.example":                           "", // would become sales.example
		"ann@\u212aelvin.example":                     "", // would become kelvin.example
		"ann@b\u00fccher。example":                     "",
		"ann@192.0.2.1":                               "",
		"ann@192.0.2":                                 "",
		"ann@192.000.002.001":                         "",
		"ann@300.0.2.1":                               "",
		"ann@example.123":                             "",
		"ann@1.2.example":                             "ann@1.2.example",
		"ann@localhost":                               "",
		"ann..other@example.test":                     "",
		".ann@example.test":                           "",
		"ann.@example.test":                           "",
		`"ann other"@example.test`:                    "",
		`"ann"@example.test`:                          "",
		"ann@other@example.test":                      "",
		"ann(x)@example.test":                         "",
	} {
		d, s := newDirectory(t)
		c := candidate()
		c.Email = address
		acct, err := d.Create(t.Context(), s.caller(1), c)
		switch {
		case want == "" && !isBroken(err, fault.Malformed):
			t.Errorf("%q became %q: %v", address, acct.Email, err)
		case want != "" && (err != nil || acct.Email != want):
			t.Errorf("%q became %q: %v, want %q", address, acct.Email, err, want)
		}
	}
	for _, address := range []string{"änn@example.test", "ann\u00a0@example.test", "用户@例え.テスト"} {
		d, s := newDirectory(t)
		c := candidate()
		c.Email = address
		if _, err := d.Create(t.Context(), s.caller(1), c); !isBroken(err, fault.NotASCII) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func isBroken(err error, rule fault.Rule) bool {
	broken, ok := errors.AsType[fault.Breaches](err)
	return ok && len(broken) == 1 && broken[0].Field == "email" && broken[0].Rule == rule
}

// An address from before there were these rules keeps no other change back.
func TestAddressFromBefore(t *testing.T) {
	t.Parallel()
	d, s := newDirectory(t)
	before := s.accts[2]
	before.Email = "pérson@example.test"
	s.accts[2] = before
	got, err := d.Update(t.Context(), s.caller(1), 2, directory.Change{Name: ptr("Other")})
	if err != nil || got.Name != "Other" || got.Email != before.Email {
		t.Errorf("Update() = %+v, %v", got, err)
	}
	if _, err = d.Update(t.Context(), s.caller(1), 2, directory.Change{Email: ptr("pèrson@example.test")}); !isBroken(err, fault.NotASCII) {
		t.Errorf("Update() = %v", err)
	}
	got, err = d.Update(t.Context(), s.caller(1), 2, directory.Change{Email: ptr("person@bücher.example")})
	if err != nil || got.Email != "person@xn--bcher-kva.example" || s.accts[2].Email != got.Email {
		t.Errorf("Update() = %+v, %v", got, err)
	}
}

// Breaks if an administrator cannot find an account by the address that people write.
func TestAnInternationalAddressIsFound(t *testing.T) {
	t.Parallel()
	d, s := newDirectory(t)
	c := candidate()
	c.Email = "person@bücher.example"
	made, err := d.Create(t.Context(), s.caller(1), c)
	if err != nil {
		t.Fatal(err)
	}
	for search, want := range map[string]int{
		"person@bücher.example": 1, "PERSON@BÜCHER.example": 1, "bücher.example": 1, "@bücher.example": 1, "person@xn--bcher": 1,
		"person@bucher.example": 0, "other@bücher.example": 0,
	} {
		part, err := d.List(t.Context(), s.caller(1), directory.Filter{Search: search}, directory.Sort{}, listing.ByNumber(0, 20))
		list, total := part.Entries, part.Total
		if err != nil || total != want || want == 1 && list[0].ID != made.ID {
			t.Errorf("%q finds %d accounts: %v, want %d", search, total, err, want)
		}
	}
}

// An address that is kept is one that mail can have in its path, and is kept as it is when it is given again.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{
		"Ann.Other+x@Example.test", "ann@b\u00fccher.example", "ann@xn--bcher-kva.example", "ann@192.000.002.001", "\"ann\"@example.test", "ann@\u0661.example",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		keep := func(address string) (string, error) {
			d, s := newDirectory(t)
			c := candidate()
			c.Email = address
			acct, err := d.Create(t.Context(), s.caller(1), c)
			return acct.Email, err
		}
		kept, err := keep(given)
		if err != nil {
			return
		}
		if again, err := keep(kept); err != nil || again != kept {
			t.Errorf("%q is kept as %q, and that as %q, %v", given, kept, again, err)
		}
		if parsed, err := mail.ParseAddress(kept); err != nil || parsed.Address != kept || len(kept) > 254 ||
			strings.ContainsFunc(kept, func(r rune) bool { return r <= ' ' || r > '~' }) || net.ParseIP(kept[strings.Index(kept, "@")+1:]) != nil {
			t.Errorf("%q is kept as %q, %v", given, kept, err)
		}
	})
}
