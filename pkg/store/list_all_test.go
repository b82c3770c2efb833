package store_test

import (
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestEveryToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())

	t.Run("a table without tokens has none", func(t *testing.T) {
		f.AddAccount(t)
		err := f.Store.EveryToken(t.Context(), func(token.Token, account.Account) { t.Error("there is one") })
		wantErr(t, f, err, nil)
	})

	type listed struct {
		token token.Token
		owner account.Account
	}
	byID := func(a, b listed) int { return int(a.token.ID - b.token.ID) }
	var want []listed
	for i := range 6 {
		owner := f.AddAccount(t)
		if i == 2 {
			admin := owner
			admin.Admin = true
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), owner, admin, []audit.Event{storetest.Event}), nil)
		}
		var tokens []token.Token
		for range i {
			tokens = append(tokens, f.AddToken(t, owner))
		}
		if i%2 == 1 {
			wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
			tokens = append(tokens, f.AddToken(t, owner))
		}
		owner = f.Fresh(t, owner)
		owner = account.Account{ID: owner.ID, Admin: owner.Admin, TokensValidFrom: owner.TokensValidFrom}
		for _, tok := range tokens {
			want = append(want, listed{tok, owner})
		}
	}
	slices.SortFunc(want, byID)

	for _, c := range []struct {
		name string
		rule storetest.Rule
	}{
		{"every token comes once, with what its owner's rights depend on", nil},
		{"every token comes once when the table comes in many pages", storetest.On("Scan", storetest.PageBy(3))},
		{"owners whom the engine left unread are asked for again", storetest.First("BatchGetItem", storetest.LeaveUnread(0), storetest.LeaveUnread(1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Fail(c.rule)
			defer proxy.Fail(nil)
			var got []listed
			err := through.EveryToken(t.Context(), func(tok token.Token, owner account.Account) {
				got = append(got, listed{tok, owner})
			})
			wantErr(t, f, err, nil)
			slices.SortFunc(got, byID)
			if !slices.EqualFunc(got, want, func(a, b listed) bool {
				return a.token.ID == b.token.ID && a.token.Digest == b.token.Digest && a.owner == b.owner
			}) {
				t.Errorf("got %d tokens, want %d", len(got), len(want))
			}
		})
	}

	t.Run("a malformed record is reported and hides no other", func(t *testing.T) {
		pk, sk := recordKey(want[0].token.Digest)
		f.Set(t, pk, sk, "scopes", nil)
		table, faults := reporting(f)
		count := 0
		err := table.EveryToken(t.Context(), func(token.Token, account.Account) { count++ })
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", count, len(want)-1)
		wantEqual(t, "faults", len(*faults), 1)
		wantErr(t, f, (*faults)[0], fault.ErrCorrupt)
	})
}

// reporting is the fixture's table with the faults of the items that lists pass over.
func reporting(f *storetest.Fixture) (*store.Table, *[]error) {
	var faults []error
	table := store.Open(f.Client, f.Name, store.Options{
		Shards: storetest.Shards, Retention: storetest.Retention,
		Malformed: func(err error) { faults = append(faults, err) },
	})
	return table, &faults
}
