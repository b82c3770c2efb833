package authorizer_test

import (
	"testing"

	"latchkey/pkg/scope"
)

// Breaks if a scope that only administrators may hold opens an API after its owner was demoted, or
// if a backend that trusts the context thinks so.
func TestScopesEndWithTheirOwnersRightToThem(t *testing.T) {
	for _, simple := range []bool{false, true} {
		w := newWorld(t)
		own := &scope.Catalog{
			Scopes: []scope.Definition{{Name: "ledger", AdminOnly: true}, {Name: "orders"}},
			Rules:  []scope.Rule{{Path: "/ledger", Scopes: []scope.Scope{"ledger"}}, {Path: "/orders", Scopes: []scope.Scope{"orders"}}, {Path: "/all", Scopes: []scope.Scope{scope.AnyScope}}},
		}
		w.catalog = scope.GitLab().With(own)
		a := w.authorizer(t, simple)
		w.tokens["owner"].Scopes, w.tokens["other"].Scopes = scope.Set{"ledger", "orders"}, scope.Set{"ledger"}
		for _, test := range []struct {
			bearer string
			admin  bool
			scopes string
			opens  map[string]bool
		}{
			{"owner", true, "ledger orders", map[string]bool{"/ledger": true, "/orders": true, "/all": true}},
			{"owner", false, "orders", map[string]bool{"/ledger": false, "/orders": true, "/all": true}},
			{"other", false, "", map[string]bool{"/ledger": false, "/orders": false, "/all": false}},
		} {
			owner := w.store.accounts[w.tokens[test.bearer].Owner]
			owner.Admin = test.admin
			w.store.accounts[owner.ID] = owner
			for path, want := range test.opens {
				event := restEvent(w.bearers[test.bearer], "GET", path)
				if simple {
					event = httpEvent(w.bearers[test.bearer], "GET", path)
				}
				answer := decide(t, a, event)
				if got := passes(t, answer, "GET", path); got != want {
					t.Errorf("simple %t, administrator %t: %s passes = %t", simple, test.admin, path, got)
				}
				if got := told(t, answer)["scopes"]; got != test.scopes {
					t.Errorf("simple %t, administrator %t: the backend is told of scopes %q, want %q", simple, test.admin, got, test.scopes)
				}
			}
		}
	}
}
