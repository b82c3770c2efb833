package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"latchkey/infra/local/localtest"
)

// A group is deleted with its tree of groups and their tokens, through the function that is deployed and with
// no more than its permissions. If this fails, a token of a deleted group goes on working.
func TestDeletionOfATree(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	owner := newAccount(t, w, "olive")
	var top struct{ ID int64 }
	decode(t, want(t, w, owner.Bearer, "POST", "/api/v4/groups", `{"name":"Top","path":"top"}`, http.StatusCreated), &top)
	places, group := []string{fmt.Sprintf("groups/%d", top.ID)}, top.ID
	for i := range 4 { // groups in each other, with a project in each
		var below, proj struct{ ID int64 }
		decode(t, want(t, w, owner.Bearer, "POST", "/api/v4/groups", fmt.Sprintf(`{"name":"G%d","path":"g%d","parent_id":%d}`, i, i, group), http.StatusCreated), &below)
		decode(t, want(t, w, owner.Bearer, "POST", "/api/v4/projects", fmt.Sprintf(`{"name":"p%d","namespace_id":%d}`, i, below.ID), http.StatusCreated), &proj)
		places, group = append(places, fmt.Sprintf("groups/%d", below.ID), fmt.Sprintf("projects/%d", proj.ID)), below.ID
	}
	const tokens = 45 // a thousand take a minute through the gateway; see pkg/gitlabapi
	bearers := make([]string, tokens)
	var making errgroup.Group
	making.SetLimit(4)
	for i := range bearers {
		making.Go(func() error {
			reply := w.Do(t, owner.Bearer, "POST", "/api/v4/"+places[i%len(places)]+"/access_tokens", fmt.Sprintf(`{"name":"t%d","scopes":["read_api"]}`, i))
			var made personalToken
			if reply.Status != http.StatusCreated {
				return fmt.Errorf("%d %s", reply.Status, reply.Body)
			}
			decode(t, reply.Body, &made)
			bearers[i] = made.Token
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	status := 0
	for try := 0; status != http.StatusAccepted; try++ { // the time of one request may not be enough
		reply := w.Do(t, owner.Bearer, "DELETE", fmt.Sprintf("/api/v4/groups/%d", top.ID), "")
		if status = reply.Status; status != http.StatusAccepted && status != http.StatusServiceUnavailable || try > 20 {
			t.Fatalf("DELETE: %d %s", status, reply.Body)
		}
	}
	var mu sync.Mutex
	var passing []int
	var asking errgroup.Group
	asking.SetLimit(4)
	for i, bearer := range bearers {
		asking.Go(func() error {
			got, err := decide(context.WithoutCancel(t.Context()), w, http2, "GET", "/api/v4/"+places[i%len(places)], bearer)
			if err == nil && got.allowed {
				mu.Lock()
				defer mu.Unlock()
				passing = append(passing, i)
			}
			return err
		})
	}
	if err := asking.Wait(); err != nil || len(passing) > 0 {
		t.Errorf("%d tokens pass: %v", len(passing), err)
	}
	want(t, w, owner.Bearer, "GET", fmt.Sprintf("/api/v4/groups/%d", top.ID), "", http.StatusNotFound)
	if kept, err := decide(t.Context(), w, http2, "GET", "/api/v4/groups", owner.Bearer); err != nil || !kept.allowed {
		t.Errorf("the owner's own token: %v, %v", kept, err)
	}
}
