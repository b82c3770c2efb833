package sweep_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

func (w *world) reason(id token.ID) token.Reason {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens[digestOf(id)].RevokedReason
}

// revoked returns how many tokens runs have revoked.
func (w *world) revoked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.revocations)
}

func never(tok *token.Token) { tok.ExpiresOn = clock.Day{} }

func ofProject(tok *token.Token) { tok.Kind, tok.Project = token.Project, 77 }

// What is beyond the limit is revoked, and nothing else: a day too many is somebody's broken pipeline.
func TestWhatALifetimeRunRevokes(t *testing.T) {
	t.Parallel()
	last := today.AddDays(limitDays)
	for _, c := range []struct {
		name   string
		on     clock.Day
		change func(*token.Token)
		owner  func(*account.Account)
		want   token.Reason
	}{
		{"one that expires on the last day that is allowed stays", last, nil, nil, ""},
		{"one that expires a day later goes", last.AddDays(1), nil, nil, token.ReasonPolicy},
		{"one that expires long after goes", last.AddDays(300), nil, nil, token.ReasonPolicy},
		{"one that never expires goes", last, never, nil, token.ReasonPolicy},
		{"one that has expired stays as it is", today.AddDays(-1), nil, nil, ""},
		{"one that expires today stays", today, nil, nil, ""},
		{"one that was revoked keeps its reason", last.AddDays(1), func(tok *token.Token) {
			tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonRequest
		}, nil, token.ReasonRequest},
		{"one that was revoked in bulk stays", last.AddDays(1), nil, func(u *account.Account) { u.TokensValidFrom = 2 }, ""},
		{"one that works on in its overlap with a successor stays", last.AddDays(1), func(tok *token.Token) { tok.WorksUntil = atOne.Add(token.MaxOverlap) }, nil, ""},
		{"one in its overlap that never expires stays, too", last, func(tok *token.Token) { tok.ExpiresOn, tok.WorksUntil = clock.Day{}, atOne.Add(time.Hour) }, nil, ""},
		{"that of a blocked account goes", last.AddDays(1), nil, func(u *account.Account) { u.State = account.Blocked }, token.ReasonPolicy},
		{"that of an account that cannot be read goes", last.AddDays(1), nil, func(u *account.Account) { *u = account.Account{ID: u.ID} }, token.ReasonPolicy},
		{"that of an administrator goes", last.AddDays(1), nil, func(u *account.Account) { u.Admin = true }, token.ReasonPolicy},
		{"an impersonation token goes", last.AddDays(1), func(tok *token.Token) { tok.Kind = token.Impersonation }, nil, token.ReasonPolicy},
		{"that of a project goes", last.AddDays(1), ofProject, func(u *account.Account) { u.Bot = true }, token.ReasonPolicy},
		{"that of a project within the limit stays", last, ofProject, func(u *account.Account) { u.Bot = true }, ""},
	} {
		eachWorld(t, c.name, func(t *testing.T, p *world) {
			var changes []func(*token.Token)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			id := p.add(5, c.on, changes...)
			if c.owner != nil {
				p.changeAccount(5, c.owner)
			}
			counts := p.wantRun(t, sweep.Lifetime)
			want(t, "reason", p.reason(id), c.want)
			want(t, "counted", counts.Revoked, map[bool]int{true: 1}[c.want == token.ReasonPolicy])
		})
	}
}

// The day of the run is that of its event, in UTC.
func TestTheDayOfALifetimeRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"a second before midnight", today.AddDays(1).Start().Add(-time.Second), 1},
		{"at midnight", today.AddDays(1).Start(), 0},
		{"in another zone, on the next day there", today.Start().Add(23 * time.Hour).In(time.FixedZone("", 5*3600)), 1},
	} {
		eachWorld(t, c.name, func(t *testing.T, p *world) {
			p.now = c.at
			p.add(5, today.AddDays(limitDays+1))
			result, err := p.runAt(t, sweep.Lifetime, sweep.Event{Time: c.at})
			wantErr(t, err, nil)
			want(t, "revoked", result.Counts.Revoked, c.want)
		})
	}
}

// A run that was called off revokes nothing and leaves nothing behind.
func TestWhetherALifetimeRunIsDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		days int
		from time.Time
		want int
	}{
		{"planned for this instant", limitDays, atOne, 1},
		{"planned for earlier, and late", limitDays, atOne.Add(-time.Hour), 1},
		{"planned for a second later", limitDays, atOne.Add(time.Second), 0},
		{"not planned any more", limitDays, time.Time{}, 0},
		{"planned, and the limit is gone", 0, atOne, 0},
	} {
		eachWorld(t, c.name, func(t *testing.T, p *world) {
			p.limitDays, p.limitFrom = c.days, c.from
			p.add(5, today.AddDays(300))
			counts := p.wantRun(t, sweep.Lifetime)
			want(t, "revoked", counts.Revoked, c.want)
			want(t, "mails", len(p.mails), c.want)
			if c.want == 0 {
				want(t, "accounts looked at", p.count("LastAccountID"), 0)
				want(t, "jobs begun", len(p.jobs), 0)
				want(t, "leases", len(p.leases), 0)
			}
		})
	}
}

func TestMailsOfALifetimeRun(t *testing.T) {
	inWorld(t, func(t *testing.T, p *world) {
		p.pageSize = 2
		eternal := p.add(5, today, never)
		late := p.add(5, today.AddDays(200))
		soon := p.add(5, today.AddDays(100))
		p.add(5, today.AddDays(3)) // stays
		p.add(5, today.AddDays(100), func(tok *token.Token) { tok.Kind = token.Impersonation })
		p.add(6, today.AddDays(100), func(tok *token.Token) { tok.Kind = token.Impersonation })
		p.add(7, today.AddDays(100))
		p.changeAccount(7, func(u *account.Account) { u.State = account.Blocked })
		p.add(8, today.AddDays(100), func(tok *token.Token) { tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonRequest })
		addProjects(p)
		p.join(web, 60, project.Maintainer)
		bot := p.addBotOf(9, web, today.AddDays(100))

		counts := p.wantRun(t, sweep.Lifetime)
		want(t, "revoked", counts.Revoked, 7)
		if len(p.mails) != 2 {
			t.Fatalf("%d mails", len(p.mails))
		}
		n, ofBot := p.mails[0], p.mails[1]
		if n.Tokens[0].Project.Kind != "" { // which shard comes first is not said
			n, ofBot = ofBot, n
		}
		want(t, "address of the bot's mail", ofBot.Recipient.Email, "user60@example.com")
		want(t, "its project", fmt.Sprint(ofBot.Tokens[0].Project.Kind, " ", ofBot.Tokens[0].Project.FullPath), "project acme/apps/web")
		want(t, "its token", fmt.Sprint(ofBot.Total, ofBot.Tokens[0].ID), fmt.Sprint(1, bot))
		want(t, "kind", n.Kind, sweep.Lifetime)
		want(t, "limit", n.LimitDays, limitDays)
		want(t, "address", n.Recipient.Email, "user5@example.com")
		want(t, "total", n.Total, 3)
		var listed []token.ID
		for _, tok := range n.Tokens {
			listed = append(listed, tok.ID)
		}
		// Soonest first, and what would never have ended last. Impersonation tokens are not shown to
		// whom they act as.
		want(t, "listed", fmt.Sprint(listed), fmt.Sprint([]token.ID{soon, late, eternal}))
		_, there := p.accts[9]
		want(t, "bot there", there, false)
		want(t, "mark of the bot's token", fmt.Sprint(p.marks(bot)), "[lifetime]")

		p.wantRun(t, sweep.Lifetime)
		want(t, "mails of a second run", len(p.mails), 2)
	})
}

// Where no mails are sent, tokens are revoked all the same.
func TestLifetimeRunWithoutMails(t *testing.T) {
	inWorld(t, func(t *testing.T, p *world) {
		populateLong(p, 50)
		counts := p.wantRun(t, sweep.Lifetime, func(s *sweep.Setup) { s.Mailer = sweep.NoMails })
		want(t, "revoked", counts.Revoked, 100)
		want(t, "mails", len(p.mails), 0)
		want(t, "marks", p.count("Mark"), 0)
	})
}

// populateLong gives each of n owners two tokens beyond the limit and one within.
func populateLong(p *world, n int) {
	for owner := account.ID(1); owner <= account.ID(n); owner++ {
		p.add(owner, today.AddDays(limitDays+int(owner)))
		p.add(owner, today.AddDays(limitDays))
		p.add(owner, today, never)
	}
}

// wantEnforced fails the test unless exactly what populateLong put beyond the limit was revoked, and told
// of once.
func wantEnforced(t *testing.T, p *world) {
	t.Helper()
	told := p.told()
	for _, tok := range p.tokens {
		beyond := tok.ID.Number() != 2
		want(t, "reason of token "+tok.ID.String(), tok.RevokedReason, map[bool]token.Reason{true: token.ReasonPolicy}[beyond])
		want(t, "mails about token "+tok.ID.String(), told[tok.ID], map[bool]int{true: 1}[beyond])
		want(t, "marks of token "+tok.ID.String(), fmt.Sprint(tok.Notices), map[bool]string{true: "[lifetime]", false: "[]"}[beyond])
	}
}

// The audit trail says who the run was, and of whom it is.
func TestAuditOfALifetimeRun(t *testing.T) {
	inWorld(t, func(t *testing.T, p *world) {
		expected := map[token.ID]audit.Event{}
		for owner, c := range map[account.ID]struct {
			kind   token.Kind
			name   audit.Name
			entity audit.Entity
		}{
			5: {token.Personal, audit.TokenRevoked, audit.AccountEntity(5)},
			6: {token.Impersonation, audit.ImpersonationRevoked, audit.AccountEntity(6)},
			7: {token.Project, audit.ProjectTokenRevoked, audit.Entity{Type: audit.Project, ID: 77}},
			8: {token.Group, audit.GroupTokenRevoked, audit.Entity{Type: audit.Group, ID: 78}},
		} {
			id := p.add(owner, today.AddDays(200), func(tok *token.Token) {
				tok.Kind = c.kind
				if c.kind.OfProject() {
					tok.Project = project.ID(c.entity.ID)
				}
			})
			expected[id] = audit.Event{
				At: atOne, Name: c.name, Entity: c.entity, Origin: audit.Origin{Source: audit.Policy},
				Token: id, Target: "token " + id.String(),
			}
		}
		p.wantRun(t, sweep.Lifetime)
		want(t, "events", len(p.trail), len(expected))
		for _, e := range p.trail {
			want(t, "event of token "+e.Token.String(), e, expected[e.Token])
		}
	})
}

// A change of the limit stops a run that is under way. What it had revoked is told of.
func TestLifetimeRunCalledOffInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*world)
	}{
		{"the limit is gone", func(p *world) { p.limitDays, p.limitFrom = 0, time.Time{} }},
		{"another limit is to hold in three hours", func(p *world) { p.limitDays, p.limitFrom = 10, atOne.Add(3*time.Hour) }},
		{"expiry is not enforced", func(p *world) { p.limitFrom = time.Time{} }},
	} {
		eachWorld(t, c.name, func(t *testing.T, p *world) {
			const owners = 2000 // five steps a shard
			populateLong(p, owners)
			changed := false
			p.after = func(string) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if len(p.revocations) >= 700 && !changed {
					changed = true
					c.change(p)
				}
				return nil
			}
			for range 10 {
				result, err := p.run(t, sweep.Lifetime)
				wantErr(t, err, nil)
				if result.Done {
					break
				}
			}
			revoked := p.revoked()
			if revoked < 700 || revoked > 700+200 { // at most the step in hand
				t.Errorf("%d tokens were revoked", revoked)
			}
			told := p.told()
			want(t, "told of", len(told), revoked)
			for _, n := range p.mails {
				want(t, "limit in a mail", n.LimitDays, 0)
			}
			for id, times := range told {
				want(t, "mails about "+id.String(), times, 1)
				want(t, "reason", p.reason(id), token.ReasonPolicy)
			}
		})
	}
}

// Whatever is wrong with mails, no token waits for it.
func TestMailsHoldUpNoRevocation(t *testing.T) {
	t.Parallel()
	paused := func() (float64, error) { return 0, sweep.ErrPaused }
	first := 0
	eachWorld(t, "the account is paused", func(t *testing.T, p *world) {
		populateLong(p, 400)
		p.rate = paused
		result, err := p.runAt(t, sweep.Lifetime, sweep.Event{Time: atOne, Shard: &first})
		wantErr(t, err, sweep.ErrPaused)
		want(t, "done", result.Done, false)
		want(t, "revoked, of all shards", p.revoked(), 800)
		p.rate = nil
		p.wantRun(t, sweep.Lifetime)
		wantEnforced(t, p)
	})
	eachWorld(t, "mails are slow", func(t *testing.T, p *world) {
		populateLong(p, 400)
		p.sending = func(sweep.Notice) error {
			if n := p.revoked(); n != 800 {
				t.Errorf("a mail goes out after %d of 800 tokens", n)
			}
			return nil
		}
		_, err := p.runAt(t, sweep.Lifetime, sweep.Event{Time: atOne, Shard: &first})
		wantErr(t, err, nil)
		want(t, "mails of the first shard", len(p.mails), 100)
		p.wantRun(t, sweep.Lifetime)
		wantEnforced(t, p)
	})
	eachWorld(t, "another run is at one of the other shards", func(t *testing.T, p *world) {
		populateLong(p, 400)
		p.leases[scanOf{sweep.Lifetime, 2}] = leased{"somebody", atOne.Add(time.Minute)}
		_, err := p.runAt(t, sweep.Lifetime, sweep.Event{Time: atOne, Shard: &first})
		wantErr(t, err, nil)
		want(t, "revoked", p.revoked(), 600)
		want(t, "mails, which would be incomplete", len(p.mails), 0)
	})
}

// A token that cannot be revoked keeps no other back, is in no mail, and is tried again.
func TestTokenThatCannotBeRevoked(t *testing.T) {
	inWorld(t, func(t *testing.T, p *world) {
		populateLong(p, 1000)
		stubborn := map[secret.Digest]bool{}
		for _, owner := range []account.ID{6, 450, 998} {
			id, err := token.NewID(owner, 3)
			wantErr(t, err, nil)
			stubborn[digestOf(id)] = true
		}
		result, err := p.run(t, sweep.Lifetime, func(s *sweep.Setup) { s.Revoker = refusing{p, stubborn} })
		wantErr(t, err, fault.ErrUnavailable)
		want(t, "done", result.Done, false)
		want(t, "revoked", p.revoked(), 2000-3)
		if again := p.told()[999]; again != 0 {
			t.Error("told of nothing")
		}
		p.wantRun(t, sweep.Lifetime)
		want(t, "revoked in the end", p.revoked(), 2000)
		wantEnforced(t, p)
	})
	eachWorld(t, "when none can, the run gives up soon", func(t *testing.T, p *world) {
		populateLong(p, 1000)
		p.fail = failing("RevokeToken", fault.ErrUnavailable)
		_, err := p.run(t, sweep.Lifetime)
		wantErr(t, err, fault.ErrUnavailable)
		if tries := p.count("RevokeToken"); tries < 20 || tries > 60*shards {
			t.Errorf("%d tries", tries)
		}
	})
	eachWorld(t, "one that is gone needs no more", func(t *testing.T, p *world) {
		id := p.add(5, today.AddDays(200))
		p.fail = func(call string) error {
			if call == "RevokeToken" {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.tokens, digestOf(id))
			}
			return nil
		}
		want(t, "revoked", p.wantRun(t, sweep.Lifetime).Revoked, 0)
	})
}

// refusing refuses to revoke some tokens.
type refusing struct {
	sweep.Revoker
	which map[secret.Digest]bool
}

func (r refusing) RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) error {
	if r.which[revoked.Digest] {
		return fmt.Errorf("%w: refused", fault.ErrUnavailable)
	}
	return r.Revoker.RevokeToken(ctx, revoked, event)
}

// Two triggers at once, for one change or for two on one day, revoke and tell once.
func TestLifetimeRunsAtOnce(t *testing.T) {
	t.Parallel()
	for name, times := range map[string][]time.Time{
		"of one change":   {atOne, atOne, atOne},
		"of two changes":  {atOne, atOne.Add(time.Minute), atOne, atOne.Add(time.Minute)},
		"on two days":     {atOne.AddDate(0, 0, -1), atOne},
		"shard by shard":  {atOne},
		"and once more":   {atOne, atOne},
		"a second apart":  {atOne, atOne.Add(time.Second)},
		"an hour in past": {atOne.Add(-time.Hour), atOne.Add(-time.Hour)},
	} {
		eachWorld(t, name, func(t *testing.T, p *world) {
			p.limitFrom = atOne.AddDate(0, 0, -2)
			p.pageSize = 2
			populateLong(p, 300)
			// sleep: bubble time, in which nobody waits
			p.sent = func(sweep.Notice) error { time.Sleep(20 * time.Millisecond); return nil }
			var runs sync.WaitGroup
			for _, at := range times {
				for shard := range shards {
					runs.Go(func() {
						for {
							result, err := p.runAt(t, sweep.Lifetime, sweep.Event{Time: at, Shard: &shard})
							if err != nil {
								t.Error(err)
								return
							}
							if result.Done {
								return
							}
							// sleep: bubble time, in which nobody waits
							time.Sleep(time.Second)
						}
					})
				}
			}
			runs.Wait()
			// The day before allows one day less.
			for _, tok := range p.tokens {
				if tok.ID.Number() == 2 && times[0].Before(today.Start()) {
					p.mu.Lock()
					delete(p.tokens, tok.Digest)
					p.mu.Unlock()
				}
			}
			wantEnforced(t, p)
		})
	}
}

// An account may have more tokens than can be revoked during a lease, or before the function's time is up.
func TestLargeAccount(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) *world {
		p := newWorld()
		for range 3000 {
			p.add(4, today.AddDays(200))
		}
		p.add(8, today.AddDays(200))
		p.after = func(call string) error {
			if call == "RevokeToken" {
				// sleep: bubble time, in which nobody waits
				time.Sleep(2 * time.Second) // 16 at a time: over six minutes
			}
			return nil
		}
		return p
	}
	t.Run("the lease is renewed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := build(t)
			gap := time.Duration(0)
			p.fail = func(string) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if lease, held := p.leases[scanOf{sweep.Lifetime, 0}]; held {
					gap = max(gap, p.Now().Sub(lease.until))
				}
				return nil
			}
			want(t, "revoked", p.wantRun(t, sweep.Lifetime).Revoked, 3001)
			if took := time.Since(p.started); took < 5*time.Minute {
				t.Errorf("took %v, which shows nothing", took)
			}
			if gap > 0 {
				t.Errorf("went on %v after the lease had ended", gap)
			}
		})
	})
	t.Run("it goes on in the next call", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := build(t)
			calls := 0
			for done := false; !done; calls++ {
				stop, cancel := context.WithTimeout(t.Context(), time.Minute)
				result, err := p.scanner(sweep.Lifetime).Run(t.Context(), stop, sweep.Event{Time: atOne})
				cancel()
				wantErr(t, err, nil)
				done = result.Done
			}
			if calls < 5 || calls > 12 {
				t.Errorf("%d calls", calls)
			}
			want(t, "revoked", p.revoked(), 3001)
			want(t, "mails", len(p.mails), 2)
		})
	})
	t.Run("another has taken over", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := build(t)
			taken := leased{"another", atOne.Add(time.Hour)}
			p.fail = func(string) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if time.Since(p.started) > 30*time.Second {
					p.leases[scanOf{sweep.Lifetime, 0}] = taken
				}
				return nil
			}
			result, err := p.run(t, sweep.Lifetime)
			wantErr(t, err, nil)
			want(t, "done", result.Done, false)
			want(t, "lease", p.leases[scanOf{sweep.Lifetime, 0}], taken)
			if n := p.revoked(); n > 700 { // until the lease was to be renewed, after a minute
				t.Errorf("%d tokens were revoked", n)
			}
		})
	})
}

// A run may die at any of its calls, before or after the call took effect. Whatever the point: the
// next run goes on, exactly what is beyond the limit is revoked and told of, and the only mails
// that are repeated are those whose marks the dead run could not write, at most one a worker.
func TestLifetimeDeathAtEveryCall(t *testing.T) {
	const workers = 3
	build := func() *world {
		w := newWorld()
		w.pageSize = 2
		for n := range account.ID(25) {
			owner := 4 + 4*n
			w.add(owner, today.AddDays(limitDays+1))
			w.add(owner, today.AddDays(limitDays))
			w.add(owner, today, never)
		}
		return w
	}
	scan := func(t *testing.T, w *world) (sweep.Result, error) {
		return w.run(t, sweep.Lifetime, func(s *sweep.Setup) { s.Workers = workers })
	}
	dieEverywhere(t, 250, build, scan, func(t *testing.T, w *world) func() {
		inFlight := w.inFlight(t, workers, func(tok token.Token) bool { return len(w.boxesOf(tok.ID)) > 0 })
		return func() {
			w.wantTold(t, inFlight)
			told := w.told()
			for _, tok := range w.tokens {
				beyond := tok.ID.Number() != 2
				if (tok.RevokedReason == token.ReasonPolicy) != beyond || slices.Contains(tok.Notices, "lifetime") != beyond || (told[tok.ID] > 0) != beyond {
					t.Errorf("token %s: %q, %v, in %d mails", tok.ID, tok.RevokedReason, tok.Notices, told[tok.ID])
				}
			}
		}
	})
}

// Every account is looked at once, whatever the ids and the shards.
func TestEveryAccountIsReached(t *testing.T) {
	t.Parallel()
	for _, owners := range []int{1, 3, 4, 5, 399, 400, 401, 805} {
		eachWorld(t, fmt.Sprint(owners), func(t *testing.T, p *world) {
			populateLong(p, owners)
			want(t, "revoked", p.wantRun(t, sweep.Lifetime).Revoked, 2*owners)
			wantEnforced(t, p)
		})
	}
	eachWorld(t, "those that never had a token cost no look at tokens", func(t *testing.T, p *world) {
		for owner := account.ID(1); owner <= 300; owner++ {
			p.addAccount(owner)
		}
		p.add(17, today.AddDays(200))
		p.wantRun(t, sweep.Lifetime)
		want(t, "pages", p.count("PageOfTokens"), 2) // to revoke, and to tell
	})
}

// What a run had revoked when it died in its first step is told of, also when the limit is gone by then.
func TestCalledOffAfterDeathInTheFirstStep(t *testing.T) {
	inWorld(t, func(t *testing.T, p *world) {
		p.add(4, today.AddDays(200))
		p.add(8, today.AddDays(200))
		p.after = func(call string) error {
			if call == "RevokeToken" {
				p.dead = true
			}
			return nil
		}
		_, err := p.run(t, sweep.Lifetime)
		wantErr(t, err, fault.ErrUnavailable)
		revoked := p.revoked()
		if revoked == 0 {
			t.Fatal("nothing was revoked, which shows nothing")
		}
		p.after, p.dead, p.limitDays, p.limitFrom = nil, false, 0, time.Time{}
		// sleep: bubble time, in which nobody waits
		time.Sleep(2 * time.Minute)
		p.wantRun(t, sweep.Lifetime)
		want(t, "revoked", p.revoked(), revoked)
		want(t, "told of", len(p.told()), revoked)
	})
}
