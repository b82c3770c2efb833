package authorizer_test

import "testing"

// Nobody sees a request's body here, and answers do not depend on its query. Breaks if a token that may
// only read can send a mutation, also by a policy that a gateway keeps from another request.
func TestReadersDoNotReachGraphQL(t *testing.T) {
	for _, format := range formats {
		w := newWorld(t)
		a := w.authorizer(t, format.simple)
		for bearer, want := range map[string]bool{"owner": true, "reading": false, "profile": false} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
				const path = "/api/graphql"
				if got := passes(t, decide(t, a, format.event(w.bearers[bearer], method, path)), method, path); got != want {
					t.Errorf("%s: %s by %s passes = %t", format.name, method, bearer, got)
				}
				if format.simple {
					continue
				}
				kept := decide(t, a, format.event(w.bearers[bearer], "GET", "/orders"))
				if got := passes(t, kept, method, path); got != want {
					t.Errorf("%s, by the policy of another request: %s by %s passes = %t", format.name, method, bearer, got)
				}
			}
		}
		if !passes(t, decide(t, a, format.event(w.bearers["reading"], "GET", "/orders")), "GET", "/orders") {
			t.Errorf("%s: a reader can read nothing", format.name)
		}
	}
}
