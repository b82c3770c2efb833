package store_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// walk returns the ids that a walk through the tokens of all owners, or of one, passes.
func walk(t *testing.T, s *store.Table, owner account.ID, w token.Walk) (ids []token.ID, walked token.Walked) {
	t.Helper()
	if w.Now.IsZero() {
		w.Now = storetest.Now
	}
	each := func(tok token.Token) bool { ids = append(ids, tok.ID); return true }
	var err error
	if owner != 0 {
		walked, err = s.WalkOwner(t.Context(), owner, w, each)
	} else {
		walked, err = s.WalkTokens(t.Context(), w, func(tok token.Token, _ account.Account) bool { return each(tok) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return ids, walked
}

// crowd makes tokens of several owners with few different dates, so that ids decide between many.
func crowd(t *testing.T, f *storetest.Fixture, owners, each int) (tokens []token.Token) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var accts []account.Account
	for range owners {
		accts = append(accts, f.AddAccount(t))
	}
	for n := range owners * each {
		tokens = append(tokens, f.AddToken(t, accts[n%owners], func(tok *token.Token) {
			tok.CreatedAt = storetest.Now.Add(time.Duration(random.IntN(5)) * time.Second)
			tok.ExpiresOn = []clock.Day{{}, clock.DayOf(storetest.Now).AddDays(1), clock.DayOf(storetest.Now).AddDays(2)}[random.IntN(3)]
			if random.IntN(4) == 0 { // it ends between the midnights
				tok.Life = time.Duration(25+random.IntN(20)) * time.Hour
				tok.ExpiresOn = token.FirstDayFrom(tok.ExpiresAt())
			}
			if n%5 == 0 {
				tok.Kind = token.Impersonation
			}
		}))
	}
	return tokens
}

// ordered returns the ids of tokens as an order should have them.
func ordered(tokens []token.Token, w token.Walk) (ids []token.ID) {
	tokens = slices.Clone(tokens)
	slices.SortFunc(tokens, func(a, b token.Token) int {
		by := 0
		switch w.Order {
		case token.ByCreation:
			by = a.CreatedAt.Compare(b.CreatedAt)
		case token.ByExpiry:
			by = cmp.Compare(fmt.Sprint(a.ExpiresOn.IsZero()), fmt.Sprint(b.ExpiresOn.IsZero()))
			if by == 0 {
				by = a.ExpiresAt().Compare(b.ExpiresAt())
			}
		}
		return cmp.Or(by, cmp.Compare(a.ID, b.ID))
	})
	if w.Descending {
		slices.Reverse(tokens)
	}
	for _, tok := range tokens {
		ids = append(ids, tok.ID)
	}
	return ids
}

// Breaks if a list by cursor or by number shows a token twice, misses one, or has another order.
func TestWalksPassEveryTokenOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	tokens := crowd(t, f, 7, 20)
	one := tokens[0].Owner
	ofOne := slices.DeleteFunc(slices.Clone(tokens), func(tok token.Token) bool { return tok.Owner != one })
	for _, owner := range []account.ID{0, one} {
		all := tokens
		if owner != 0 {
			all = ofOne
		}
		for _, order := range token.Orders {
			for _, descending := range []bool{false, true} {
				t.Run(fmt.Sprintf("owner %d, order %d, descending %t", owner, order, descending), func(t *testing.T) {
					w := token.Walk{Order: order, Descending: descending, First: 9, Limit: 9}
					want := ordered(all, w)
					var byPlace []token.ID
					for {
						ids, walked := walk(t, f.Store, owner, w)
						byPlace = append(byPlace, ids...)
						if !walked.More {
							break
						}
						w.After = &walked.Last
					}
					wantEqual(t, "by place", byPlace, want)
					for _, skip := range []int{0, 1, 8, len(all) - 4, len(all), len(all) + 50} {
						ids, walked := walk(t, f.Store, owner, token.Walk{Order: order, Descending: descending, Skip: skip, First: 9, Limit: 9, Count: true})
						part := want[min(skip, len(want)):min(skip+9, len(want))]
						if !slices.Equal(ids, part) || walked.More != (skip+9 < len(want)) {
							t.Errorf("behind %d: %v, %+v\nwant %v", skip, ids, walked, part)
						}
						if owner != 0 || !walked.More {
							wantEqual(t, "counted", walked.Counted, true)
							wantEqual(t, "total", walked.Total, len(want))
						}
					}
				})
			}
		}
	}
}

// Breaks if a filter by dates or kinds shows what lies outside, or hides what lies on its edge.
func TestWalksKeepToTheirSpan(t *testing.T) {
	t.Parallel()
	f := open(t)
	tokens := crowd(t, f, 3, 20)
	second := storetest.Now.Add(time.Second).Unix()
	day := clock.DayOf(storetest.Now).AddDays(2).Start().Unix()
	one := tokens[0].Owner
	for name, c := range map[string]struct {
		owner account.ID
		walk  token.Walk
		in    func(token.Token) bool
	}{
		"created from a second to another": {0, token.Walk{Order: token.ByCreation, Created: token.Span{From: second, To: second + 1}},
			func(tok token.Token) bool { return tok.CreatedAt.Unix() >= second && tok.CreatedAt.Unix() <= second+1 }},
		"ends from a second on": {0, token.Walk{Order: token.ByExpiry, Ends: token.Span{From: day, To: token.Unending - 1}},
			func(tok token.Token) bool { return !tok.ExpiresOn.IsZero() && tok.ExpiresAt().Unix() >= day }},
		"never ends": {0, token.Walk{Order: token.ByExpiry, Ends: token.Span{From: token.Unending, To: token.Unending}},
			func(tok token.Token) bool { return tok.ExpiresOn.IsZero() }},
		"no second": {0, token.Walk{Order: token.ByCreation, Created: token.Span{From: second, To: second - 1}},
			func(token.Token) bool { return false }},
		"of an owner, both dates, by id": {one, token.Walk{Created: token.Span{From: 1, To: second}, Ends: token.Span{From: 1, To: day}},
			func(tok token.Token) bool {
				return tok.Owner == one && tok.CreatedAt.Unix() <= second && !tok.ExpiresOn.IsZero() && tok.ExpiresAt().Unix() <= day
			}},
		"of an owner, one kind": {one, token.Walk{Order: token.ByCreation, Kind: token.Impersonation},
			func(tok token.Token) bool { return tok.Owner == one && tok.Kind == token.Impersonation }},
		"of an owner, no impersonation tokens, by id": {one, token.Walk{WithoutImpersonation: true},
			func(tok token.Token) bool { return tok.Owner == one && tok.Kind != token.Impersonation }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, descending := range []bool{false, true} {
				c.walk.First, c.walk.Limit, c.walk.Descending = 100, 100, descending
				want := ordered(slices.DeleteFunc(slices.Clone(tokens), func(tok token.Token) bool { return !c.in(tok) }), c.walk)
				if got, _ := walk(t, f.Store, c.owner, c.walk); !slices.Equal(got, want) {
					t.Errorf("descending %t: %v, want %v", descending, got, want)
				}
			}
		})
	}
}

// Breaks if a page of the list of all tokens costs more the more tokens there are.
func TestAPageCostsAsMuchInALargeTable(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	cost := func(w token.Walk) map[string]int {
		proxy.Reset()
		walk(t, through, 0, w)
		return proxy.Counts()
	}
	var before []map[string]int
	walks := []token.Walk{{}, {Order: token.ByCreation}, {Order: token.ByExpiry}}
	for _, w := range slices.Clone(walks) {
		w.Descending = true
		walks = append(walks, w)
	}
	for size := range 2 {
		crowd(t, f, 4, []int{6, 44}[size])
		for i, w := range walks {
			w.First, w.Limit = 20, 20
			counts := cost(w)
			if size == 0 {
				before = append(before, counts)
				wantEqual(t, "requests", counts, map[string]int{"Query": 8, "BatchGetItem": 1})
				continue
			}
			wantEqual(t, fmt.Sprintf("requests of walk %d in the larger table", i), counts, before[i])
		}
	}
}

// Breaks if a creation writes a token that no list shows, or an end leaves entries behind for ever.
func TestEntriesComeAndGoWithTheirToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	entries := func(tok token.Token) (found []map[string]any) {
		t.Helper()
		for pk, it := range f.Snapshot(t) {
			values, _ := it.(map[string]any)
			if strings.HasPrefix(pk, "DIRECTORY#") && strings.Contains(pk, fmt.Sprintf("%016d", int64(tok.ID))) {
				found = append(found, values)
			}
		}
		return found
	}
	check := func(name string, tok token.Token, ends time.Time) {
		t.Helper()
		found := entries(tok)
		wantEqual(t, name+": entries", len(found), 3)
		var want any
		if !ends.IsZero() {
			want = int(ends.Unix())
		}
		record := f.Item(t, "TOKEN#"+tok.Digest.Key(), "TOKEN")
		for _, it := range found {
			wantEqual(t, name+": digest", it["digest"], any(tok.Digest.Key()))
			wantEqual(t, name+": clean-up", it["delete_after"], want)
		}
		wantEqual(t, name+": clean-up of the record", record["delete_after"], want)
	}
	tok := f.AddToken(t, owner)
	check("a new token", tok, time.Time{})

	next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), tok, f.Successor(t, owner, tok), nil, storetest.Event)
	wantErr(t, f, err, nil)
	check("a rotated token", tok, next.CreatedAt.Add(storetest.Retention))
	check("its successor", next, time.Time{})

	wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(next), storetest.Event), nil)
	check("a revoked token", next, storetest.Revoked(next).RevokedAt.Add(storetest.Retention))

	overlapping := f.AddToken(t, owner)
	_, err = f.Store.RotateToken(t.Context(), f.Fresh(t, owner), storetest.Overlapping(overlapping, time.Hour), f.Successor(t, owner, overlapping), nil, storetest.Event)
	wantErr(t, f, err, nil)
	check("a token in its overlap", overlapping, storetest.Overlapping(overlapping, time.Hour).WorksUntil.Add(storetest.Retention))

	short := f.AddToken(t, owner, func(tok *token.Token) {
		tok.Life = time.Hour
		tok.ExpiresOn = token.FirstDayFrom(tok.ExpiresAt())
	})
	check("a token with a short life", short, short.ExpiresAt().Add(storetest.Retention))

	proj := f.AddProject(t, project.KindProject)
	bot, ofProject := f.Bot(proj)
	ofProject, err = f.Store.CreateProjectToken(t.Context(), proj, bot, ofProject, f.Mint(t, nil), storetest.Event)
	wantErr(t, f, err, nil)
	check("a token of a project", ofProject, time.Time{})
	wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(ofProject), storetest.Event), nil)
	check("a revoked token of a project", ofProject, storetest.Revoked(ofProject).RevokedAt.Add(storetest.Retention))
}

// Breaks if one item that clean-up has taken, or that is damaged, hides others or is shown.
func TestWalksPassOverWhatIsGone(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	first, gone, due, ghost, moved, damaged, last := f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner), f.AddToken(t, owner)
	pk, sk := recordKey(gone.Digest)
	f.Drop(t, pk, sk)
	wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(due), storetest.Event), nil)
	pk, sk = entryKey(token.ByID, ghost)
	f.Set(t, pk, sk, "digest", nil)
	pk, sk = entryKey(token.ByID, moved)
	f.Set(t, pk, sk, "digest", storetest.S(first.Digest.Key()))
	pk, sk = recordKey(damaged.Digest)
	f.Set(t, pk, sk, "scopes", nil)
	table, faults := reporting(f)
	w := token.Walk{First: 20, Limit: 20, Now: storetest.Revoked(due).RevokedAt.Add(storetest.Retention)}
	ids, walked := walk(t, table, 0, w)
	wantEqual(t, "tokens", ids, []token.ID{first.ID, last.ID})
	wantEqual(t, "more", walked.More, false)
	wantEqual(t, "faults", len(*faults), 1)
	wantErr(t, f, (*faults)[0], fault.ErrCorrupt)
	w.Now = w.Now.Add(-time.Second)
	if ids, _ = walk(t, table, 0, w); !slices.Contains(ids, due.ID) {
		t.Error("a token is gone a second before its clean-up is due")
	}
}

// Breaks if lists of a table from before there were entries miss a token, before, while or after it is filled.
func TestFillingTheDirectory(t *testing.T) {
	t.Parallel()
	f := open(t)
	tokens := crowd(t, f, 4, 60)
	owner := tokens[0].Owner
	revoked, revokedMeanwhile := tokens[4], tokens[8]
	wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(revoked), storetest.Event), nil)
	forget(t, f)
	complete, err := f.Through(f.Client).DirectoryComplete(t.Context())
	wantErr(t, f, err, nil)
	wantEqual(t, "complete before", complete, false)
	for _, order := range token.Orders { // an owner's tokens need no entries
		w := token.Walk{Order: order, First: 100, Limit: 100}
		ids, _ := walk(t, f.Store, owner, w)
		wantEqual(t, "of an owner", ids, ordered(slices.DeleteFunc(slices.Clone(tokens), func(tok token.Token) bool { return tok.Owner != owner }), w))
	}

	// What ends while the directory is filled keeps its clean-up, in whatever order the writes come.
	wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(revokedMeanwhile), storetest.Event), nil)
	tokens = append(tokens, f.AddToken(t, f.Fresh(t, account.Account{ID: owner})))
	last, err := f.Store.LastAccountID(t.Context())
	wantErr(t, f, err, nil)
	for range 2 { // again does no harm
		entered := 0
		for id := account.ID(1); id <= last; id++ {
			for after, more := token.ID(0), true; more; {
				var n int
				after, n, more, err = f.Store.EnterTokens(t.Context(), id, after)
				wantErr(t, f, err, nil)
				entered += n
			}
		}
		wantEqual(t, "entered", entered, len(tokens))
	}
	wantErr(t, f, f.Store.CompleteDirectory(t.Context(), storetest.Now), nil)
	complete, err = f.Store.DirectoryComplete(t.Context())
	wantErr(t, f, err, nil)
	wantEqual(t, "complete after", complete, true)
	for _, order := range token.Orders {
		w := token.Walk{Order: order, First: 100, Limit: 1000}
		ids, _ := walk(t, f.Store, 0, w)
		wantEqual(t, "all tokens", ids, ordered(tokens, w))
	}
	due := 0
	for pk, it := range f.Snapshot(t) {
		if values, _ := it.(map[string]any); strings.HasPrefix(pk, "DIRECTORY#") && values["delete_after"] != nil {
			due++
		}
	}
	wantEqual(t, "entries with a clean-up", due, 6)
}

// forget makes the table one that an earlier release wrote.
func forget(t *testing.T, f *storetest.Fixture) {
	t.Helper()
	for k, it := range f.Snapshot(t) {
		values, _ := it.(map[string]any)
		pk, sk := fmt.Sprint(values["pk"]), fmt.Sprint(values["sk"])
		switch {
		case strings.HasPrefix(k, "DIRECTORY#"):
			f.Drop(t, pk, sk)
		case strings.HasPrefix(k, "USER#") && strings.HasPrefix(sk, "TOKEN#"):
			f.Set(t, pk, sk, "created_at", nil)
			f.Set(t, pk, sk, "ends_at", nil)
		}
	}
}

// entryKey is the documented key of an entry.
func entryKey(o token.Order, tok token.Token) (pk, sk string) {
	shard, id := (int64(tok.Owner)+tok.ID.Number())%8, fmt.Sprintf("%016d", int64(tok.ID))
	switch o {
	case token.ByCreation:
		return fmt.Sprintf("DIRECTORY#CREATED#%02d", shard), fmt.Sprintf("%012d#%s", tok.CreatedAt.Unix(), id)
	case token.ByExpiry:
		if tok.ExpiresOn.IsZero() {
			return fmt.Sprintf("DIRECTORY#EXPIRES#%02d", shard), "999999999999#" + id
		}
		return fmt.Sprintf("DIRECTORY#EXPIRES#%02d", shard), fmt.Sprintf("%012d#%s", tok.ExpiresAt().Unix(), id)
	default:
		return fmt.Sprintf("DIRECTORY#ID#%02d", shard), id
	}
}

// Breaks if a new table lists by scan, or an old one by entries that it does not have.
func TestANewTableIsComplete(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	ask := func(want bool) {
		t.Helper()
		complete, err := through.DirectoryComplete(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "complete", complete, want)
	}
	ask(false)
	f.AddAccount(t)
	ask(true)
	proxy.Reset()
	ask(true)
	wantEqual(t, "requests once it is known", len(proxy.Requests()), 0)
	pk, sk := "DIRECTORY#TOKENS", "COMPLETE"
	f.Drop(t, pk, sk)
	f.AddAccount(t) // not the first one
	if f.Item(t, pk, sk) != nil {
		t.Error("an old table counts as complete")
	}
}
