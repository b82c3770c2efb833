package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud"
	"latchkey/infra/local/identities"
	"latchkey/infra/local/localtest"
)

// A follower is a system that decides about tokens by events alone, as docs/events.md says. It reads the
// events as such a system does, by the names of their fields.
type follower struct {
	tokens   map[int64]heard
	accounts map[int64]heard
	all      heard
}

// heard is an event.
type heard struct {
	Number, Type string
	Token        struct {
		ID        int64
		Owner     int64  `json:"owner_id"`
		CreatedAt string `json:"created_at"`
		ExpiresAt string `json:"expires_at"`
		RevokedAt string `json:"revoked_at"`
	}
	Account struct {
		ID         int64
		State      string
		TokensFrom int64 `json:"tokens_from_id"`
	}
	MadeBefore string `json:"made_before"`
}

func newFollower() *follower {
	return &follower{tokens: map[int64]heard{}, accounts: map[int64]heard{}}
}

// hear keeps of each token, of each account and of all tokens the event with the highest number.
func (f *follower) hear(tb testing.TB, event cloud.BusEvent) {
	tb.Helper()
	var e heard
	decode(tb, string(event.Detail), &e)
	switch {
	case e.Token.ID != 0 && e.Number > f.tokens[e.Token.ID].Number:
		f.tokens[e.Token.ID] = e
	case e.Account.ID != 0 && e.Number > f.accounts[e.Account.ID].Number:
		f.accounts[e.Account.ID] = e
	case e.MadeBefore != "" && e.Number > f.all.Number:
		f.all = e
	}
}

// refuses reports whether a token is refused at now. Instants in UTC and in whole seconds compare as texts.
func (f *follower) refuses(id int64, now time.Time) bool {
	at := now.UTC().Format(time.RFC3339)
	t, known := f.tokens[id]
	if !known {
		return true
	}
	for _, end := range []string{t.Token.ExpiresAt, t.Token.RevokedAt} {
		if end != "" && end <= at {
			return true
		}
	}
	owner, known := f.accounts[t.Token.Owner]
	return known && (owner.Account.State != "active" || id < owner.Account.TokensFrom) || t.Token.CreatedAt < f.all.MadeBefore
}

// A crowd is a world, the tokens that were made in it, and systems that follow its events: in order, in
// no order with repetitions, and from the stream's beginning each time.
type crowd struct {
	*localtest.World
	bearers         map[int64]string // by the ids of their tokens
	ordered, lossy  *follower
	heard           int
	random          *rand.Rand
	refused, passed int
}

func newCrowd(w *localtest.World) *crowd {
	return &crowd{World: w, bearers: map[int64]string{root.TokenID: root.Bearer}, ordered: newFollower(), lossy: newFollower(), random: rand.New(rand.NewPCG(7, 7))}
}

func (c *crowd) add(tokens ...personalToken) {
	for _, t := range tokens {
		c.bearers[t.ID] = t.Token
	}
}

func (c *crowd) addHolder(h holder) holder {
	c.bearers[h.TokenID] = h.Bearer
	return h
}

// agree delivers the stream, and fails the test unless each system refuses exactly the tokens that a check
// refuses.
func (c *crowd) agree(t *testing.T, when string) {
	t.Helper()
	busEvents(t, c.World, 0)
	all := c.Bus.Events()
	news := slices.Clone(all[c.heard:])
	c.heard = len(all)
	for _, event := range news {
		c.ordered.hear(t, event)
	}
	news = append(news, all[max(0, len(all)-2*len(news)):]...) // some come again
	c.random.Shuffle(len(news), func(i, k int) { news[i], news[k] = news[k], news[i] })
	late := newFollower()
	for _, event := range slices.Backward(all) {
		late.hear(t, event)
	}
	for _, event := range news {
		c.lossy.hear(t, event)
	}
	for _, id := range slices.Sorted(maps.Keys(c.bearers)) {
		status := c.Do(t, c.bearers[id], "GET", "/api/v4/personal_access_tokens/self", "").Status
		if status != http.StatusOK && status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Fatalf("%s: status %d", when, status)
		}
		refused := status != http.StatusOK
		if refused {
			c.refused++
		} else {
			c.passed++
		}
		for name, f := range map[string]*follower{"in order": c.ordered, "in no order": c.lossy, "backwards": late} {
			if got := f.refuses(id, c.Clock.Now()); got != refused {
				t.Errorf("%s: %d is refused: %t; a system that hears events %s refuses it: %t", when, id, refused, name, got)
			}
		}
	}
}

// accountLines describes the events since the first from that are about no single token.
func accountLines(tb testing.TB, w *localtest.World, from int) (lines []string) {
	tb.Helper()
	for _, e := range busEvents(tb, w, from) {
		switch {
		case e.Account.ID != 0:
			lines = append(lines, fmt.Sprintf("%s %d %s from %d", e.Type, e.Account.ID, e.Account.State, max(0, int64(e.Account.TokensFrom)-int64(e.Account.ID)<<22)))
		case e.MadeBefore != "":
			lines = append(lines, fmt.Sprintf("%s before %s", e.Type, e.MadeBefore))
		}
	}
	return lines
}

// Breaks if a system that follows events lets a token pass that a check refuses, or the other way round:
// if an end of all tokens of an account, of a bot or of everybody has no event, or says it of other tokens.
func TestOtherSystemsRefuseWhatChecksRefuse(t *testing.T) {
	t.Parallel()
	inBothEngines(t, func(t *testing.T, w *localtest.World) {
		w.Identities.Say(identities.Person{Subject: "kim", Claims: map[string]any{
			"name": "Kim", "preferred_username": "kim", "email": "kim@example.test", "email_verified": true,
		}})
		c := newCrowd(w)
		p := newPlace(t, w)
		for _, h := range []holder{p.owner, p.maintainer, p.developer, p.outside} {
			c.addHolder(h)
		}
		ann, bob := p.outside, p.developer
		c.add(newToken(t, w, ann.ID, "second", "2026-09-01"), newImpersonation(t, w, ann.ID, "third"))
		dan, cas := c.addHolder(newAccount(t, w, "dan")), c.addHolder(newAccount(t, w, "cas"))
		single, rotated, ofGroup := p.ofResource(t, "project", "single"), p.ofResource(t, "project", "rotated"), p.ofResource(t, "group", "group")
		c.add(single, rotated, ofGroup)
		kim := &visitor{w, map[string]string{}}
		const page = "/-/user_settings/personal_access_tokens"
		if at, _ := kim.signIn(t, page); !strings.HasSuffix(at, page) {
			t.Fatalf("signed in at %s", at)
		}
		var kims []struct{ ID int64 }
		decode(t, want(t, w, root.Bearer, "GET", "/api/v4/users?username=kim", "", http.StatusOK), &kims)
		kimID := kims[0].ID
		c.add(newToken(t, w, kimID, "kim's", "2026-09-01"))
		c.agree(t, "at first")

		user := func(id int64, more string) string { return fmt.Sprintf("/api/v4/users/%d%s", id, more) }
		move := func(id int64, how string) func() {
			return func() { want(t, w, root.Bearer, "POST", user(id, "/"+how), "", http.StatusCreated) }
		}
		end := func(by, path string) func() {
			return func() { want(t, w, by, "DELETE", path, "", http.StatusNoContent) }
		}
		more := func(id int64) func() { return func() { c.add(newToken(t, w, id, "more", "2026-09-01")) } }
		projectTokens, manager := p.tokensOf("project")
		newest := rotated.ID
		for _, step := range []struct {
			name  string
			do    func()
			lines []string // of accounts
		}{
			{"everything is revoked by its owner", end(ann.Bearer, "/api/v4/user/personal_access_tokens"), []string{fmt.Sprintf("account.tokens_revoked %d active from 4", ann.ID)}},
			{"the owner gets a new one", more(ann.ID), nil},
			{"blocked", move(ann.ID, "block"), []string{fmt.Sprintf("account.blocked %d blocked from 4", ann.ID)}},
			{"everything is revoked while blocked", end(root.Bearer, user(ann.ID, "/personal_access_tokens")), []string{fmt.Sprintf("account.tokens_revoked %d blocked from 5", ann.ID)}},
			{"unblocked", move(ann.ID, "unblock"), []string{fmt.Sprintf("account.unblocked %d active from 5", ann.ID)}},
			{"the owner gets another one", more(ann.ID), nil},
			{"deactivated", move(bob.ID, "deactivate"), []string{fmt.Sprintf("account.deactivated %d deactivated from 0", bob.ID)}},
			{"activated", move(bob.ID, "activate"), []string{fmt.Sprintf("account.activated %d active from 0", bob.ID)}},
			{"deactivated again", move(bob.ID, "deactivate"), []string{fmt.Sprintf("account.deactivated %d deactivated from 0", bob.ID)}},
			{"blocked while deactivated", move(bob.ID, "block"), []string{fmt.Sprintf("account.blocked %d blocked from 0", bob.ID)}},
			{"unblocked into action", move(bob.ID, "unblock"), []string{fmt.Sprintf("account.unblocked %d active from 0", bob.ID)}},
			{"everything is revoked from the console", func() {
				mustConsole(t, w, "revoke", map[string]any{"action": "revoke_everything", "username": "cas"})
			}, []string{fmt.Sprintf("account.tokens_revoked %d active from 2", cas.ID)}},
			{"and again, which changes nothing", func() {
				mustConsole(t, w, "revoke", map[string]any{"action": "revoke_everything", "username": "cas"})
			}, nil},
			{"everything is revoked on the page", func() {
				kim.send(t, http.MethodPost, w.URL+page+"/revoke_all", url.Values{"username": {"kim"}})
			}, []string{fmt.Sprintf("account.tokens_revoked %d active from 2", kimID)}},
			{"a bot is blocked", move(single.UserID, "block"), []string{fmt.Sprintf("account.blocked %d blocked from 0", single.UserID)}},
			{"a bot is unblocked", move(single.UserID, "unblock"), []string{fmt.Sprintf("account.unblocked %d active from 0", single.UserID)}},
			{"a bot goes with its only token", end(manager, fmt.Sprintf("%s/%d", projectTokens, single.ID)), nil},
			{"a bot's token is rotated with an overlap", func() {
				var next personalToken
				decode(t, want(t, w, manager, "POST", fmt.Sprintf("%s/%d/rotate", projectTokens, newest), `{"overlap_seconds":3600}`, http.StatusOK), &next)
				newest = next.ID
				c.add(next)
			}, nil},
			{"a bot goes, and the overlap with it", func() { end(manager, fmt.Sprintf("%s/%d", projectTokens, newest))() }, []string{fmt.Sprintf("account.deleted %d  from 0", rotated.UserID)}},
			{"a person is deleted", end(root.Bearer, user(dan.ID, "")), []string{fmt.Sprintf("account.deleted %d  from 0", dan.ID)}},
			{"a deleted person's token is reported", func() {
				want(t, w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{dan.Bearer}}), http.StatusNoContent)
			}, nil},
			{"a group is deleted with its tokens", func() {
				want(t, w, p.owner.Bearer, "DELETE", fmt.Sprintf("/api/v4/groups/%d", p.group), "", http.StatusAccepted)
			}, nil},
			{"every token ends after a restore", func() {
				w.Clock.Advance(time.Minute)
				walk(t, w, map[string]any{"action": "end_every_token"})
				w.Clock.Advance(10 * time.Second) // as long as settings are cached
			}, []string{"tokens.revoked_everywhere before 2026-03-19T08:02:00Z"}},
			{"a token is made before that instant", func() {
				var anew personalToken
				decode(t, mustConsole(t, w, "issue", map[string]any{"action": "create_token", "username": "root", "name": "early", "scopes": []string{"api"}}), &anew)
				c.add(anew)
			}, nil},
			{"a token is made afterwards", func() {
				w.Clock.Advance(time.Minute)
				var anew personalToken
				decode(t, mustConsole(t, w, "issue", map[string]any{"action": "create_token", "username": "root", "name": "late", "scopes": []string{"api"}}), &anew)
				c.add(anew)
			}, nil},
		} {
			from := len(busEvents(t, w, 0))
			step.do()
			lines := accountLines(t, w, from)
			if strings.HasPrefix(step.name, "every token ends") { // each account that had a token, too
				before := len(lines)
				lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "account.tokens_revoked ") })
				if len(lines) == before {
					t.Error("no account's tokens were revoked")
				}
			}
			if !slices.Equal(lines, step.lines) {
				t.Errorf("%s: events\n%s\nwant\n%s", step.name, strings.Join(lines, "\n"), strings.Join(step.lines, "\n"))
			}
			c.agree(t, step.name)
		}
		if c.refused < 50 || c.passed < 50 {
			t.Errorf("%d checks refused and %d passed", c.refused, c.passed)
		}
		checkPrivacy(t, w, slices.Collect(maps.Values(c.bearers))...)
		checkNumbers(t, w)
	})
}

// Breaks if some order of changes leaves a system that follows events with another answer than a check has.
func TestOtherSystemsFollowAnyOrderOfChanges(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	c := newCrowd(w)
	var people []holder
	for n := range 4 {
		people = append(people, c.addHolder(newAccount(t, w, fmt.Sprint("person-", n), "api", "self_rotate")))
	}
	latest := map[int64]personalToken{} // by owner
	for n := range 120 {
		person := people[c.random.IntN(len(people))]
		path := fmt.Sprintf("/api/v4/users/%d", person.ID)
		ask := func(bearer, method, path, body string) { // refusals are answers, too
			reply := w.Do(t, bearer, method, path, body)
			if reply.Status >= 500 {
				t.Fatalf("%s %s: %d %s", method, path, reply.Status, reply.Body)
			}
			if reply.Status < 300 && strings.Contains(reply.Body, `"token":"lk`) {
				var made personalToken
				decode(t, reply.Body, &made)
				c.add(made)
				latest[person.ID] = made
			}
		}
		token := latest[person.ID]
		switch c.random.IntN(12) {
		case 0, 1, 2:
			ask(root.Bearer, "POST", path+"/personal_access_tokens", `{"name":"another","scopes":["api","self_rotate"]}`)
		case 3:
			ask(root.Bearer, "DELETE", path+"/personal_access_tokens", "")
		case 4:
			ask(root.Bearer, "POST", path+"/block", "")
		case 5:
			ask(root.Bearer, "POST", path+"/unblock", "")
		case 6:
			ask(root.Bearer, "POST", path+"/deactivate", "")
		case 7:
			ask(root.Bearer, "POST", path+"/activate", "")
		case 8:
			ask(token.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"overlap_seconds":600}`)
		case 9:
			ask(root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", token.ID), "")
		case 10:
			w.Clock.Advance(5 * time.Minute)
		case 11:
			if c.random.IntN(3) == 0 {
				ask(root.Bearer, "DELETE", path, "")
			}
		}
		if n%4 == 0 {
			c.agree(t, fmt.Sprint("after change ", n))
		}
		if t.Failed() {
			return
		}
	}
	kinds := map[string]int{}
	for _, event := range w.Bus.Events() {
		kinds[event.DetailType]++
	}
	for _, kind := range []string{
		"token.created", "token.rotated", "token.revoked", "account.tokens_revoked", "account.blocked", "account.unblocked", "account.deactivated", "account.activated", "account.deleted",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
	checkNumbers(t, w)
}

// Breaks if other systems believe after a restore that works what was ended again by comparing the tables.
func TestOtherSystemsHearWhatACarryOverEnds(t *testing.T) {
	t.Parallel()
	r := newRestored(t, localtest.Start(t, localtest.Options{}))
	from := len(busEvents(t, r.now, 0))
	walk(t, r.now, map[string]any{"action": "carry_over", "restored_to": r.second})
	kinds := map[string]int{}
	for _, e := range busEvents(t, r.now, from) {
		kinds[strings.TrimRight(string(e.Type)+" "+string(e.Token.Reason), " ")]++
	}
	want := map[string]int{"account.tokens_revoked": 1, "account.blocked": 1, "account.deactivated": 1, "account.deleted": 1, "token.revoked request": 4}
	if !maps.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
}

// Breaks if somebody can make other systems refuse tokens that work, or can flood them: who revokes everything
// of an account needs another token for the next time.
func TestNobodyMakesEventsAboutOtherAccounts(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	p := newPlace(t, w)
	bot := p.ofResource(t, "group", "deploy")
	from := len(busEvents(t, w, 0))
	for _, bearer := range []string{bot.Token, p.outside.Bearer, p.owner.Bearer, ""} {
		for _, id := range []int64{root.ID, p.developer.ID, bot.UserID} {
			for _, ask := range [][2]string{{"POST", "/block"}, {"POST", "/unblock"}, {"POST", "/deactivate"}, {"POST", "/activate"}, {"DELETE", "/personal_access_tokens"}, {"DELETE", ""}} {
				if got := w.Do(t, bearer, ask[0], fmt.Sprintf("/api/v4/users/%d%s", id, ask[1]), ""); got.Status < 400 {
					t.Errorf("%s of %s: %d", ask, bearer, got.Status)
				}
			}
		}
	}
	if got := w.Do(t, bot.Token, "DELETE", "/api/v4/user/personal_access_tokens", ""); got.Status < 400 {
		t.Errorf("a bot revokes everything of itself: %d", got.Status)
	}
	if lines := accountLines(t, w, from); len(lines) != 0 {
		t.Errorf("events %v", lines)
	}
	for range 5 {
		w.Do(t, p.outside.Bearer, "DELETE", "/api/v4/user/personal_access_tokens", "")
	}
	if lines := accountLines(t, w, from); len(lines) != 1 {
		t.Errorf("events %v", lines)
	}
}

// Each record that passes the filter may cost a call. Breaks if changes that mean nothing to other systems
// cost one again, most of all the number that each new token takes from its owner's profile.
func TestWhatCostsACallForEvents(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	p := newPlace(t, w)
	ann := newAccount(t, w, "ann", "api", "self_rotate")
	path := fmt.Sprintf("/api/v4/users/%d", ann.ID)
	var token, ofProject personalToken
	projectTokens, manager := p.tokensOf("project")
	p.ofResource(t, "project", "first") // marks the manager's token as used, and as one that makes others
	busEvents(t, w, 0)
	create := func() { token = newToken(t, w, ann.ID, "another", "2026-09-01", "api", "self_rotate") }
	for _, step := range []struct {
		name    string
		do      func()
		records int
	}{
		{"a new token", create, 1},
		{"its use", func() { want(t, w, token.Token, "GET", "/api/v4/user", "", http.StatusOK) }, 1},
		{"its rotation", func() {
			want(t, w, token.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK)
		}, 2},
		{"another name of its owner", func() { want(t, w, root.Bearer, "PUT", path, `{"name":"Ann"}`, http.StatusOK) }, 0},
		{"a new account", func() { newAccount(t, w, "bob") }, 1},
		{"revoking everything", func() { want(t, w, root.Bearer, "DELETE", path+"/personal_access_tokens", "", http.StatusNoContent) }, 1},
		{"a new token afterwards", create, 2},
		{"blocking", func() { want(t, w, root.Bearer, "POST", path+"/block", "", http.StatusCreated) }, 1},
		{"deleting", func() { want(t, w, root.Bearer, "DELETE", path, "", http.StatusNoContent) }, 1},
		{"another setting", func() {
			want(t, w, root.Bearer, "PUT", "/api/v4/application/settings", `{"rotation_window_seconds":5}`, http.StatusOK)
		}, 1},
		{"a project's token", func() { ofProject = p.ofResource(t, "project", "deploy") }, 1},
		{"its rotation by its maintainer", func() {
			decode(t, want(t, w, manager, "POST", fmt.Sprintf("%s/%d/rotate", projectTokens, ofProject.ID), "", http.StatusOK), &ofProject)
		}, 2},
		{"its end, with its bot", func() {
			want(t, w, manager, "DELETE", fmt.Sprintf("%s/%d", projectTokens, ofProject.ID), "", http.StatusNoContent)
		}, 2},
	} {
		step.do()
		delivered, failed := w.RunStream(t)
		if delivered != step.records || failed != 0 {
			t.Errorf("%s: %d records, want %d; %d deliveries failed", step.name, delivered, step.records, failed)
		}
	}
}
