package store_test

import (
	"testing"

	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestNewest(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	rotated := func(t *testing.T) (first, newest token.Token) {
		first = f.AddToken(t, owner)
		newest, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), first, f.Successor(t, owner, first), nil, storetest.Event)
		wantErr(t, f, err, nil)
		return first, newest
	}

	t.Run("a token that was never rotated has no chain", func(t *testing.T) {
		_, err := f.Store.Newest(t.Context(), f.AddToken(t, owner).ID)
		wantErr(t, f, err, fault.ErrNotFound)
	})

	t.Run("the newest token of a chain is found in whatever state it is", func(t *testing.T) {
		first, newest := rotated(t)
		got, err := f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "newest", got, newest)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(newest), storetest.Event), nil)
		got, err = f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "newest", got, storetest.Revoked(newest))
	})

	t.Run("a chain whose newest record clean-up has taken is not found", func(t *testing.T) {
		first, newest := rotated(t)
		pk, sk := recordKey(newest.Digest)
		f.Drop(t, pk, sk)
		_, err := f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, fault.ErrNotFound)
	})

	t.Run("a family that names a token of another chain is corrupt", func(t *testing.T) {
		first, _ := rotated(t)
		pk, sk := familyKey(first.ID)
		f.Set(t, pk, sk, "digest", storetest.S(f.AddToken(t, owner).Digest.Key()))
		_, err := f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
	})

	t.Run("a family without a digest is corrupt", func(t *testing.T) {
		first, _ := rotated(t)
		pk, sk := familyKey(first.ID)
		f.Set(t, pk, sk, "digest", nil)
		_, err := f.Store.Newest(t.Context(), first.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
}
