package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/audit"
	latchkey "latchkey/pkg/token"
)

var now = time.Date(2026, 3, 19, 23, 59, 59, 0, time.UTC)

func TestIDsAscendWithTime(t *testing.T) {
	const anything = 1<<32 - 1
	for _, at := range []time.Time{now, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2058, 12, 31, 23, 59, 58, 0, time.UTC)} {
		last, next := audit.NewID(at, anything), audit.NewID(at.Add(time.Second), 0)
		if audit.FirstID(at) > audit.NewID(at, 0) || last >= next || next != audit.FirstID(at.Add(time.Second)) {
			t.Errorf("%s: first %d, last %d, next %d", at, audit.FirstID(at), last, next)
		}
		if last >= 1<<53 {
			t.Errorf("%s: %d is no number in JavaScript", at, last)
		}
	}
	// A client may ask about any instant: the digits of a bound must not outgrow
	// those of the ids that it is compared with.
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} {
		if first := audit.FirstID(at); first < 0 || len(strconv.FormatInt(first, 10)) > 16 {
			t.Errorf("%s: %d", at, first)
		}
	}
	if start := audit.NewID(now, audit.FirstNumbers-1); start >= audit.NewID(now, 2*audit.FirstNumbers-1) {
		t.Error("a process that starts at its highest number cannot count as many again")
	}
}

func TestExpectFillsInTheOrigin(t *testing.T) {
	origin := audit.Origin{Author: 58, Asker: 1, Presented: 4194305, RequestID: "r", Address: "192.0.2.1", Source: audit.Console}
	ctx := audit.WithOrigin(t.Context(), origin)
	given := []audit.Event{
		{Name: audit.TokenIssued, Entity: audit.AccountEntity(58)},
		{Name: audit.AccountCreated, Entity: audit.AccountEntity(0), Origin: audit.Origin{Source: audit.Reuse, Author: 7}},
	}
	expecting := audit.AboutAccount(audit.About(audit.Expect(ctx, now, given...), 9), 60)
	reuse := origin
	reuse.Source = audit.Reuse
	want := []audit.Event{
		{At: now, Name: audit.TokenIssued, Entity: audit.AccountEntity(58), Origin: origin, Token: 9},
		{At: now, Name: audit.AccountCreated, Entity: audit.AccountEntity(60), Origin: reuse, Token: 9},
	}
	if got := audit.Expected(expecting); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	// A second attempt under the same context starts anew.
	again := audit.About(audit.Expect(ctx, now, given...), 10)
	if got := audit.Expected(again)[0].Token; got != 10 || given[0].Token != 0 || audit.Expected(expecting)[0].Token != 9 {
		t.Errorf("token %s, given %s", got, given[0].Token)
	}
	if audit.Expected(t.Context()) != nil || audit.Expected(audit.About(t.Context(), 9)) != nil {
		t.Error("something is expected of a context that says nothing")
	}
	named := audit.About(audit.Expect(ctx, now, audit.Event{Token: 5}), 9)
	if got := audit.Expected(named)[0].Token; got != 5 {
		t.Errorf("an event about token 5 is about %s", got)
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
		ctx := audit.Expect(t.Context(), now, audit.Event{Target: text, From: text, To: text})
		want := map[bool]string{true: text}[stays]
		if e := audit.Expected(ctx)[0]; e.Target != want || e.From != want || e.To != want {
			t.Errorf("%q became %q, %q, %q", text, e.Target, e.From, e.To)
		}
	}
}

// names returns the constants of type Name, by the source: one that is added
// is tested.
func names(tb testing.TB) map[string]audit.Name {
	tb.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string]audit.Name{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Name" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				tb.Fatal(err)
			}
			found[spec.Names[0].Name] = audit.Name(value)
		}
		return true
	})
	if len(found) < 35 {
		tb.Fatalf("only %d names were found", len(found))
	}
	return found
}

func TestEveryEventHasAText(t *testing.T) {
	for constant, name := range names(t) {
		e := audit.Event{Name: name, Entity: audit.Entity{Type: audit.Project, ID: 8}, Token: 21, Previous: 20, Target: "t", Change: "c"}
		text := e.Text()
		if text == string(name) || text == "" || strings.Contains(text, "  ") || strings.HasSuffix(text, " ") {
			t.Errorf("%s: %q", constant, text)
		}
		if impersonation := strings.HasPrefix(constant, "Impersonation"); name.OfImpersonation() != impersonation {
			t.Errorf("%s: of impersonation %t", constant, name.OfImpersonation())
		}
	}
}

func TestTexts(t *testing.T) {
	revoked := func(source audit.Source) audit.Event {
		return audit.Event{Name: audit.TokenRevoked, Token: 21, Origin: audit.Origin{Source: source}}
	}
	for want, e := range map[string]audit.Event{
		"Revoked personal access token with id 21":                                                      revoked(audit.Admin),
		"Revoked personal access token with id 21 by a policy on how long tokens and bots live":         revoked(audit.Policy),
		"Revoked personal access token with id 21 because one that it took the place of was used again": revoked(audit.Reuse),
		"Revoked personal access token with id 21 because its value was reported as leaked":             revoked(audit.Leak),
		"Rotated project access token with id 20, whose successor has id 21":                            {Name: audit.ProjectTokenRotated, Token: 21, Previous: 20},
		"Impersonation token with id 21 was presented for rotation after it had ended":                  {Name: audit.ImpersonationReused, Token: 21},
		"Changed email of user with id 58":                                                              {Name: audit.AccountUpdated, Entity: audit.AccountEntity(58), Change: "email"},
		"Added a member to group with id 7":                                                             {Name: audit.MemberAdded, Entity: audit.Entity{Type: audit.Group, ID: 7}},
		"something_new":                                                                                 {Name: "something_new"},
		"Attempted to create group access token without the right to":                                   {Name: audit.GroupTokenRefused},
		"Refused impersonation token with id 5, which may not be used from this address":                {Name: audit.ImpersonationStrayed, Token: 5},
	} {
		if got := e.Text(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
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
		e := audit.OfToken(latchkey.Token{ID: 21, Kind: kind, Owner: 58, Project: 8, Name: "n"}, audit.Revoked)
		if e.Entity != want || e.Token != 21 || e.Target != "n" || e.Name == "" {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}
