package store_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

func TestPosts(t *testing.T) {
	t.Parallel()
	f := open(t)
	on := clock.DayOf(storetest.Now)
	post := func(to account.ID, id token.ID, kind sweep.Kind, on clock.Day) sweep.Post {
		return sweep.Post{To: to, Token: id, Digest: secret.DigestFromKey("digest-" + id.String()), Kind: kind, ExpiresOn: on}
	}
	// posted returns the posts of a box, from all shards, after checking their order.
	posted := func(box sweep.Box, after account.ID) (all []sweep.Post) {
		for shard := range storetest.Shards {
			var ofShard []sweep.Post
			for next, more := "", true; more; more = next != "" {
				page, err := f.Store.Posted(t.Context(), sweep.PostQuery{Box: box, Shard: shard, After: after, Next: next})
				wantErr(t, f, err, nil)
				wantEqual(t, "malformed", page.Malformed, 0)
				ofShard, next = append(ofShard, page.Posts...), page.Next
			}
			if !slices.IsSortedFunc(ofShard, comparePosts) {
				t.Errorf("order %v", ofShard)
			}
			all = append(all, ofShard...)
		}
		slices.SortFunc(all, comparePosts)
		return all
	}
	put := func(box sweep.Box, posts ...sweep.Post) {
		for _, p := range posts {
			wantErr(t, f, f.Store.Post(t.Context(), box, p, storetest.Now), nil)
		}
	}

	first := []sweep.Post{
		post(5, 9<<22+1, sweep.Expiring, on), post(5, 10<<22+1, sweep.Expiring, on), post(7, 9<<22+1, sweep.Leaked, clock.Day{}), post(70, 9<<22+1, sweep.Expired, on),
	}
	t.Run("are kept by box, recipient and token", func(t *testing.T) {
		put("expiring", first[3], first[1], first[0], first[2])
		put(sweep.Held, first[0])
		wantEqual(t, "posts", posted("expiring", 0), first)
		wantEqual(t, "held", posted(sweep.Held, 0), first[:1])
		wantEqual(t, "of another box", posted("expired", 0), nil)
		wantEqual(t, "after a recipient", posted("expiring", 5), first[2:])
	})
	t.Run("a later one about the same token takes the place of the first", func(t *testing.T) {
		first[1].Kind = sweep.Leaked
		put("expiring", first[1])
		wantEqual(t, "posts", posted("expiring", 0), first)
	})
	t.Run("are removed one by one, and twice without harm", func(t *testing.T) {
		for range 2 {
			for shard := range storetest.Shards { // it is in one of them
				wantErr(t, f, f.Store.Unpost(t.Context(), "expiring", shard, first[0]), nil)
			}
			wantEqual(t, "posts", posted("expiring", 0), first[1:])
			wantEqual(t, "held", posted(sweep.Held, 0), first[:1])
		}
	})
	t.Run("one recipient's may fill several pages", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.Always(storetest.PageBy(2)))
		table := f.Through(proxy.Client())
		var want []sweep.Post
		for n := range token.ID(5) {
			want = append(want, post(11, 20<<22+n, sweep.Expiring, on))
		}
		put("lifetime", want...)
		var got []sweep.Post
		for shard := range storetest.Shards {
			for next, more := "", true; more; more = next != "" {
				page, err := table.Posted(t.Context(), sweep.PostQuery{Box: "lifetime", Shard: shard, Next: next})
				wantErr(t, f, err, nil)
				got, next = append(got, page.Posts...), page.Next
			}
		}
		wantEqual(t, "posts", got, want)
	})
	t.Run("a recipient's shard is that of their tokens", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		put("expired", post(owner.ID, 9<<22+1, sweep.Expired, on))
		page, err := f.Store.Posted(t.Context(), sweep.PostQuery{Box: "expired", Shard: shardOf(t, f, owner.ID)})
		wantErr(t, f, err, nil)
		wantEqual(t, "posts", len(page.Posts), 1)
	})
	t.Run("are removed where they were found, when the number of shards has grown", func(t *testing.T) {
		grown := store.Open(f.Client, f.Name, store.Options{Shards: storetest.Shards + 3})
		put("grown", post(21, 9<<22+1, sweep.Expiring, on), post(22, 9<<22+1, sweep.Expiring, on), post(23, 9<<22+1, sweep.Expiring, on))
		for shard := range storetest.Shards + 3 {
			page, err := grown.Posted(t.Context(), sweep.PostQuery{Box: "grown", Shard: shard})
			wantErr(t, f, err, nil)
			for _, p := range page.Posts {
				wantErr(t, f, grown.Unpost(t.Context(), "grown", shard, p), nil)
			}
		}
		wantEqual(t, "posts", posted("grown", 0), nil)
	})
	t.Run("an unreadable one hides no other", func(t *testing.T) {
		fresh := open(t)
		for id := range account.ID(3) {
			wantErr(t, fresh, fresh.Store.Post(t.Context(), "expiring", post(id+1, 9<<22+1, sweep.Expiring, on), storetest.Now), nil)
		}
		malformed, left := 0, 0
		for shard := range storetest.Shards {
			page, err := fresh.Store.Posted(t.Context(), sweep.PostQuery{Box: "expiring", Shard: shard})
			wantErr(t, fresh, err, nil)
			for _, p := range page.Posts {
				if p.To == 2 {
					fresh.Set(t, fmt.Sprintf("POST#expiring#%02d", shard), "0000000002#0000000037748737", "expires_on", storetest.S("soon"))
				}
			}
			page, err = fresh.Store.Posted(t.Context(), sweep.PostQuery{Box: "expiring", Shard: shard})
			wantErr(t, fresh, err, nil)
			malformed, left = malformed+page.Malformed, left+len(page.Posts)
		}
		wantEqual(t, "malformed", malformed, 1)
		wantEqual(t, "readable", left, 2)
	})
	t.Run("are unavailable when the table does not answer", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.Always(storetest.Answer(http.StatusOK, `<html>`)))
		table := f.Through(proxy.Client())
		_, err := table.Posted(t.Context(), sweep.PostQuery{Box: "expiring"})
		wantErr(t, f, err, fault.ErrUnavailable)
		wantErr(t, f, table.Post(t.Context(), "expiring", first[1], storetest.Now), fault.ErrUnavailable)
		wantErr(t, f, table.Unpost(t.Context(), "expiring", 0, first[1]), fault.ErrUnavailable)
	})
}

func comparePosts(a, b sweep.Post) int {
	return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Token, b.Token))
}
