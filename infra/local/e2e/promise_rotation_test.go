package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
)

const (
	// rotationWindow is the default of the setting.
	rotationWindow = 10 * time.Second

	rotatedBody    = `{"message":"409 Conflict: Token already rotated. Use its successor"}`
	overtakenBody  = `{"message":"409 Conflict: Token was rotated meanwhile. Nothing was revoked"}`
	selfRotation   = "/api/v4/personal_access_tokens/self/rotate"
	historyRounds  = 25
	successorField = "X-Latchkey-Successor"
)

// atOnce sends requests at the same time and returns the replies in their order.
func atOnce(t *testing.T, w *localtest.World, sends ...func() localtest.Reply) []localtest.Reply {
	t.Helper()
	replies := make([]localtest.Reply, len(sends))
	start := make(chan struct{})
	var group sync.WaitGroup
	for i, send := range sends {
		group.Go(func() {
			<-start
			replies[i] = send()
		})
	}
	close(start)
	group.Wait()
	return replies
}

// Two honest processes rotate the token that they share. Exactly one gets the successor, whatever the
// order and the instants within the window, and the other ends nothing. If this fails, the two lock
// each other out.
func TestHonestRotationsAtOnceLockNobodyOut(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna", "api", "self_rotate")
	draw := rand.New(rand.NewPCG(13, 6))
	current := personalToken{ID: anna.TokenID, Token: anna.Bearer}
	for round := range historyRounds {
		var sends []func() localtest.Reply
		for i := range 2 {
			path := []string{selfRotation, fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", current.ID)}[draw.IntN(2)]
			body := []string{"", `{"overlap_seconds":1}`, `{"overlap_seconds":3600}`}[draw.IntN(3)]
			key := []string{"", fmt.Sprintf("%d-%d", round, i)}[draw.IntN(2)]
			bearer := current.Token
			sends = append(sends, func() localtest.Reply {
				r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+path, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return localtest.Reply{}
				}
				r.Header.Set("PRIVATE-TOKEN", bearer)
				if key != "" {
					r.Header.Set("Idempotency-Key", key)
				}
				if body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				return w.Send(t, r)
			})
		}
		replies := atOnce(t, w, sends...)
		// A third process is late, but not by the whole window.
		w.Clock.Advance(time.Duration(draw.Int64N(int64(rotationWindow/time.Second))) * time.Second)
		replies = append(replies, w.Do(t, current.Token, "POST", selfRotation, ""))
		won := 0
		for i, reply := range replies {
			switch {
			case reply.Status == http.StatusOK:
				won++
				decode(t, reply.Body, &current)
			case reply.Status != http.StatusConflict || strings.TrimSpace(reply.Body) != rotatedBody:
				t.Errorf("round %d, process %d: %d %s", round, i, reply.Status, reply.Body)
			}
		}
		if won != 1 {
			t.Fatalf("round %d has %d successors", round, won)
		}
		want(t, w, current.Token, "GET", "/api/v4/user", "", http.StatusOK)
		w.Clock.Advance(time.Duration(draw.IntN(20)) * time.Second)
	}
}

// An honest owner revokes a token while a thief or a machine rotates it. If this fails, somebody was told
// that access has ended while a successor works.
func TestRevocationAgainstARotationTellsTheTruth(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna", "api", "self_rotate")
	for round := range historyRounds {
		made := newToken(t, w, anna.ID, fmt.Sprintf("shared-%d", round), "2026-06-01", "api")
		path := fmt.Sprintf("/api/v4/personal_access_tokens/%d", made.ID)
		body := []string{"", `{"overlap_seconds":3600}`}[round%2]
		family := []string{"", "?family=true"}[round/2%2]
		replies := atOnce(t, w,
			func() localtest.Reply { return w.Do(t, anna.Bearer, "DELETE", path+family, "") },
			func() localtest.Reply { return w.Do(t, made.Token, "POST", selfRotation, body) })
		revoked, rotated := replies[0], replies[1]
		var next personalToken
		if rotated.Status == http.StatusOK {
			decode(t, rotated.Body, &next)
		}
		works := next.Token != "" && w.Do(t, next.Token, "GET", "/api/v4/user", "").Status == http.StatusOK
		successor := revoked.Header.Get(successorField)
		switch {
		case revoked.Status == http.StatusConflict && family == "":
			if strings.TrimSpace(revoked.Body) != overtakenBody || !works {
				t.Errorf("round %d: %d %s, and the successor works: %t", round, revoked.Status, revoked.Body, works)
			}
			again := w.Do(t, anna.Bearer, "DELETE", path, "")
			if again.Status != http.StatusNoContent || again.Header.Get(successorField) != fmt.Sprint(next.ID) {
				t.Errorf("round %d: asked again: %d, successor %q", round, again.Status, again.Header.Get(successorField))
			}
		case revoked.Status != http.StatusNoContent:
			t.Errorf("round %d: %d %s", round, revoked.Status, revoked.Body)
		case works != (successor != ""):
			t.Errorf("round %d: 204 names the successor %q, and it works: %t", round, successor, works)
		}
		want(t, w, anna.Bearer, "DELETE", path+"?family=true", "", http.StatusNoContent)
		for _, bearer := range []string{made.Token, next.Token} {
			if bearer != "" {
				want(t, w, bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
			}
		}
	}
}
