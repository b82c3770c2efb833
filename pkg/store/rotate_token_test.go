package store_test

import (
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestRotateToken(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("a rotation ends the old token and puts the next in its place", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		if next.ID.Number() != 2 || next.Family != old.ID || next.Previous != old.ID {
			t.Errorf("next is %v", show(next))
		}
		ended := old
		ended.RevokedAt, ended.RevokedReason = next.CreatedAt, token.ReasonRotated
		for _, want := range []token.Token{ended, next} {
			got, err := f.Store.Token(t.Context(), want.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "stored", got, want)
		}

		deleteAfter := int(next.CreatedAt.Add(storetest.Retention).Unix())
		pk, sk := recordKey(old.Digest)
		record := f.Item(t, pk, sk)
		wantEqual(t, "old record's clean-up", record["delete_after"], any(deleteAfter))
		wantEqual(t, "old record's reason", record["revoked_reason"], any("rotated"))
		pk, sk = pointerKey(old.ID)
		wantEqual(t, "old pointer's clean-up", f.Item(t, pk, sk)["delete_after"], any(deleteAfter))
		wantEqual(t, "index", f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), []string{orderOf(next.ID)})
		for _, key := range []func() (string, string){
			func() (string, string) { return recordKey(next.Digest) },
			func() (string, string) { return pointerKey(next.ID) },
			func() (string, string) { return familyKey(old.ID) },
		} {
			pk, sk := key()
			it := f.Item(t, pk, sk)
			if _, there := it["delete_after"]; it == nil || there {
				t.Errorf("%s / %s is %v, want an item that clean-up leaves alone", pk, sk, it)
			}
		}
		wantEqual(t, "family", f.Item(t, "FAMILY#"+old.ID.String(), "CURRENT"), map[string]any{
			"pk": "FAMILY#" + old.ID.String(), "sk": "CURRENT", "digest": next.Digest.Key(),
		})
	})

	t.Run("a chain keeps its family and its last token", func(t *testing.T) {
		owner := f.AddAccount(t)
		first := f.AddToken(t, owner)
		current := first
		for range 3 {
			next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), current, f.Successor(t, owner, current), nil, storetest.Event)
			wantErr(t, f, err, nil)
			if next.Family != first.ID || next.Previous != current.ID {
				t.Errorf("family %d, previous %d; want %d and %d", next.Family, next.Previous, first.ID, current.ID)
			}
			current = next
		}
		newest, err := f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "newest", newest, current)
	})

	for _, c := range []struct {
		name    string
		prepare func(*testing.T, account.Account, token.Token)
		want    error
	}{
		{"the loser of two rotations is told the token has a successor", func(t *testing.T, u account.Account, old token.Token) {
			_, err := f.Store.RotateToken(t.Context(), u, old, f.Successor(t, u, old), nil, storetest.Event)
			wantErr(t, f, err, nil)
		}, token.ErrSuperseded},
		{"a token that was revoked between reading and writing is not rotated", func(t *testing.T, _ account.Account, old token.Token) {
			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		}, token.ErrRevoked},
		{"rotating for a blocked owner writes nothing", func(t *testing.T, u account.Account, _ token.Token) {
			set(t, f, u.ID, account.Active, account.Blocked)
		}, account.ErrBlocked},
		{"a bulk revocation between reading and writing refuses the rotation", func(t *testing.T, u account.Account, _ token.Token) {
			wantErr(t, f, f.Store.RevokeEverything(t.Context(), u.ID, storetest.Event), nil)
		}, fault.ErrMoved},
		{"rotating for an owner who is gone writes nothing", func(t *testing.T, u account.Account, _ token.Token) {
			f.Drop(t, "USER#"+u.ID.String(), "PROFILE")
		}, fault.ErrNotFound},
		{"a record that clean-up has taken is not rotated", func(t *testing.T, _ account.Account, old token.Token) {
			pk, sk := recordKey(old.Digest)
			f.Drop(t, pk, sk)
		}, token.ErrRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner := f.AddAccount(t)
			old := f.AddToken(t, owner)
			owner = f.Fresh(t, owner)
			c.prepare(t, owner, old)
			use := f.Use(t, "rotation "+c.name, storetest.Now)
			before := f.Snapshot(t)
			got, err := f.Store.RotateToken(t.Context(), owner, old, f.Successor(t, owner, old), &use, storetest.Event)
			wantErr(t, f, err, c.want)
			wantEqual(t, "token", got, token.Token{})
			wantUnchanged(t, f, before)
		})
	}

	t.Run("tokens made meanwhile only move the number", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		seen := f.Fresh(t, owner)
		f.AddToken(t, owner)
		next, err := f.Store.RotateToken(t.Context(), seen, old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		if next.ID.Number() != 3 || next.Family != old.ID {
			t.Errorf("number %d of family %d", next.ID.Number(), next.Family)
		}
	})

	t.Run("8 rotations at once have one winner", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		seen := f.Fresh(t, owner)
		next := make([]token.Token, 8)
		winner := -1
		for i, err := range together(len(next), func(i int) (err error) {
			next[i], err = f.Store.RotateToken(t.Context(), seen, old, f.Successor(t, owner, old), nil, storetest.Event)
			return err
		}) {
			if err != nil {
				wantErr(t, f, err, token.ErrSuperseded)
				continue
			}
			if winner >= 0 {
				t.Errorf("rotations %d and %d both won", winner, i)
			}
			winner = i
		}
		if winner < 0 {
			t.Fatal("nobody won")
		}
		stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		if len(stored) != 2 {
			t.Errorf("the owner has %d tokens, want 2", len(stored))
		}
		wantEqual(t, "successor", stored[1], next[winner])
		if n := f.Fresh(t, owner).NextNumber; n != 3 {
			t.Errorf("next number %d, want 3", n)
		}
	})

	// Whoever wins, nobody who was told that the token has ended holds a good one.
	t.Run("a rotation and a revocation at once leave one outcome", func(t *testing.T) {
		for range 8 {
			owner := f.AddAccount(t)
			old := f.AddToken(t, owner)
			seen := f.Fresh(t, owner)
			errs := together(2, func(i int) error {
				if i == 0 {
					return f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event)
				}
				_, err := f.Store.RotateToken(t.Context(), seen, old, f.Successor(t, owner, old), nil, storetest.Event)
				return err
			})
			stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
			wantErr(t, f, err, nil)
			rotated := errs[1] == nil
			if rotated {
				wantErr(t, f, errs[0], token.ErrSuperseded)
			} else {
				wantErr(t, f, errs[0], nil)
				wantErr(t, f, errs[1], token.ErrRevoked)
			}
			if stored[0].RevokedAt.IsZero() || (stored[0].RevokedReason == token.ReasonRotated) != rotated || (len(stored) == 2) != rotated {
				t.Errorf("rotation: %v, tokens: %v", errs[1], show(stored))
			}
		}
	})

	t.Run("a rotated impersonation token stays out of the index", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner, impersonation)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		if slices.Contains(f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), orderOf(next.ID)) {
			t.Error("it is in the index")
		}
		pk, sk := pointerKey(next.ID)
		wantEqual(t, "kind of the pointer", f.Item(t, pk, sk)["kind"], any("impersonation"))
	})
}
