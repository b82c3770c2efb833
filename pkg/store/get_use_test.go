package store_test

import (
	"encoding/base64"
	"testing"
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestUse(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	create := func(t *testing.T, use secret.Use) error {
		_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), &use, storetest.Event)
		return err
	}

	t.Run("a key that was not used is not found", func(t *testing.T) {
		_, err := f.Store.Use(t.Context(), "nothing")
		wantErr(t, f, err, fault.ErrNotFound)
	})

	t.Run("a use is read as it was written", func(t *testing.T) {
		use := f.Use(t, "first", storetest.Now)
		wantErr(t, f, create(t, use), nil)
		got, err := f.Store.Use(t.Context(), "first")
		wantErr(t, f, err, nil)
		wantEqual(t, "use", got, use)
		pk, sk := useKey("first")
		wantEqual(t, "item", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "fingerprint": use.Fingerprint, "prefix": "lkpat_", "owner": 1,
			"nonce": base64.RawURLEncoding.EncodeToString(use.Nonce[:]),
			"at":    int(storetest.Now.Unix()), "delete_after": int(storetest.Now.Add(24 * time.Hour).Unix()),
		})
	})

	// Overwritten too early, a retry would make a second token; too late, a new
	// request would be refused.
	for _, c := range []struct {
		name  string
		after time.Duration
		want  error
	}{
		{"a key used at the same second is used", 0, token.ErrKeyUsed},
		{"a key used one second before 24 hours is used", 24*time.Hour - time.Second, token.ErrKeyUsed},
		{"a key used 24 hours ago is overwritten", 24 * time.Hour, nil},
		{"a key used one second after 24 hours is overwritten", 24*time.Hour + time.Second, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := f.Use(t, "limit "+c.name, storetest.Now)
			wantErr(t, f, create(t, first), nil)
			second := f.Use(t, first.Handle, storetest.Now.Add(c.after))
			if first.Good(second.At) != (c.want != nil) {
				t.Errorf("package secret says that the use is good: %t", first.Good(second.At))
			}
			before := f.Snapshot(t)
			wantErr(t, f, create(t, second), c.want)
			want := second
			if c.want != nil {
				wantUnchanged(t, f, before)
				want = first
			}
			got, err := f.Store.Use(t.Context(), first.Handle)
			wantErr(t, f, err, nil)
			wantEqual(t, "use", got, want)
		})
	}

	t.Run("a rotation under a key that is used writes nothing", func(t *testing.T) {
		use := f.Use(t, "rotation", storetest.Now)
		wantErr(t, f, create(t, use), nil)
		old := f.AddToken(t, owner)
		before := f.Snapshot(t)
		again := f.Use(t, "rotation", storetest.Now.Add(time.Hour))
		_, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), &again, storetest.Event)
		wantErr(t, f, err, token.ErrKeyUsed)
		wantUnchanged(t, f, before)
	})

	t.Run("of 8 requests at once under one key one makes a token", func(t *testing.T) {
		owner := f.AddAccount(t)
		made := 0
		for _, err := range together(8, func(int) error {
			use := f.Use(t, "together", storetest.Now)
			_, err := f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), &use, storetest.Event)
			return err
		}) {
			if err == nil {
				made++
				continue
			}
			wantErr(t, f, err, token.ErrKeyUsed)
		}
		if stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID); err != nil || made != 1 || len(stored) != 1 {
			t.Errorf("%d made, %d stored, err = %v", made, len(stored), err)
		}
	})

	t.Run("a malformed use is corrupt", func(t *testing.T) {
		for attribute, value := range map[string]string{"nonce": "short", "at": "soon", "owner": "me"} {
			use := f.Use(t, "malformed "+attribute, storetest.Now)
			wantErr(t, f, create(t, use), nil)
			pk, sk := useKey(use.Handle)
			f.Set(t, pk, sk, attribute, storetest.S(value))
			_, err := f.Store.Use(t.Context(), use.Handle)
			wantErr(t, f, err, fault.ErrCorrupt)
			f.Set(t, pk, sk, attribute, nil)
			_, err = f.Store.Use(t.Context(), use.Handle)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})
}
