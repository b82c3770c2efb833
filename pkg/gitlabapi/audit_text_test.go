package gitlabapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"latchkey/pkg/audit"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/settings"
)

// names returns the constants of type Name, by the source: one that is added
// is tested.
func names(tb testing.TB) map[string]audit.Name {
	tb.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../audit/audit.go", nil, 0)
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
		text := gitlabapi.AuditText(e)
		if text == string(name) || text == "" || strings.Contains(text, "  ") || strings.HasSuffix(text, " ") {
			t.Errorf("%s: %q", constant, text)
		}
	}
}

func TestTextsOfEvents(t *testing.T) {
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
		"Changed setting max_personal_access_token_lifetime":                                            {Name: audit.SettingsUpdated, Change: settings.Lifetime},
		"Changed setting personal_access_token_prefix":                                                  {Name: audit.SettingsUpdated, Change: "personal_access_token_prefix"}, // from before
		"something_new": {Name: "something_new"},
		"Attempted to create group access token without the right to":                    {Name: audit.GroupTokenRefused},
		"Refused impersonation token with id 5, which may not be used from this address": {Name: audit.ImpersonationStrayed, Token: 5},
	} {
		if got := gitlabapi.AuditText(e); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
