package store_test

import (
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
)

// A check is on the path of every request of every API behind the authorizer:
// each request to the engine that is added here is paid for by all of them.
func TestCheckRequests(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	owner, other := f.AddAccount(t), f.AddAccount(t)
	tok := f.AddToken(t, owner)
	want := f.Fresh(t, owner)

	for _, c := range []struct {
		name   string
		hint   account.ID
		counts map[string]int
	}{
		{"with the owner's hint record and profile come in one request", owner.ID, map[string]int{"BatchGetItem": 1}},
		{"a chosen value without a hint takes two reads in a row", 0, map[string]int{"GetItem": 2}},
		{"a hint at somebody else costs one more read, and the record decides", other.ID, map[string]int{"BatchGetItem": 1, "GetItem": 1}},
		{"a hint at nobody costs one more read, and the record decides", 4711, map[string]int{"BatchGetItem": 1, "GetItem": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Reset()
			got, acct, err := through.Check(t.Context(), []secret.Digest{tok.Digest}, c.hint, nil)
			wantErr(t, f, err, nil)
			wantEqual(t, "requests", proxy.Counts(), c.counts)
			wantEqual(t, "token", got, tok)
			wantEqual(t, "owner", acct, want)
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)

	t.Run("a digest without a record is not found, with a hint and without", func(t *testing.T) {
		nobody := f.Candidate(t, owner).Digest
		for _, hint := range []account.ID{0, owner.ID} {
			_, _, err := f.Store.Check(t.Context(), []secret.Digest{nobody}, hint, nil)
			wantErr(t, f, err, fault.ErrNotFound)
		}
	})

	// A revocation that has been answered must hold in the next check: these
	// guard promise 1 of the architecture.
	t.Run("a revocation is seen by the next check", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		for _, hint := range []account.ID{0, owner.ID} {
			got, _, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, nil)
			wantEqual(t, "token", got, storetest.Revoked(tok))
		}
	})

	t.Run("blocking the owner is seen by the next check", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		set(t, f, owner.ID, account.Active, account.Blocked)
		for _, hint := range []account.ID{0, owner.ID} {
			_, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, nil)
			wantErr(t, f, acct.Usable(), account.ErrBlocked)
		}
	})

	t.Run("revoking everything is seen by the next check", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		for _, hint := range []account.ID{0, owner.ID} {
			got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, nil)
			if !got.RevokedIn(storetest.Now, acct.TokensValidFrom) {
				t.Error("the token is not revoked")
			}
		}
	})

	t.Run("a record whose owner was deleted comes beside not found, and no owner", func(t *testing.T) {
		gone := f.AddAccount(t)
		tok := f.AddToken(t, gone)
		f.Drop(t, "USER#"+gone.ID.String(), "PROFILE")
		for _, hint := range []account.ID{0, gone.ID, owner.ID} {
			got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, fault.ErrNotFound)
			wantEqual(t, "token", got, tok)
			wantEqual(t, "owner", acct, account.Account{})
		}
	})

	t.Run("the record of any generation is found, and two records decide nothing", func(t *testing.T) {
		tok, other, nobody := f.AddToken(t, owner), f.AddToken(t, owner), f.Candidate(t, owner).Digest
		for _, hint := range []account.ID{0, owner.ID} {
			for _, digests := range [][]secret.Digest{{tok.Digest, nobody}, {nobody, tok.Digest}} {
				got, _, err := f.Store.Check(t.Context(), digests, hint, nil)
				wantErr(t, f, err, nil)
				wantEqual(t, "token", got, tok)
			}
			_, _, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest, other.Digest}, hint, nil)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})

	t.Run("a digest is matched in its exact case", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		_, _, err := f.Store.Check(t.Context(), []secret.Digest{secret.DigestFromKey(swapCase(tok.Digest.Key()))}, owner.ID, nil)
		wantErr(t, f, err, fault.ErrNotFound)
	})
}

func swapCase(s string) string {
	swapped := []byte(s)
	for i, c := range swapped {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			swapped[i] = c ^ 0x20
		}
	}
	return string(swapped)
}
