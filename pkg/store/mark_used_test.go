package store_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestMarkUsed(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
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
				wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, c.last, c.last, nil), nil)
			}
			wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, now, before, nil), nil)
			tok.LastUsedAt = c.want
			got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, "token", got, tok)
		})
	}

	t.Run("addresses are written with the use, and only with it", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		indexed := f.Indexed(t, bucketOf(owner.ID, "2031-05-13"))
		addresses := func(texts ...string) (list []netip.Addr) {
			for _, text := range texts {
				list = append(list, netip.MustParseAddr(text))
			}
			return list
		}
		for _, c := range []struct {
			name       string
			at, before time.Time
			from, want []netip.Addr
		}{
			{"the first", now, before, addresses("192.0.2.1"), addresses("192.0.2.1")},
			{"several", now.Add(time.Hour), now, addresses("2001:db8::1", "192.0.2.1"), addresses("2001:db8::1", "192.0.2.1")},
			{"none known", now.Add(2 * time.Hour), now.Add(time.Hour), nil, addresses("2001:db8::1", "192.0.2.1")},
			{"too soon", now.Add(3 * time.Hour), now.Add(time.Hour), addresses("192.0.2.9"), addresses("2001:db8::1", "192.0.2.1")},
			{"five", now.Add(3 * time.Hour), now.Add(2 * time.Hour), addresses("::1", "::2", "::3", "::4", "::5"), addresses("::1", "::2", "::3", "::4", "::5")},
		} {
			wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, c.at, c.before, c.from), nil)
			got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, c.name, got.LastUsedIPs, c.want)
			tok.LastUsedAt, tok.LastUsedIPs = got.LastUsedAt, got.LastUsedIPs
			wantEqual(t, "token", got, tok)
		}
		wantEqual(t, "index", f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), indexed)
	})

	t.Run("a record that clean-up has taken does not come back", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		wantErr(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, now, before, nil), nil)
		if got := f.Item(t, pk, sk); got != nil {
			t.Errorf("the record is %v, want none", got)
		}
	})

	// IAM cannot forbid an update to create an item; it only names the attributes. Breaks if a function that may do
	// nothing but record uses can make a bearer of its choice good.
	t.Run("a record that holds nothing but uses lets nobody pass", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		f.Set(t, pk, sk, "last_used_at", storetest.N("1773907200"))
		f.Set(t, pk, sk, "last_used_ips", &types.AttributeValueMemberL{Value: []types.AttributeValue{storetest.S("192.0.2.1")}})
		for _, hint := range []account.ID{0, owner.ID} {
			_, _, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
		f.Drop(t, pk, sk)
	})

	t.Run("a use does not bring a revoked token back", func(t *testing.T) {
		ended := storetest.Revoked(f.AddToken(t, owner))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		wantErr(t, f, f.Store.MarkUsed(t.Context(), ended.Digest, now, before, nil), nil)
		got, err := f.Store.TokenByDigest(t.Context(), ended.Digest)
		wantErr(t, f, err, nil)
		ended.LastUsedAt = now
		wantEqual(t, "token", got, ended)
	})

	t.Run("of many uses at once none fails and one is recorded", func(t *testing.T) {
		tok := f.AddToken(t, owner)
		for _, err := range together(8, func(i int) error {
			return f.Store.MarkUsed(t.Context(), tok.Digest, now.Add(time.Duration(i)*time.Second), before, nil)
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
