package store_test

import (
	"testing"
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestRevokeToken(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("a revoked token leaves the index and may be cleaned up after the retention", func(t *testing.T) {
		owner := f.AddAccount(t)
		ended := storetest.Revoked(f.AddToken(t, owner))
		stays := f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		deleteAfter := int(ended.RevokedAt.Add(storetest.Retention).Unix())

		pk, sk := recordKey(ended.Digest)
		wantEqual(t, "record", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk,
			"id": int(ended.ID), "kind": "personal", "name": "deploy", "description": "for the pipeline",
			"scopes": []any{"api", "read_user"}, "created_at": int(storetest.Now.Unix()), "created_by": int(owner.ID),
			"family": int(ended.ID), "expires_on": "2031-05-13",
			"revoked_at": int(ended.RevokedAt.Unix()), "revoked_reason": "request", "delete_after": deleteAfter,
		})
		pk, sk = pointerKey(ended.ID)
		wantEqual(t, "pointer", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "digest": ended.Digest.Key(), "delete_after": deleteAfter,
			"created_at": int(storetest.Now.Unix()), "ends_at": int(ended.ExpiresAt().Unix()),
		})
		wantEqual(t, "index", f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), []string{orderOf(stays.ID)})
		got, err := f.Store.Token(t.Context(), stays.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "the other token", got, stays)
	})

	t.Run("the newest of a family takes the family with it", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		ended := storetest.Revoked(next)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		pk, sk := familyKey(old.ID)
		wantEqual(t, "family", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "digest": next.Digest.Key(), "delete_after": int(ended.RevokedAt.Add(storetest.Retention).Unix()),
		})
	})

	t.Run("a token that ended earlier keeps its own end, and that is no error", func(t *testing.T) {
		owner := f.AddAccount(t)
		ended := storetest.Revoked(f.AddToken(t, owner))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		before := f.Snapshot(t)
		again := ended
		again.RevokedAt, again.RevokedReason = ended.RevokedAt.Add(time.Hour), token.ReasonReuse
		wantErr(t, f, f.Store.RevokeToken(t.Context(), again, storetest.Event), nil)
		wantUnchanged(t, f, before)
	})

	// Breaks if the caller takes the token for ended while its successor works.
	t.Run("a token that was rotated since it was read stays as it is, and its caller learns it", func(t *testing.T) {
		owner := f.AddAccount(t)
		first := f.AddToken(t, owner)
		second, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), first, f.Successor(t, owner, first), nil, storetest.Event)
		wantErr(t, f, err, nil)
		_, err = f.Store.RotateToken(t.Context(), f.Fresh(t, owner), second, f.Successor(t, owner, second), nil, storetest.Event)
		wantErr(t, f, err, nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(first), storetest.Event), token.ErrSuperseded)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(second), storetest.Event), token.ErrSuperseded)
		wantUnchanged(t, f, before)
	})

	t.Run("a family that names another token is left alone", func(t *testing.T) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		pk, sk := familyKey(old.ID)
		f.Set(t, pk, sk, "digest", storetest.S("another"))
		before := f.Item(t, pk, sk)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
		wantEqual(t, "family", f.Item(t, pk, sk), before)
		got, err := f.Store.Token(t.Context(), next.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "token", got, storetest.Revoked(next))
	})

	t.Run("a token without a record is not found", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})

	// Damage to what only serves lookup must not keep a leaked token alive.
	t.Run("a token whose pointer or family is missing ends all the same", func(t *testing.T) {
		for name, key := range map[string]func(token.Token) (string, string){
			"pointer": func(tok token.Token) (string, string) { return pointerKey(tok.ID) },
			"family":  func(tok token.Token) (string, string) { return familyKey(tok.Family) },
		} {
			owner := f.AddAccount(t)
			old := f.AddToken(t, owner)
			next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
			wantErr(t, f, err, nil)
			pk, sk := key(next)
			f.Drop(t, pk, sk)
			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
			got, err := f.Store.TokenByDigest(t.Context(), next.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, "token without its "+name, got, storetest.Revoked(next))
			if it := f.Item(t, pk, sk); it != nil {
				t.Errorf("the %s came back: %v", name, it)
			}
		}
	})

	t.Run("8 revocations at once are all answered and one counts", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		for _, err := range together(8, func(i int) error {
			ended := storetest.Revoked(tok)
			ended.RevokedAt = ended.RevokedAt.Add(time.Duration(i) * time.Second)
			return f.Store.RevokeToken(t.Context(), ended, storetest.Event)
		}) {
			wantErr(t, f, err, nil)
		}
		pk, sk := recordKey(tok.Digest)
		record := f.Item(t, pk, sk)
		retention := int(storetest.Retention / time.Second)
		if record["delete_after"].(int)-record["revoked_at"].(int) != retention {
			t.Errorf("the record mixes two revocations: %v", record)
		}
	})
}

// Breaks if a rotated token's report is missing in the audit trail, or written there again and again.
func TestReportToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	old := f.AddToken(t, owner)
	_, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
	wantErr(t, f, err, nil)
	before, err := f.Store.TokenByDigest(t.Context(), old.Digest)
	wantErr(t, f, err, nil)
	first, err := f.Store.ReportToken(t.Context(), old, storetest.Event)
	wantErr(t, f, err, nil)
	wantEqual(t, "first", first, true)
	after := before
	after.Notices = []string{"reported"}
	got, err := f.Store.TokenByDigest(t.Context(), old.Digest)
	wantErr(t, f, err, nil)
	wantEqual(t, "token", got, after)
	snapshot := f.Snapshot(t)
	first, err = f.Store.ReportToken(t.Context(), old, storetest.Event)
	wantErr(t, f, err, nil)
	wantEqual(t, "first of the second report", first, false)
	wantEqual(t, "table after the second report", f.Snapshot(t), snapshot)
	missing := old
	missing.Digest = f.AddToken(t, owner).Digest
	pk, sk := recordKey(missing.Digest)
	f.Drop(t, pk, sk)
	_, err = f.Store.ReportToken(t.Context(), missing, storetest.Event)
	wantErr(t, f, err, fault.ErrNotFound)
}
