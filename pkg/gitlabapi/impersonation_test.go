package gitlabapi_test

import "testing"

// Log lines name who acts as somebody else. If this fails, what an
// administrator did is put down to the owner.
func TestLogsNameTheImpersonator(t *testing.T) {
	for name, r := range map[string]request{
		"good":           {function: "directory", method: "GET", target: "/api/v4/user", bearer: "impersonation"},
		"without rights": {function: "directory", method: "POST", target: "/api/v4/users/3/block", bearer: "impersonation"},
		"a change":       {function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "impersonation"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.impersonate(t, "owner")
			throughLambda(t, w, r)
			checkLines(t, w, `"owner":2`, `"impersonator_id":1`)
			w.end(t, "impersonation")
			w.logs.reset()
			throughLambda(t, w, r)
			checkLines(t, w, `"owner":2`, `"impersonator_id":1`)
		})
	}
}

// A lost reply is repeated with the same prefix, under the same key.
func TestCreationForImpersonationIsRepeatedByItsKey(t *testing.T) {
	w := newWorld(t)
	r := post("issue", impersonations, "root", `{"name":"n","scopes":["api"]}`)
	r.header = header(keyHeader, "k1")
	first, again := throughLambda(t, w, r), throughLambda(t, w, r)
	if first.status != 201 || again.body != first.body {
		t.Errorf("first %s\nagain %s", first, again)
	}
	ordinary := post("issue", forOwner, "root", `{"name":"n","scopes":["api"]}`)
	ordinary.header = r.header
	if got := throughLambda(t, w, ordinary); got.status != 422 {
		t.Errorf("an ordinary one under the same key: %s", got)
	}
}
