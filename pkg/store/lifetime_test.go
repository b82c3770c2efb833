package store_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

func TestLifetimeRun(t *testing.T) {
	t.Parallel()
	at := storetest.Now.Add(settings.Grace)
	for _, c := range []struct {
		name     string
		settings settings.Application
		days     int
		from     time.Time
	}{
		{"a limit with its run", settings.Application{Settings: settings.Settings{LifetimeDays: 30}, Run: settings.Run{At: at}}, 30, at},
		{"a limit without", settings.Application{Settings: settings.Settings{LifetimeDays: 30}}, 30, time.Time{}},
		{"ends are not enforced", settings.Application{Settings: settings.Settings{LifetimeDays: 30, ExpiryIgnored: true}, Run: settings.Run{At: at}}, 30, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			c.settings.Revision = 1
			wantErr(t, f, f.Store.SaveSettings(t.Context(), c.settings, storetest.Events), nil)
			days, from, err := f.Store.LifetimeRun(t.Context())
			wantErr(t, f, err, nil)
			wantEqual(t, "days", days, c.days)
			wantEqual(t, "from", from, c.from)
		})
	}
	t.Run("nothing was ever set", func(t *testing.T) {
		f := open(t)
		days, from, err := f.Store.LifetimeRun(t.Context())
		wantErr(t, f, err, nil)
		if days != 0 || !from.IsZero() {
			t.Errorf("%d days from %v", days, from)
		}
	})
}

// Two runs on one day are two jobs, and share a lease.
func TestJobsOfLifetimeRuns(t *testing.T) {
	t.Parallel()
	f := open(t)
	now := storetest.Now
	one := sweep.Job{Kind: sweep.Lifetime, At: now, Day: clock.DayOf(now), Shard: 3}
	other := one
	other.At = now.Add(time.Second)
	begun := func(j sweep.Job, want bool) {
		t.Helper()
		got, err := f.Store.Begun(t.Context(), j)
		wantErr(t, f, err, nil)
		wantEqual(t, "begun", got, want)
	}
	_, err := f.Store.Acquire(t.Context(), one, "first", now, now.Add(minutes))
	wantErr(t, f, err, nil)
	begun(one, false)
	p := sweep.Progress{Cursor: 77, Counts: sweep.Counts{Examined: 9, Revoked: 4}}
	wantErr(t, f, f.Store.Save(t.Context(), one, "first", p, now.Add(minutes)), nil)
	begun(one, true)
	begun(other, false)
	_, err = f.Store.Acquire(t.Context(), other, "second", now, now.Add(minutes))
	wantErr(t, f, err, sweep.ErrLeased)
	got, err := f.Store.Acquire(t.Context(), one, "first", now, now.Add(minutes))
	wantErr(t, f, err, nil)
	wantEqual(t, "progress", got, p)
	if f.Item(t, "SCAN#lifetime#2031-05-06T23:59:59Z", "SHARD#03") == nil {
		t.Error("the job is kept elsewhere")
	}
}

func TestPageOfTokens(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner, other := f.AddAccount(t), f.AddAccount(t)
	f.AddToken(t, other)
	const tokens = 230 // over two pages
	var want []token.ID
	for range tokens {
		want = append(want, f.AddToken(t, owner).ID)
	}
	walk := func() (got []token.ID, pages int) {
		t.Helper()
		for page, more := "", true; more; more = page != "" {
			list, next, err := f.Store.PageOfTokens(t.Context(), owner.ID, page)
			wantErr(t, f, err, nil)
			for _, tok := range list {
				got = append(got, tok.ID)
			}
			page = next
			pages++
		}
		return got, pages
	}
	got, pages := walk()
	wantEqual(t, "ids", got, want)
	wantEqual(t, "pages", pages, 3)

	// What cannot be read, at the end of a page too, is passed over.
	pk, sk := pointerKey(want[99])
	f.Set(t, pk, sk, "digest", storetest.N("1"))
	record, err := f.Store.Token(t.Context(), want[150])
	wantErr(t, f, err, nil)
	pk, sk = recordKey(record.Digest)
	f.Set(t, pk, sk, "scopes", storetest.N("1"))
	got, _ = walk()
	wantEqual(t, "ids", len(got), tokens-2)

	list, next, err := f.Store.PageOfTokens(t.Context(), 4711, "")
	wantErr(t, f, err, nil)
	if len(list) != 0 || next != "" {
		t.Errorf("of nobody: %d tokens, next %q", len(list), next)
	}
}

// What has ended is kept for as long as administrators say, and a token ends also when that cannot be
// read.
func TestRetention(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	deleteAfter := func(t *testing.T, f *storetest.Fixture, tok token.Token) map[string]any {
		t.Helper()
		all := map[string]any{}
		for name, key := range map[string]func() (string, string){
			"record":  func() (string, string) { return recordKey(tok.Digest) },
			"pointer": func() (string, string) { return pointerKey(tok.ID) },
		} {
			pk, sk := key()
			all[name] = f.Item(t, pk, sk)["delete_after"]
		}
		return all
	}
	want := func(ended token.Token, retention time.Duration) map[string]any {
		at := int(ended.RevokedAt.Add(retention).Unix())
		return map[string]any{"record": at, "pointer": at}
	}
	save := func(t *testing.T, f *storetest.Fixture, days int, revision int64) {
		t.Helper()
		wantErr(t, f, f.Store.SaveSettings(t.Context(), settings.Application{Settings: settings.Settings{RetentionDays: days, LastUsedInterval: time.Hour}, Revision: revision}, storetest.Events), nil)
	}
	t.Run("the operator's, until something is set", func(t *testing.T) {
		f := open(t)
		ended := storetest.Revoked(f.AddToken(t, f.AddAccount(t)))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		wantEqual(t, "delete after", deleteAfter(t, f, ended), want(ended, storetest.Retention))
	})
	t.Run("what is set, within ten seconds", func(t *testing.T) {
		f := open(t)
		owner := f.AddAccount(t)
		for i, c := range []struct {
			set   int           // days, before
			after time.Duration // of the first revocation
			want  time.Duration
		}{
			{7, 0, 7 * day},
			{30, 9 * time.Second, 7 * day},
			{0, 10 * time.Second, 30 * day},
			{14, 19 * time.Second, 30 * day},
			{0, 20 * time.Second, 14 * day},
			{21, 5 * time.Second, 21 * day}, // a clock that went backwards
		} {
			if c.set != 0 {
				current, err := f.Store.Settings(t.Context())
				wantErr(t, f, err, nil)
				save(t, f, c.set, current.Revision+1)
			}
			ended := storetest.Revoked(f.AddToken(t, owner))
			ended.RevokedAt = ended.RevokedAt.Add(c.after)
			wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
			wantEqual(t, fmt.Sprintf("step %d", i), deleteAfter(t, f, ended), want(ended, c.want))
		}
	})
	t.Run("of a token that was rotated", func(t *testing.T) {
		f := open(t)
		save(t, f, 7, 1)
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		old.RevokedAt = next.CreatedAt
		wantEqual(t, "delete after", deleteAfter(t, f, old), want(old, 7*day))
	})
	t.Run("of a project's token", func(t *testing.T) {
		f := open(t)
		save(t, f, 7, 1)
		ended := storetest.Revoked(f.AddBot(t, f.AddProject(t, project.KindProject)))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		wantEqual(t, "delete after", deleteAfter(t, f, ended), want(ended, 7*day))
	})
	for name, rule := range map[string]storetest.Rule{
		"cannot be read": storetest.On("GetItem", storetest.LoseRequest),
		"make no sense":  nil,
	} {
		t.Run("a token ends although the settings "+name, func(t *testing.T) {
			f := open(t)
			save(t, f, 7, 1)
			if rule == nil {
				f.Set(t, "SETTINGS", "APPLICATION", "retention_days", storetest.S("many"))
			}
			ended := storetest.Revoked(f.AddToken(t, f.AddAccount(t)))
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			proxy.Fail(rule)
			wantErr(t, f, f.Through(proxy.Client()).RevokeToken(t.Context(), ended, storetest.Event), nil)
			wantEqual(t, "delete after", deleteAfter(t, f, ended), want(ended, storetest.Retention))
		})
	}
}

// The event of a revocation is written with it, and a second revocation writes none.
func TestRevocationWithItsEvent(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	entity := audit.AccountEntity(owner.ID)
	ended := storetest.Revoked(f.AddToken(t, owner))
	ended.RevokedReason = token.ReasonPolicy
	for range 2 {
		revoked := audit.OfToken(ended.RevokedAt, audit.Origin{Source: audit.Policy}, ended, audit.Revoked)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, revoked), nil)
	}
	var events []audit.Event
	wantErr(t, f, f.Store.Events(t.Context(), entity, audit.Period{From: ended.RevokedAt, To: ended.RevokedAt}, func(e audit.Event) bool {
		events = append(events, e)
		return true
	}), nil)
	if len(events) != 1 || events[0].Source != audit.Policy || events[0].Token != ended.ID {
		t.Errorf("events %+v", events)
	}
	stored, err := f.Store.Token(t.Context(), ended.ID)
	wantErr(t, f, err, nil)
	wantEqual(t, "reason", stored.RevokedReason, token.ReasonPolicy)
}
