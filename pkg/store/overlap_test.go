package store_test

import (
	"errors"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestRotateTokenWithAnOverlap(t *testing.T) {
	t.Parallel()
	f := open(t)
	// rotated makes a token of a new account and rotates it with an overlap.
	rotated := func(t *testing.T) (owner account.Account, old, next token.Token) {
		t.Helper()
		owner = f.AddAccount(t)
		old = storetest.Overlapping(f.AddToken(t, owner), time.Hour)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		return f.Fresh(t, owner), old, next
	}

	// Promise 6: a date of clean-up that does not reckon with the overlap would take what works.
	t.Run("the old token keeps working and is cleaned up the retention after its overlap", func(t *testing.T) {
		owner, old, next := rotated(t)
		stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", stored, []token.Token{old, next})
		if state := stored[0].StateAt(old.WorksUntil.Add(-time.Second), 0, settings.Settings{}); state != token.Active {
			t.Errorf("it is %s in the last second of its overlap", state)
		}
		deleteAfter := int(old.WorksUntil.Add(storetest.Retention).Unix())
		pk, sk := recordKey(old.Digest)
		record := f.Item(t, pk, sk)
		wantEqual(t, "record's clean-up", record["delete_after"], any(deleteAfter))
		if record["revoked_at"] != nil || record["revoked_reason"] != nil {
			t.Errorf("record %v", record)
		}
		pk, sk = pointerKey(old.ID)
		wantEqual(t, "pointer's clean-up", f.Item(t, pk, sk)["delete_after"], any(deleteAfter))
	})

	t.Run("only its successor is left in the expiry index", func(t *testing.T) {
		owner, _, next := rotated(t)
		wantEqual(t, "index", f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), []string{orderOf(next.ID)})
	})

	for _, overlap := range []time.Duration{0, time.Minute} {
		t.Run("it is not rotated again with an overlap of "+overlap.String(), func(t *testing.T) {
			owner, old, _ := rotated(t)
			again := old
			again.WorksUntil = time.Time{}
			if overlap > 0 {
				again = storetest.Overlapping(old, overlap)
			}
			before := f.Snapshot(t)
			_, err := f.Store.RotateToken(t.Context(), owner, again, f.Successor(t, owner, old), nil, storetest.Event)
			wantErr(t, f, err, token.ErrSuperseded)
			wantUnchanged(t, f, before)
		})
	}

	t.Run("one that was revoked in its overlap is not rotated again and not called superseded", func(t *testing.T) {
		owner, old, _ := rotated(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		_, err := f.Store.RotateToken(t.Context(), owner, old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, token.ErrRevoked)
	})

	t.Run("one that was revoked is not given an overlap", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		before := f.Snapshot(t)
		_, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), storetest.Overlapping(old, time.Hour), f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, token.ErrRevoked)
		wantUnchanged(t, f, before)
	})

	t.Run("8 rotations at once have one winner, with and without an overlap", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		seen := f.Fresh(t, owner)
		won := 0
		for _, err := range together(8, func(i int) error {
			wanted := old
			if i%2 == 0 {
				wanted = storetest.Overlapping(old, time.Hour)
			}
			_, err := f.Store.RotateToken(t.Context(), seen, wanted, f.Successor(t, owner, old), nil, storetest.Event)
			return err
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, token.ErrRevoked) && !errors.Is(err, token.ErrSuperseded):
				t.Errorf("a loser is told %v", err)
			}
		}
		stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		if won != 1 || len(stored) != 2 || !stored[0].Superseded() {
			t.Errorf("%d winners, tokens %v", won, show(stored))
		}
	})

	t.Run("revoking it ends it alone", func(t *testing.T) {
		_, old, next := rotated(t)
		pk, sk := familyKey(old.ID)
		family := f.Item(t, pk, sk)
		ended := storetest.Revoked(old)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		for _, want := range []token.Token{ended, next} {
			got, err := f.Store.Token(t.Context(), want.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "stored", got, want)
		}
		wantEqual(t, "family", f.Item(t, pk, sk), family)
		pk, sk = recordKey(old.Digest)
		wantEqual(t, "clean-up", f.Item(t, pk, sk)["delete_after"], any(int(ended.RevokedAt.Add(storetest.Retention).Unix())))
	})

	t.Run("revoking its successor leaves it working", func(t *testing.T) {
		_, old, next := rotated(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
		got, err := f.Store.Token(t.Context(), old.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "stored", got, old)
	})

	t.Run("an instant that makes no sense is refused", func(t *testing.T) {
		_, old, _ := rotated(t)
		pk, sk := recordKey(old.Digest)
		for _, value := range []string{"0", "-1", "253402300800"} {
			f.Set(t, pk, sk, "works_until", storetest.N(value))
			_, err := f.Store.TokenByDigest(t.Context(), old.Digest)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})
}

// Breaks if the end of a bot's old token takes the bot from under its successor, or a bot outlives
// the last of its tokens.
func TestOverlapOfABot(t *testing.T) {
	t.Parallel()
	f := open(t)
	// rotated makes a bot and rotates its token with an overlap.
	rotated := func(t *testing.T) (proj project.Project, old, next token.Token) {
		t.Helper()
		proj = f.AddProject(t, project.KindProject)
		old = storetest.Overlapping(f.AddBot(t, proj), time.Hour)
		bot := f.Fresh(t, account.Account{ID: old.Owner})
		next, err := f.Store.RotateToken(t.Context(), bot, old, f.Successor(t, bot, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		return proj, old, next
	}
	t.Run("all that names the old token is cleaned up after its overlap", func(t *testing.T) {
		proj, old, _ := rotated(t)
		for _, key := range []func() (string, string){
			func() (string, string) { return recordKey(old.Digest) },
			func() (string, string) { return pointerKey(old.ID) },
			func() (string, string) { return projectPointerKey(proj.ID, old.ID) },
		} {
			pk, sk := key()
			wantEqual(t, pk+" / "+sk, f.Item(t, pk, sk)["delete_after"], any(int(old.WorksUntil.Add(storetest.Retention).Unix())))
		}
	})

	t.Run("revoking the old token ends it alone", func(t *testing.T) {
		proj, old, next := rotated(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		stored, err := f.Store.TokensOfProject(t.Context(), proj.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", stored, []token.Token{storetest.Revoked(old), next})
		wantBot(t, f, proj, next, "_bot")
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		wantUnchanged(t, f, before)

		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
		wantNoBot(t, f, proj, next)
	})

	// Breaks if the caller takes the token for ended while its successor works.
	t.Run("a rotation with an overlap that came first is told to whoever did not know", func(t *testing.T) {
		proj, old, next := rotated(t)
		unaware := old
		unaware.WorksUntil, unaware.SupersededAt = time.Time{}, time.Time{}
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(unaware), storetest.Event), token.ErrSuperseded)
		wantUnchanged(t, f, before)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(unaware), storetest.Event), token.ErrSuperseded)
		wantBot(t, f, proj, next, "_bot")
	})

	t.Run("revoking the successor takes the bot, and the old token with it", func(t *testing.T) {
		proj, old, next := rotated(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
		wantNoBot(t, f, proj, next)
		_, _, err := f.Store.Check(t.Context(), []secret.Digest{old.Digest}, old.Owner, nil)
		wantErr(t, f, err, fault.ErrNotFound)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), nil)
	})

	t.Run("against a rotation with an overlap at the same time, bot and live token stay together", func(t *testing.T) {
		for range 8 {
			proj := f.AddProject(t, project.KindProject)
			tok := f.AddBot(t, proj)
			bot := f.Fresh(t, account.Account{ID: tok.Owner})
			next := f.Successor(t, bot, tok)
			errs := together(2, func(i int) (err error) {
				if i == 0 {
					return f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event)
				}
				_, err = f.Store.RotateToken(t.Context(), bot, storetest.Overlapping(tok, time.Hour), next, nil, storetest.Event)
				return err
			})
			old, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			_, err = f.Store.Account(t.Context(), tok.Owner)
			if rotated := errs[1] == nil; rotated {
				wantErr(t, f, errs[0], token.ErrSuperseded)
				wantErr(t, f, err, nil)
			} else {
				wantErr(t, f, errs[0], nil)
				wantErr(t, f, err, fault.ErrNotFound)
			}
			if old.RevokedAt.IsZero() != (errs[0] != nil) {
				t.Errorf("the token is revoked at %v after %v", old.RevokedAt, errs[0])
			}
		}
	})
}
