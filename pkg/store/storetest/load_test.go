package storetest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
)

// A table that was filled by a loader is one that the store could have made.
func TestLoader(t *testing.T) {
	t.Parallel()
	client := storetest.Engine(t)
	crowd := storetest.Crowd{Owners: 30, TokensEach: 2, First: 1, On: func(owner account.ID, n int) clock.Day {
		return clock.DayOf(storetest.Now).AddDays(int(owner) + n)
	}}
	loaded, made := storetest.NewFixture(t, client), storetest.NewFixture(t, client)
	loader, err := storetest.NewLoader(t.Context(), client, loaded.Name, storetest.Shards)
	if err != nil {
		t.Fatal(err)
	}
	if err := loader.Crowd(t.Context(), crowd); err != nil {
		t.Fatal(err)
	}
	for u := range crowd.Accounts() {
		u.NextNumber = 1
		if _, err := made.Store.CreateAccount(t.Context(), u, storetest.Event); err != nil {
			t.Fatal(err)
		}
	}
	for tok := range crowd.Tokens() {
		owner, err := made.Store.Account(t.Context(), tok.Owner)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := made.Store.CreateToken(t.Context(), owner, tok, nil, storetest.Event); err != nil {
			t.Fatal(err)
		}
	}
	wanted := made.Snapshot(t)
	for key, it := range loaded.Snapshot(t) {
		if diff := cmp.Diff(wanted[key], it); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	if n := len(loaded.Snapshot(t)); n != 30+60 {
		t.Errorf("%d items", n)
	}
}
