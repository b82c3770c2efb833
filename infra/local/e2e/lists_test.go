package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/account"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

// A meter counts requests to the engine, and the items that they ask for by key.
type meter struct{ requests, keys atomic.Int64 }

// on returns clients whose requests m counts.
func (m *meter) on(client func(options ...func(*dynamodb.Options)) *dynamodb.Client) func(options ...func(*dynamodb.Options)) *dynamodb.Client {
	count := middleware.InitializeMiddlewareFunc("meter", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		m.requests.Add(1)
		if batch, ok := in.Parameters.(*dynamodb.BatchGetItemInput); ok {
			for _, of := range batch.RequestItems {
				m.keys.Add(int64(len(of.Keys)))
			}
		}
		return next.HandleInitialize(ctx, in)
	})
	return func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return client(append(options, func(o *dynamodb.Options) {
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(count, middleware.Before) })
		})...)
	}
}

// A town is a world with many accounts and projects.
type town struct {
	*localtest.World
	*meter
}

// newTown has accounts up to the id size, each created ten minutes after the one before it, and as many projects and
// groups. Every tenth is a group.
func newTown(t *testing.T, client func(options ...func(*dynamodb.Options)) *dynamodb.Client, size int) town {
	t.Helper()
	m := &meter{}
	w := localtest.Start(t, localtest.Options{Client: m.on(client), Patient: true})
	loader, err := storetest.NewLoader(t.Context(), w.Engine, w.Table, store.DefaultShards)
	checkErr(t, err)
	checkErr(t, loader.Accounts(t.Context(), townsfolk(size)))
	checkErr(t, loader.Projects(t.Context(), func(yield func(project.Project) bool) {
		for id := range size {
			proj := project.Project{ID: project.ID(id + 1), Kind: project.KindProject, Name: fmt.Sprint("p", id+1), Owner: account.ID(root.ID)}
			if id%10 == 0 {
				proj.Kind, proj.Owner = project.KindGroup, 0
			}
			if !yield(proj) {
				return
			}
		}
	}))
	checkErr(t, loader.Counted(t.Context(), account.ID(size), project.ID(size)))
	w.Do(t, root.Bearer, "GET", "/api/v4/user", "") // notes the use of the token
	return town{w, m}
}

func checkErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// born is when an account of a town was created.
func born(id int) time.Time { return localtest.Now.Add(time.Duration(id) * 10 * time.Minute) }

func townsfolk(size int) iter.Seq[account.Account] {
	return func(yield func(account.Account) bool) {
		for id := 2; id <= size; id++ { // 1 is root
			name := fmt.Sprint("user-", id)
			if !yield(account.Account{ID: account.ID(id), Username: name, Name: name, Email: name + "@example.com", CreatedAt: born(id), NextNumber: 1}) {
				return
			}
		}
	}
}

// page lists one page, and returns its ids, the link to the next one, and what it cost.
func (w town) page(t *testing.T, target string, status int) (ids []int, next string, requests, keys int64) {
	t.Helper()
	beforeRequests, beforeKeys := w.requests.Load(), w.keys.Load()
	reply := w.Do(t, root.Bearer, "GET", target, "")
	requests, keys = w.requests.Load()-beforeRequests, w.keys.Load()-beforeKeys
	if reply.Status != status {
		t.Fatalf("%s: %d %s", target, reply.Status, reply.Body)
	}
	if status != http.StatusOK {
		return nil, "", requests, keys
	}
	var found []struct{ ID int }
	checkErr(t, json.Unmarshal([]byte(reply.Body), &found))
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	next = strings.TrimPrefix(linkTo(reply.Header.Get("Link"), "next"), w.URL)
	return ids, next, requests, keys
}

// Breaks if a page of an administrator's list costs more in a long list than in a short one, or if a list by
// links misses somebody. Requests and keys are counted, and no time is measured.
func TestAPageCostsWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]struct {
		client    func(testing.TB) func(options ...func(*dynamodb.Options)) *dynamodb.Client
		few, many int
	}{
		"in the embedded engine": {localtest.Client, 2_000, 10_500},
		"in DynamoDB Local":      {localtest.DynamoDBLocal, 1_100, 1_600}, // it takes its time to fill
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			few, many := engine.few, engine.many
			small, large := newTown(t, engine.client(t), few), newTown(t, engine.client(t), many)
			for target, most := range map[string]struct{ requests, keys int64 }{
				"users?":                                      {4, 50},
				"users?order_by=created_at&sort=asc":          {4, 50},
				"users?pagination=keyset":                     {4, 50},
				"projects?":                                   {8, 250},
				"projects?order_by=created_at&sort=asc":       {8, 250},
				"groups?order_by=id":                          {9, 350},
				"groups?order_by=id&sort=desc":                {9, 350},
				"namespaces?":                                 {6, 120},
				"audit_events?":                               {20, 30},
				"users?created_after=" + since(1000):          {5, 150},
				"users?sort=asc&created_after=" + since(1000): {8, 160},
				"users?created_before=" + since(1000):         {8, 160},
			} {
				for behind := range 2 { // page 1, and the one behind it
					targetSmall, targetLarge := small.nth(t, target, behind), large.nth(t, target, behind)
					if targetSmall == "" || targetLarge == "" {
						break
					}
					gotSmall, _, r1, k1 := small.page(t, targetSmall, http.StatusOK)
					gotLarge, _, r2, k2 := large.page(t, targetLarge, http.StatusOK)
					t.Logf("%s, page %d: %d requests and %d keys of %d; %d and %d of %d", target, behind+1, r1, k1, few, r2, k2, many)
					if r2 > r1+1 || r2 > most.requests || k2 > most.keys || len(gotSmall) != len(gotLarge) {
						t.Errorf("%s, page %d: %d requests and %d keys for %d; in the long list %d and %d for %d", target, behind+1, r1, k1, len(gotSmall), r2, k2, len(gotLarge))
					}
				}
			}
			large.each(t, "users?active=true", many)
			if many > listing.MaxByNumber {
				large.filters(t)
				large.each(t, "groups?", many)
			}
		})
	}
}

// since is the query for the instant of the creation of an account.
func since(id int) string { return url.QueryEscape(born(id).Format(time.RFC3339)) }

// nth returns the target of the page that lies behind others.
func (w town) nth(t *testing.T, query string, behind int) (target string) {
	t.Helper()
	target = "/api/v4/" + query + "&per_page=20"
	for range behind {
		_, target, _, _ = w.page(t, target, http.StatusOK)
	}
	return target
}

// filters looks for what is not there.
func (w town) filters(t *testing.T) {
	t.Helper()
	for _, query := range []string{"users?blocked=true&", "projects?visibility=public&", "groups?search=nothing&order_by=id&", "namespaces?search=nothing&"} {
		ids, next, _, keys := w.page(t, "/api/v4/"+query+"per_page=20", http.StatusOK)
		if len(ids) != 0 || next == "" || keys > 10_100 {
			t.Errorf("%s: %v after %d keys, next %q", query, ids, keys, next)
		}
		w.page(t, "/api/v4/"+query+"per_page=20&page=2", http.StatusMethodNotAllowed)
		for pages := 0; next != ""; pages++ {
			if ids, next, _, keys = w.page(t, next, http.StatusOK); len(ids) != 0 || keys > 1_100 || pages > 40 {
				t.Fatalf("%s behind a cursor: %v after %d keys, page %d", query, ids, keys, pages)
			}
		}
	}
	for _, query := range []string{"users?order_by=name", "users?order_by=username", "projects?order_by=path", "projects?order_by=similarity&search=p", "groups?order_by=name"} {
		_, _, requests, _ := w.page(t, "/api/v4/"+query, http.StatusMethodNotAllowed)
		if requests > 3 {
			t.Errorf("%s: refused after %d requests", query, requests)
		}
	}
	// Somebody whom a search names is on page 1, however many there are.
	if ids, _, _, _ := w.page(t, "/api/v4/users?search=root", http.StatusOK); len(ids) != 1 || ids[0] != 1 {
		t.Errorf("search for a username: %v", ids)
	}
}

// each walks over a list in both ways of going on, and fails the test unless it finds each entry once.
func (w town) each(t *testing.T, query string, size int) {
	t.Helper()
	want := 0
	for id := 1; id <= size; id++ {
		switch {
		case !strings.HasPrefix(query, "groups"), id%10 == 1:
			want++
		}
	}
	for _, start := range []string{"", "&pagination=keyset"} {
		seen := map[int]int{}
		for target := "/api/v4/" + query + "&per_page=100" + start; target != ""; {
			var ids []int
			ids, target, _, _ = w.page(t, target, http.StatusOK)
			for _, id := range ids {
				seen[id]++
			}
		}
		for id, times := range seen {
			if times != 1 {
				t.Errorf("%s%s: %d is listed %d times", query, start, id, times)
			}
		}
		if len(seen) != want {
			t.Errorf("%s%s: %d entries, want %d", query, start, len(seen), want)
		}
	}
}

// Breaks if a filter that only Latchkey has counts as none when a script's variable is unset: what it lists is what the
// script revokes. And if the first second of all is no instant.
func TestAnEmptyFilterDoesNotListEverything(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	const list = "/api/v4/personal_access_tokens?"
	for _, query := range []string{"unused_since=", "networks=", "parent_id=", "created_after=&networks="} {
		want(t, w, root.Bearer, "GET", list+query, "", http.StatusBadRequest)
	}
	for _, query := range []string{"unused_since=0001-01-01", "created_before=0001-01-01T00:00:00Z", "last_used_before=0001-01-01", "expires_before=0001-01-01"} {
		if got := want(t, w, root.Bearer, "GET", list+query, "", http.StatusOK); strings.TrimSpace(got) != "[]" {
			t.Errorf("%s lists %s", query, got)
		}
	}
}
