package store_test

import (
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
)

func TestLastAccountID(t *testing.T) {
	t.Parallel()
	f := open(t)
	last := func(t *testing.T) account.ID {
		id, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, nil)
		return id
	}

	t.Run("before the first account it is 0", func(t *testing.T) {
		if got := last(t); got != 0 {
			t.Errorf("got %d", got)
		}
	})

	t.Run("it is the id of the newest account", func(t *testing.T) {
		for range 3 {
			if u := f.AddAccount(t); last(t) != u.ID {
				t.Errorf("got %d, want %d", last(t), u.ID)
			}
		}
	})

	t.Run("a malformed counter is corrupt and makes no account", func(t *testing.T) {
		f.Set(t, "SEQUENCE", "USER", "last", storetest.S("three"))
		before := f.Snapshot(t)
		_, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, fault.ErrCorrupt)
		_, err = f.Store.CreateAccount(t.Context(), f.Account("fourth"), storetest.Event)
		wantErr(t, f, err, fault.ErrCorrupt)
		wantUnchanged(t, f, before)
	})
}
