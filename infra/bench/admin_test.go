package main

import "testing"

// Breaks if an administrator's lists can no longer be measured. Nobody runs the benchmarks before a push.
func TestAdminPagesCanBeMeasured(t *testing.T) {
	o, err := newOffice(t.Context(), 3*tokensOfEach)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.page(t.Context(), o.tokens, "/api/v4/personal_access_tokens"); err != nil {
		t.Error(err)
	}
	if err := o.page(t.Context(), o.accounts, "/api/v4/users"); err != nil {
		t.Error(err)
	}
}
