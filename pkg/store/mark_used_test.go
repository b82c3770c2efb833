package store_test

import (
	"testing"
	"time"

	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestMarkUsed(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddUser(t)
	now := storetest.Now.Add(24 * time.Hour)
	before := now.Add(-10 * time.Minute)

	for _, c := range []struct {
		name string
		last time.Time // zero for a token that was never used
		want time.Time
	}{
		{"the first use is recorded", time.Time{}, now},
		{"a use one second before the limit is overwritten", before.Add(-time.Second), now},
		{"a use at the limit is overwritten", before, now},
		{"a use one second after the limit stands", before.Add(time.Second), before.Add(time.Second)},
		{"a later use than this one stands", now.Add(time.Hour), now.Add(time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := f.AddToken(t, owner)
			if !c.last.IsZero() {
				wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, c.last, c.last), nil)
			}
			wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, now, before), nil)
			tok.LastUsedAt = c.want
			got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, "token", got, tok)
		})
	}

	t.Run("a record that clean-up has taken does not come back", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, now, before), nil)
		if got := f.Item(t, pk, sk); got != nil {
			t.Errorf("the record is %v, want none", got)
		}
	})

	t.Run("a use does not bring a revoked token back", func(t *testing.T) {
		ended := storetest.Ended(f.AddToken(t, owner))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended), nil)
		wantErr(t, f, f.Store.MarkUsed(t.Context(), ended.Digest, now, before), nil)
		got, err := f.Store.TokenByDigest(t.Context(), ended.Digest)
		wantErr(t, f, err, nil)
		ended.LastUsedAt = now
		wantEqual(t, "token", got, ended)
	})

	t.Run("of many uses at once none fails and one is recorded", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		for _, err := range together(8, func(i int) error {
			return f.Store.MarkUsed(t.Context(), tok.Digest, now.Add(time.Duration(i)*time.Second), before)
		}) {
			wantErr(t, f, err, nil)
		}
		got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, nil)
		if got.LastUsedAt.Before(now) {
			t.Errorf("last use is %v", got.LastUsedAt)
		}
		got.LastUsedAt = time.Time{}
		wantEqual[token.Token](t, "rest of the token", got, tok)
	})
}
