package store_test

import (
	"slices"
	"testing"

	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestTokensOfOwner(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	owner := f.AddAccount(t)
	tokens := make([]token.Token, 250)
	var people []token.Token // without impersonation tokens
	for i := range tokens {
		tokens[i] = f.AddToken(t, owner, func(tok *token.Token) {
			if i%5 == 4 {
				tok.Kind = token.Impersonation
			}
		})
		if i%5 != 4 {
			people = append(people, tokens[i])
		}
	}
	// Owners whose partitions would be met by a prefix of this one's.
	for range 10 {
		f.AddToken(t, f.AddAccount(t))
	}
	backwards := slices.Clone(tokens)
	slices.Reverse(backwards)
	peopleBackwards := slices.Clone(people)
	slices.Reverse(peopleBackwards)

	t.Run("all 250 tokens of an owner are listed by ascending id", func(t *testing.T) {
		proxy.Reset()
		got, err := through.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", got, tokens)
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"Query": 1, "BatchGetItem": 3})
	})

	t.Run("pointers that come in many pages are listed in the same order", func(t *testing.T) {
		proxy.Fail(storetest.On("Query", storetest.PageBy(40)))
		defer proxy.Fail(nil)
		proxy.Reset()
		got, err := through.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", got, tokens)
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"Query": 7, "BatchGetItem": 3})
	})

	t.Run("records that the engine left unread are asked for again", func(t *testing.T) {
		proxy.Fail(storetest.First("BatchGetItem", storetest.LeaveUnread(60), storetest.LeaveUnread(0), storetest.LeaveUnread(39)))
		defer proxy.Fail(nil)
		proxy.Reset()
		got, err := through.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", got, tokens)
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"Query": 1, "BatchGetItem": 6})
	})

	for _, c := range []struct {
		name  string
		walk  token.Walk
		want  []token.Token
		total int
	}{
		{"the first page", token.Walk{Limit: 20}, tokens[:20], 250},
		{"a page in the middle", token.Walk{Skip: 120, Limit: 20}, tokens[120:140], 250},
		{"the last page is short", token.Walk{Skip: 240, Limit: 20}, tokens[240:], 250},
		{"a page that starts at the end is empty", token.Walk{Skip: 250, Limit: 20}, nil, 250},
		{"a page beyond the end is empty", token.Walk{Skip: 1000, Limit: 20}, nil, 250},
		{"the largest page", token.Walk{Limit: 100}, tokens[:100], 250},
		{"the first page backwards", token.Walk{Limit: 20, Descending: true}, backwards[:20], 250},
		{"a page in the middle backwards", token.Walk{Skip: 95, Limit: 20, Descending: true}, backwards[95:115], 250},
		{"the last page backwards is short", token.Walk{Skip: 245, Limit: 20, Descending: true}, backwards[245:], 250},
		{"a page without impersonation tokens", token.Walk{Skip: 10, Limit: 20, WithoutImpersonation: true}, people[10:30], 200},
		{"a page backwards without impersonation tokens", token.Walk{Skip: 190, Limit: 20, Descending: true, WithoutImpersonation: true}, peopleBackwards[190:], 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.walk.First, c.walk.Count = c.walk.Limit, true
			var got []token.Token
			walked, err := f.Store.WalkOwner(t.Context(), owner.ID, c.walk, func(tok token.Token) bool { got = append(got, tok); return true })
			wantErr(t, f, err, nil)
			if len(got) != 0 || len(c.want) != 0 {
				wantEqual(t, "page", got, c.want)
			}
			wantEqual(t, "total", walked.Total, c.total)
		})
	}

	t.Run("a page reads its own records only, and by place its own pointers only", func(t *testing.T) {
		for _, w := range []token.Walk{{Skip: 40, First: 20, Limit: 20, Count: true}, {After: &token.Place{ID: tokens[39].ID}, First: 20, Limit: 20}} {
			proxy.Reset()
			_, err := through.WalkOwner(t.Context(), owner.ID, w, func(token.Token) bool { return true })
			wantErr(t, f, err, nil)
			wantEqual(t, "requests", proxy.Counts(), map[string]int{"Query": 1, "BatchGetItem": 1})
		}
	})

	t.Run("an owner without tokens has an empty list", func(t *testing.T) {
		walked, err := f.Store.WalkOwner(t.Context(), f.AddAccount(t).ID, token.Walk{First: 20, Limit: 20, Count: true}, func(token.Token) bool { t.Error("there is one"); return true })
		wantErr(t, f, err, nil)
		wantEqual(t, "walked", walked, token.Walked{Counted: true})
	})

	t.Run("pointers whose record clean-up has taken are passed over", func(t *testing.T) {
		owner := f.AddAccount(t)
		first, gone, last := f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner)
		pk, sk := recordKey(gone.Digest)
		f.Drop(t, pk, sk)
		got, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "tokens", got, []token.Token{first, last})
	})

	t.Run("a malformed pointer or record is reported and hides no other", func(t *testing.T) {
		for _, damage := range []func(token.Token) (pk, sk, attribute string){
			func(tok token.Token) (string, string, string) { pk, sk := pointerKey(tok.ID); return pk, sk, "digest" },
			func(tok token.Token) (string, string, string) {
				pk, sk := recordKey(tok.Digest)
				return pk, sk, "scopes"
			},
		} {
			owner := f.AddAccount(t)
			whole := f.AddToken(t, owner)
			pk, sk, attribute := damage(f.AddToken(t, owner))
			f.Set(t, pk, sk, attribute, storetest.N("7"))
			table, faults := reporting(f)
			got, err := table.TokensOfOwner(t.Context(), owner.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "tokens", got, []token.Token{whole})
			wantEqual(t, "faults", len(*faults), 1)
			wantErr(t, f, (*faults)[0], fault.ErrCorrupt)
		}
	})
}
