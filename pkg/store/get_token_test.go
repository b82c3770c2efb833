package store_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)

	for _, c := range []struct {
		name   string
		change func(*token.Token)
	}{
		{"a token is read as it was written", func(*token.Token) {}},
		{"a token without an end has no day", withoutExpiry},
		{"a token without a description has none", func(tok *token.Token) { tok.Description = "" }},
		{"an impersonation token keeps its kind", impersonation},
		{"a token by the console was made by nobody", func(tok *token.Token) { tok.CreatedBy = 0 }},
		{"text beyond ASCII survives", func(tok *token.Token) { tok.Name = "bâtiment 建物 🔑 <b>&" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := f.AddToken(t, owner, c.change)
			byID, err := f.Store.Token(t.Context(), tok.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "by id", byID, tok)
			byDigest, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, "by digest", byDigest, tok)
		})
	}

	t.Run("a revoked token is still there", func(t *testing.T) {
		ended := storetest.Revoked(f.AddToken(t, owner))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		got, err := f.Store.Token(t.Context(), ended.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "token", got, ended)
	})

	t.Run("an id that was not given out is not found", func(t *testing.T) {
		unused, err := token.NewID(owner.ID, token.MaxNumber)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Store.Token(t.Context(), unused)
		wantErr(t, f, err, fault.ErrNotFound)
	})

	t.Run("a token whose record clean-up has taken is not found", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		_, err := f.Store.Token(t.Context(), tok.ID)
		wantErr(t, f, err, fault.ErrNotFound)
		_, err = f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, fault.ErrNotFound)
	})

	// The caller is asked about the token it named; somebody else's in its place
	// would be shown, rotated or revoked by the wrong person.
	t.Run("a pointer to another token's record is corrupt", func(t *testing.T) {
		mine, theirs := f.AddToken(t, owner), f.AddToken(t, f.AddAccount(t))
		pk, sk := pointerKey(mine.ID)
		f.Set(t, pk, sk, "digest", storetest.S(theirs.Digest.Key()))
		got, err := f.Store.Token(t.Context(), mine.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
		wantEqual(t, "token", got, token.Token{})
	})

	t.Run("instants are read in UTC", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		got, err := f.Store.Token(t.Context(), tok.ID)
		wantErr(t, f, err, nil)
		if got.CreatedAt.Location() != time.UTC {
			t.Errorf("created_at is in %v", got.CreatedAt.Location())
		}
	})
}

func TestTokensByDigest(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)

	// Three pages of the engine's, of which most find nothing: a thousand values
	// that somebody found are mostly not ours.
	t.Run("what is there is found among many that are not", func(t *testing.T) {
		want := map[token.ID]token.Token{}
		digests := make([]secret.Digest, 0, 250)
		for i := range cap(digests) {
			if i%25 != 24 {
				digests = append(digests, secret.DigestFromKey(fmt.Sprintf("missing-%d", i)))
				continue
			}
			tok := f.AddToken(t, owner)
			if i == 24 {
				tok = storetest.Revoked(tok)
				wantErr(t, f, f.Store.RevokeToken(t.Context(), tok, storetest.Event), nil)
			}
			want[tok.ID], digests = tok, append(digests, tok.Digest)
		}
		found, err := f.Store.TokensByDigest(t.Context(), digests)
		wantErr(t, f, err, nil)
		got := map[token.ID]token.Token{}
		for _, tok := range found {
			got[tok.ID] = tok
		}
		wantEqual(t, "tokens", got, want)
		wantEqual(t, "how many", len(found), 10)
	})
	t.Run("nothing is found of nothing", func(t *testing.T) {
		found, err := f.Store.TokensByDigest(t.Context(), nil)
		wantErr(t, f, err, nil)
		wantEqual(t, "how many", len(found), 0)
	})
	// One damaged record must not keep other leaked tokens alive.
	t.Run("a malformed record is passed over and told of", func(t *testing.T) {
		good, bad := f.AddToken(t, owner), f.AddToken(t, owner)
		pk, sk := recordKey(bad.Digest)
		f.Set(t, pk, sk, "expires_on", storetest.S("soon"))
		table, faults := reporting(f)
		found, err := table.TokensByDigest(t.Context(), []secret.Digest{bad.Digest, good.Digest})
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", found, []token.Token{good})
		wantEqual(t, "faults", len(*faults), 1)
		wantErr(t, f, (*faults)[0], fault.ErrCorrupt)
	})
}

func TestTokensByID(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner, another := f.AddAccount(t), f.AddAccount(t)
	var ids []token.ID
	want := map[token.ID]token.Token{}
	for n := range 130 { // more than a batch
		tok := f.AddToken(t, []account.Account{owner, another}[n%2])
		ids, want[tok.ID] = append(ids, tok.ID), tok
	}
	gone, broken := f.AddToken(t, owner), f.AddToken(t, owner)
	pk, sk := recordKey(gone.Digest)
	f.Drop(t, pk, sk)
	pk, sk = recordKey(broken.Digest)
	f.Set(t, pk, sk, "kind", storetest.S("odd"))
	none, err := token.NewID(owner.ID, 4000)
	wantErr(t, f, err, nil)
	got, faults := map[token.ID]token.Token{}, 0
	err = f.Store.TokensByID(t.Context(), append(ids, gone.ID, broken.ID, none), func(tok token.Token, err error) {
		if err != nil {
			wantErr(t, f, err, fault.ErrCorrupt)
			faults++
			return
		}
		got[tok.ID] = tok
	})
	wantErr(t, f, err, nil)
	wantEqual(t, "tokens", got, want)
	wantEqual(t, "unreadable ones", faults, 1)
}
