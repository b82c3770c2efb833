package upgradetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
)

// Breaks if the directory of an old table loses a token or lists one twice, while it is filled or afterwards.
func TestTheDirectoryIsFilledInUse(t *testing.T) {
	t.Parallel()
	file, tokens := "0.2-500.json.gz", 500
	if *large {
		file, tokens = "0.2-10000.json.gz", 10_000
	}
	old := read(t, filepath.Join("testdata", file))
	s := serve(t, old)
	alive := map[int64]bool{}
	for _, item := range old.Items {
		var record struct {
			SK struct{ S string } `json:"sk"`
			ID struct {
				N int64 `json:",string"`
			}
		}
		check(t, json.Unmarshal(item, &record))
		if record.SK.S == "TOKEN" {
			alive[record.ID.N] = true
		}
	}
	if len(alive) < tokens {
		t.Fatalf("%d tokens", len(alive))
	}
	compare := func(order string) {
		t.Helper()
		listed := map[int64]bool{}
		for _, id := range s.follow("/api/v4/personal_access_tokens?pagination=keyset&per_page=100&sort=" + order) {
			if listed[id] {
				t.Errorf("%s: token %d is listed twice", order, id)
			}
			listed[id] = true
		}
		if !maps.Equal(listed, alive) {
			t.Errorf("%s: %d tokens, want %d", order, len(listed), len(alive))
		}
	}

	var filling sync.WaitGroup
	var calls, entered int
	filling.Go(func() {
		for after, done := int64(0), false; !done; calls++ {
			// Little time, so that there are many calls.
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			out, err := s.Functions["issue"].Invoke(ctx, fmt.Appendf(nil, `{"action":"fill_directory","after":%d}`, after))
			cancel()
			var told struct {
				Entered int
				After   int64
				Done    bool
			}
			if err != nil || json.Unmarshal(out, &told) != nil {
				t.Errorf("fill: %s, %v", out, err)
				return
			}
			entered += told.Entered
			after, done = told.After, told.Done
		}
	})
	t.Cleanup(filling.Wait)
	filled := make(chan struct{})
	go func() { filling.Wait(); close(filled) }()
	const account = 2
	ofOne := fmt.Sprintf("/api/v4/personal_access_tokens?user_id=%d", account)
	before := len(s.list(ofOne))
	made := 0
	for n := 0; ; n++ {
		select {
		case <-filled:
		default:
			var tok, next struct{ ID int64 }
			s.want(http.StatusCreated, localtest.AdminBearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", account), `{"name":"meanwhile","scopes":["api"]}`, &tok)
			s.want(http.StatusOK, localtest.AdminBearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", tok.ID), `{}`, &next)
			s.want(http.StatusNoContent, localtest.AdminBearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", next.ID), "", nil)
			alive[tok.ID], alive[next.ID] = true, true
			if made += 2; n%10 == 0 {
				var newest []listed
				s.want(http.StatusOK, localtest.AdminBearer, "GET", "/api/v4/personal_access_tokens?pagination=keyset&per_page=2&sort=created_desc", "", &newest)
				if len(newest) != 2 || newest[0].ID != next.ID || newest[1].ID != tok.ID {
					t.Errorf("the newest tokens are %v, want %d and %d", newest, next.ID, tok.ID)
				}
			}
			if got := len(s.list(ofOne)); got != before+made {
				t.Errorf("%d tokens of one owner, want %d", got, before+made)
			}
			continue
		}
		break
	}
	t.Logf("%d calls entered %d tokens, while %d were made", calls, entered, made)
	if entered < tokens {
		t.Errorf("%d tokens were entered", entered)
	}
	for _, order := range []string{"id_asc", "id_desc", "created_asc", "created_desc", "expires_asc", "expires_desc"} {
		compare(order)
	}
	out, err := s.Functions["issue"].Invoke(t.Context(), []byte(`{"action":"fill_directory","check":true}`))
	if check(t, err); !strings.Contains(string(out), `"done":true`) {
		t.Errorf("a complete directory: %s", out)
	}
}

// follow returns the ids of a list by its links.
func (s *served) follow(path string) (ids []int64) {
	s.t.Helper()
	for path != "" {
		reply := s.Do(s.t, localtest.AdminBearer, "GET", path, "")
		if reply.Status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", path, reply.Status, reply.Body)
		}
		var tokens []listed
		check(s.t, json.Unmarshal([]byte(reply.Body), &tokens))
		for _, t := range tokens {
			ids = append(ids, t.ID)
		}
		path = ""
		if _, link, some := strings.Cut(reply.Header.Get("Link"), "/api/v4/"); some {
			link, _, _ = strings.Cut(link, ">")
			path = "/api/v4/" + link
		}
	}
	return ids
}
