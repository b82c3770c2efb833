package audit_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	latchkey "latchkey/pkg/token"
)

var now = time.Date(2026, 3, 19, 23, 59, 59, 0, time.UTC)

func TestOrigins(t *testing.T) {
	root, anna := account.Account{ID: 1, Admin: true}, account.Account{ID: 58}
	request := principal.Request{ID: "r", Address: netip.MustParseAddr("192.0.2.1")}
	own := principal.Principal{Account: anna, Token: latchkey.Token{ID: 9, Owner: 58}, Request: request}
	sudo := principal.Principal{Account: root, Token: latchkey.Token{ID: 5, Owner: 1}, Request: request}.As(anna)
	lent := own
	lent.Token.Kind, lent.Token.CreatedBy = latchkey.Impersonation, 1
	for name, c := range map[string]struct {
		by   principal.Principal
		want audit.Origin
	}{
		"oneself":                     {own, audit.Origin{Author: 58, Presented: 9, RequestID: "r", Address: "192.0.2.1", Source: audit.Manager}},
		"by sudo":                     {sudo, audit.Origin{Author: 58, Asker: 1, Presented: 5, RequestID: "r", Address: "192.0.2.1", Source: audit.Manager}},
		"with an impersonation token": {lent, audit.Origin{Author: 58, Asker: 1, Presented: 9, RequestID: "r", Address: "192.0.2.1", Source: audit.Manager}},
		"the console":                 {principal.Console("r"), audit.Origin{RequestID: "r", Source: audit.Console}},
		"nobody":                      {principal.Principal{Request: request}, audit.Origin{RequestID: "r", Address: "192.0.2.1", Source: audit.Manager}},
		"nobody from nowhere":         {principal.Principal{}, audit.Origin{Source: audit.Manager}},
	} {
		if got := audit.By(c.by, audit.Manager); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Breaks if a mail address, or a bearer that somebody used as a name, is kept
// for a year where others can read it.
func TestPrivateTextsAreLeftOut(t *testing.T) {
	const bearer = "lkpat_000102030405060708090a0b0c0d0e0f1011"
	for text, stays := range map[string]bool{
		"nightly-export":                      true,
		"a@b":                                 false,
		"of somebody@example.test, who asked": false,
		"meet @ noon":                         true,
		"@handle":                             true,
		bearer:                                false,
		"my " + bearer + "!":                  false,
		strings.Repeat("a", 36):               false,
		strings.Repeat("a", 35):               true,
		strings.Repeat("words-with-hyphens-", 10): true,
		"": true,
	} {
		want := map[bool]string{true: text}[stays]
		if e := (audit.Event{Target: text, From: text, To: text}).WithoutPrivate(); e.Target != want || e.From != want || e.To != want {
			t.Errorf("%q became %q, %q, %q", text, e.Target, e.From, e.To)
		}
	}
}

func TestNamesOfImpersonation(t *testing.T) {
	for deed := audit.Issued; deed <= audit.Strayed; deed++ {
		for _, kind := range []latchkey.Kind{latchkey.Personal, latchkey.Impersonation, latchkey.Project, latchkey.Group} {
			if name := audit.NameOf(kind, deed); name == "" || name.OfImpersonation() != (kind == latchkey.Impersonation) {
				t.Errorf("%s, %d: %q of impersonation %t", kind, deed, name, name.OfImpersonation())
			}
		}
	}
}

func TestTokensBelongToTrails(t *testing.T) {
	for kind, want := range map[latchkey.Kind]audit.Entity{
		latchkey.Personal:      audit.AccountEntity(58),
		latchkey.Impersonation: audit.AccountEntity(58),
		latchkey.Project:       {Type: audit.Project, ID: 8},
		latchkey.Group:         {Type: audit.Group, ID: 8},
	} {
		e := audit.OfToken(now, audit.Origin{}, latchkey.Token{ID: 21, Kind: kind, Owner: 58, Project: 8, Name: "n"}, audit.Revoked)
		if e.Entity != want || e.Token != 21 || e.Target != "n" || e.Name == "" {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}

// Each name of a token's event says what was done, whatever the kind, and other names say nothing.
func TestDeedOfAName(t *testing.T) {
	for _, kind := range []latchkey.Kind{latchkey.Personal, latchkey.Impersonation, latchkey.Project, latchkey.Group} {
		for _, want := range []audit.Deed{audit.Issued, audit.Rotated, audit.Revoked, audit.Reused, audit.Refused, audit.Strayed, audit.Reported} {
			if got, known := audit.NameOf(kind, want).Deed(); !known || got != want {
				t.Errorf("%s: %d, want %d", audit.NameOf(kind, want), got, want)
			}
		}
	}
	if got, known := audit.TokensRevoked.Deed(); known {
		t.Errorf("%s is the deed %d", audit.TokensRevoked, got)
	}
}
