package store_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func collect(events *[]audit.Event) func(audit.Event) bool {
	return func(e audit.Event) bool {
		*events = append(*events, e)
		return true
	}
}

// The instants between which the events of these tests lie.
var (
	longAgo = storetest.Now.AddDate(-1, 0, 0)
	farOff  = storetest.Now.AddDate(1, 0, 0)
)

// eventsOf returns all events of an entity, newest first, without those of what
// tests only prepare.
func eventsOf(t *testing.T, f *storetest.Fixture, entity audit.Entity) []audit.Event {
	t.Helper()
	var events []audit.Event
	wantErr(t, f, f.Store.Events(t.Context(), entity, audit.Period{From: longAgo, To: farOff}, collect(&events)), nil)
	return withoutPreparation(events)
}

func everyEvent(t *testing.T, f *storetest.Fixture) []audit.Event {
	t.Helper()
	var events []audit.Event
	wantErr(t, f, f.Store.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff}, collect(&events)), nil)
	return withoutPreparation(events)
}

// withoutPreparation returns the events of the test itself, without their places, which are random.
func withoutPreparation(events []audit.Event) []audit.Event {
	for i := range events {
		events[i].Place = ""
	}
	return slices.DeleteFunc(events, func(e audit.Event) bool { return e.Name == storetest.Event.Name })
}

// told is the event of what is tested.
var told = audit.Event{
	At: storetest.Now, Name: "tested", Entity: audit.Entity{Type: audit.Instance, ID: audit.InstanceID},
	Origin: audit.Origin{Author: 1, Source: audit.Admin},
}

// audited are all writes that change something.
func audited() []write {
	return append(slices.Clone(writes),
		write{"update account", "UpdateAccount", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			before := f.AddAccount(t)
			after := before
			after.Username, after.Email, after.Name, after.Admin = before.Username+"-2", "2-"+before.Email, "Renamed", true
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.UpdateAccount(ctx, before, after, []audit.Event{e})
				},
				func(t *testing.T) { wantEqual(t, "account", f.Fresh(t, before), after) }
		}},
		write{"delete account", "DeleteAccount", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u := f.AddAccount(t)
			return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.DeleteAccount(ctx, u, e) }, func(t *testing.T) {
				_, err := f.Store.Account(t.Context(), u.ID)
				wantErr(t, f, err, fault.ErrNotFound)
			}
		}},
		write{"end overlap", "EndOverlap", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			owner := f.AddAccount(t)
			old := f.AddToken(t, owner)
			next := f.Successor(t, owner, old)
			ending := storetest.Overlapping(old, token.MaxOverlap)
			ending.UntilUsed, next.EndsOnUse = true, old.Digest
			next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), ending, next, nil, storetest.Event)
			wantErr(t, f, err, nil)
			at := storetest.Now.Add(time.Hour)
			return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.EndOverlap(ctx, next, at, e) }, func(t *testing.T) {
				got, err := f.Store.TokenByDigest(t.Context(), old.Digest)
				wantErr(t, f, err, nil)
				marked, err := f.Store.TokenByDigest(t.Context(), next.Digest)
				wantErr(t, f, err, nil)
				if !got.WorksUntil.Equal(at) || !got.TakenOverAt.Equal(at) || marked.EndsOnUse != (secret.Digest{}) {
					t.Errorf("the old one works until %s, and the new one ends %v", got.WorksUntil, marked.EndsOnUse)
				}
			}
		}},
		write{"report token", "ReportToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			tok := f.AddToken(t, f.AddAccount(t))
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					_, err := s.ReportToken(ctx, tok, e)
					return err
				}, func(t *testing.T) {
					got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
					wantErr(t, f, err, nil)
					wantEqual(t, "marks", got.Notices, []string{token.MarkReported})
				}
		}},
		write{"leave", "LeaveAll", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
			m := joined(t, f, memberIn(proj, f.AddAccount(t), project.Guest))
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					_, err := s.LeaveAll(ctx, m.Account, e)
					return err
				}, func(t *testing.T) {
					wantEqual(t, "member", direct(t, f, proj, m.Account), nobody)
				}
		}},
		write{"dismiss members", "DismissMembers", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			owner := f.AddAccount(t)
			proj := made(t, f, projectOf(owner, "p"), owner.ID)
			m := joined(t, f, memberIn(proj, f.AddAccount(t), project.Guest))
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.DismissMembers(ctx, proj.ID, owner.ID, e)
				}, func(t *testing.T) {
					wantEqual(t, "member", direct(t, f, proj, m.Account), nobody)
				}
		}},
		write{"link an identity", "LinkIdentity", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u, who := f.AddAccount(t), identity()
			return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.LinkIdentity(ctx, u, who, e) },
				func(t *testing.T) { wantEqual(t, "identity", f.Fresh(t, u).Identity, who) }
		}},
		write{"unlink an identity", "UnlinkIdentity", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u := f.AddAccount(t)
			wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, identity(), storetest.Event), nil)
			u = f.Fresh(t, u)
			return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.UnlinkIdentity(ctx, u, e) },
				func(t *testing.T) { wantEqual(t, "identity", f.Fresh(t, u).Identity, account.Identity{}) }
		}},
		write{"mark unreachable", "MarkUnreachable", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u := f.AddAccount(t)
			after, _ := u.Returned(u.Email, storetest.Now, account.Bounced)
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.MarkUnreachable(ctx, u, after, e)
				},
				func(t *testing.T) { wantEqual(t, "account", f.Fresh(t, u), after) }
		}},
		write{"end sessions", "EndSessions", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u := f.AddAccount(t)
			return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.EndSessions(ctx, u.ID, 0, e) },
				func(t *testing.T) { wantEqual(t, "session number", f.Fresh(t, u).SessionNumber, int64(1)) }
		}},
		write{"lower member", "LowerMember", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
			m := joined(t, f, memberIn(proj, f.AddAccount(t), project.Maintainer))
			after := m
			after.Level, after.ExpiresOn = project.Guest, clock.DayOf(storetest.Now).AddDays(9)
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.LowerMember(ctx, m, after, []audit.Event{e})
				}, func(t *testing.T) {
					wantEqual(t, "member", direct(t, f, proj, m.Account), after)
				}
		}},
		write{"raise the number from which tokens are valid", "RaiseValidFrom", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			u := f.AddAccount(t)
			f.AddToken(t, u)
			u = f.Fresh(t, u)
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.RaiseValidFrom(ctx, u.ID, u.NextNumber, e)
				}, func(t *testing.T) {
					wantEqual(t, "number", f.Fresh(t, u).TokensValidFrom, u.NextNumber)
				}
		}},
		write{"tighten settings", "TightenSettings", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			before, err := f.Store.Settings(t.Context())
			wantErr(t, f, err, nil)
			after := before
			after.TokensFrom, after.SessionsFrom, after.ImpersonationOff, after.Revision = storetest.Now, storetest.Now, true, before.Revision+1
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.TightenSettings(ctx, after, []audit.Event{e})
				}, func(t *testing.T) {
					got, err := f.Store.Settings(t.Context())
					wantErr(t, f, err, nil)
					wantEqual(t, "settings", got, after)
				}
		}},
		write{"save settings", "SaveSettings", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
			before, err := f.Store.Settings(t.Context())
			wantErr(t, f, err, nil)
			after := before
			after.LifetimeDays, after.Revision = before.LifetimeDays%300+1, before.Revision+1
			return func(ctx context.Context, s *store.Table, e audit.Event) error {
					return s.SaveSettings(ctx, after, []audit.Event{e})
				}, func(t *testing.T) {
					got, err := f.Store.Settings(t.Context())
					wantErr(t, f, err, nil)
					wantEqual(t, "settings", got, after)
				}
		}},
	)
}

// bookkeeping are the writes that change nobody's rights and have no event.
var bookkeeping = []string{"MarkUsed", "Mark", "Acquire", "Save", "SetFinished", "Record", "Post", "Unpost", "TakeMail", "AddEnding", "EndingDone", "EnterTokens", "CompleteDirectory"}

// Breaks if somebody adds a write whose event nobody asks for, or if one takes an
// event that does not say what happened.
func TestEveryChangeRefusesToGoWithoutItsEvent(t *testing.T) {
	t.Parallel()
	methods := map[string]bool{}
	for _, w := range audited() {
		methods[w.method] = true
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			run, _ := w.prepare(t, f)
			before := f.Snapshot(t)
			nameless, timeless, homeless, sourceless := told, told, told, told
			nameless.Name, timeless.At, homeless.Entity, sourceless.Source = "", time.Time{}, audit.Entity{}, ""
			for _, e := range []audit.Event{{}, nameless, timeless, homeless, sourceless} {
				if err := run(t.Context(), f.Through(proxy.Client()), e); err == nil || fault.KindOf(err) != fault.Internal {
					t.Errorf("%+v: err = %v", e, err)
				}
			}
			if n := len(proxy.Requests()); n != 0 {
				t.Errorf("%d requests", n)
			}
			wantUnchanged(t, f, before)
		})
	}
	for _, err := range []error{
		new(store.Table).UpdateAccount(t.Context(), account.Account{}, account.Account{Name: "n"}, nil),
		new(store.Table).ChangeMember(t.Context(), nobody, nobody, nobody, nil),
		new(store.Table).SaveSettings(t.Context(), settings.Application{}, nil),
		new(store.Table).TightenSettings(t.Context(), settings.Application{}, nil),
		new(store.Table).LowerMember(t.Context(), nobody, nobody, nil),
		new(store.Table).Record(t.Context()),
	} {
		if err == nil {
			t.Error("no event at all is taken")
		}
	}
	for m := range reflect.TypeFor[*store.Table]().Methods() {
		if _, reads := reflect.TypeFor[*store.Reader]().MethodByName(m.Name); !reads && !methods[m.Name] && !slices.Contains(bookkeeping, m.Name) {
			t.Errorf("%s is neither a read, nor bookkeeping, nor tested with its event", m.Name)
		}
	}
}

// As many switches as one change may have leave room for its event, and a change
// that takes two transactions is one event.
func TestEventOfManySwitches(t *testing.T) {
	t.Parallel()
	f := open(t)
	var switches []feature.Switch
	for id := int64(1); id <= 196; id++ {
		switches = append(switches, feature.Switch{Feature: "many", Target: feature.Target{Kind: feature.AccountOnly, ID: id}, On: true})
	}
	for i, change := range []func() error{
		func() error { return f.Store.SetSwitches(t.Context(), switches[:98], told) },
		func() error { return f.Store.SetSwitches(t.Context(), switches[98:], told) },
		func() error { return f.Store.ClearSwitches(t.Context(), "many", told) },
		func() error { return f.Store.ClearSwitches(t.Context(), "many", told) }, // there is nothing to write any more
	} {
		before := len(everyEvent(t, f))
		wantErr(t, f, change(), nil)
		wantEqual(t, "events", len(everyEvent(t, f))-before, map[bool]int{true: 1}[i < 3])
	}
}

// An event without its change accuses somebody of what they did not do; a
// change without its event is one that nobody can find out about.
func TestEventsAreWrittenWithTheirChange(t *testing.T) {
	t.Parallel()
	for _, w := range audited() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			for name, rule := range map[string]storetest.Rule{
				"no fault":                       nil,
				"the first request is lost":      storetest.First(operation, storetest.LoseRequest),
				"the first reply is lost":        storetest.First(operation, storetest.LoseReply),
				"every reply is lost":            storetest.On(operation, storetest.LoseReply),
				"a lost reply, then collisions":  storetest.First(operation, storetest.LoseReply, conflict(operation), conflict(operation)),
				"a collision, then a lost reply": storetest.First(operation, conflict(operation), storetest.LoseReply),
				"two lost replies and a refusal": storetest.First(operation, storetest.LoseReply, storetest.LoseReply, storetest.Refuse("AccessDeniedException", "no")),
			} {
				t.Run(name, func(t *testing.T) {
					run, check := w.prepare(t, f)
					before := len(everyEvent(t, f))
					proxy.Fail(rule)
					wantErr(t, f, run(t.Context(), f.Through(proxy.Client()), told), nil)
					check(t)
					events := everyEvent(t, f)
					if len(events) != before+1 || events[0].Name != told.Name || events[0].Origin != told.Origin || events[0].Entity.ID == 0 {
						t.Errorf("%d events, the last one %+v", len(events)-before, events[0])
					}
				})
			}
			for name, rule := range map[string]storetest.Rule{
				"every request is lost": storetest.On(operation, storetest.LoseRequest),
				"collisions for ever":   storetest.On(operation, conflict(operation)),
				"no capacity":           storetest.On(operation, busy(operation)),
				"a server error":        storetest.On(operation, storetest.Answer(http.StatusInternalServerError, `{}`)),
			} {
				t.Run(name, func(t *testing.T) {
					run, _ := w.prepare(t, f)
					before := f.Snapshot(t)
					proxy.Fail(rule)
					wantErr(t, f, run(t.Context(), f.Through(proxy.Client(proxy.Impatient)), told), fault.ErrUnavailable)
					wantUnchanged(t, f, before)
				})
			}
		})
	}
}

// What is refused or has taken place already is no event, wherever the reason
// stands in the transaction: the events come behind everything else.
func TestNoEventWithoutAChange(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx := t.Context()
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner)
	ended := storetest.Revoked(f.AddToken(t, owner))
	wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
	bot := f.AddBot(t, f.AddProject(t, project.KindProject))
	endedBot := storetest.Revoked(f.AddBot(t, f.AddProject(t, project.KindGroup)))
	wantErr(t, f, f.Store.RevokeToken(t.Context(), endedBot, storetest.Event), nil)
	used := f.Use(t, "used", storetest.Now)
	_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), &used, storetest.Event)
	wantErr(t, f, err, nil)
	blocked := f.AddAccount(t)
	set(t, f, blocked.ID, account.Active, account.Blocked)
	stale := f.AddAccount(t)
	wantErr(t, f, f.Store.RevokeEverything(t.Context(), stale.ID, storetest.Event), nil)
	f.AddToken(t, f.Fresh(t, stale))
	wantErr(t, f, f.Store.RevokeEverything(t.Context(), stale.ID, storetest.Event), nil)

	last := func(_ any, err error) error { return err }
	for name, c := range map[string]struct {
		run  func() error
		want error
	}{
		"a bearer that is taken": {func() error {
			again := f.Candidate(t, owner)
			again.Digest = tok.Digest
			return last(f.Store.CreateToken(ctx, f.Fresh(t, owner), again, nil, told))
		}, fault.ErrTaken},
		"an idempotency key that is used": {func() error {
			return last(f.Store.CreateToken(ctx, f.Fresh(t, owner), f.Candidate(t, owner), &used, told))
		}, token.ErrKeyUsed},
		"an idempotency key that is used, for a rotation": {func() error {
			return last(f.Store.RotateToken(ctx, f.Fresh(t, owner), tok, f.Successor(t, owner, tok), &used, told))
		}, token.ErrKeyUsed},
		"an idempotency key that is used, for the rotation of a bot's token": {func() error {
			u := f.Fresh(t, account.Account{ID: bot.Owner})
			return last(f.Store.RotateToken(ctx, u, bot, f.Successor(t, u, bot), &used, told))
		}, token.ErrKeyUsed},
		"an idempotency key that is used, for a bot": {func() error {
			proj := f.AddProject(t, project.KindProject)
			u, candidate := f.Bot(proj)
			return last(f.Store.CreateProjectToken(ctx, proj, u, candidate, f.Mint(t, &used), told))
		}, token.ErrKeyUsed},
		"a project that is gone": {func() error {
			proj := project.Project{ID: 4711, Kind: project.KindProject}
			u, candidate := f.Bot(proj)
			return last(f.Store.CreateProjectToken(ctx, proj, u, candidate, f.Mint(t, nil), told))
		}, fault.ErrNotFound},
		"an owner who is blocked": {func() error {
			return last(f.Store.CreateToken(ctx, blocked, f.Candidate(t, blocked), nil, told))
		}, account.ErrBlocked},
		"an owner whose tokens were revoked meanwhile": {func() error {
			return last(f.Store.CreateToken(ctx, stale, f.Candidate(t, stale), nil, told))
		}, fault.ErrMoved},
		"the rotation of a token that has ended": {func() error {
			return last(f.Store.RotateToken(ctx, f.Fresh(t, owner), ended, f.Successor(t, owner, ended), nil, told))
		}, token.ErrRevoked},
		"a token that has ended":   {func() error { return f.Store.RevokeToken(ctx, ended, told) }, nil},
		"a bot that has gone":      {func() error { return f.Store.RevokeToken(ctx, endedBot, told) }, nil},
		"a token without a record": {func() error { return f.Store.RevokeToken(ctx, storetest.Revoked(f.Candidate(t, owner)), told) }, fault.ErrNotFound},
		"everything of nobody":     {func() error { return f.Store.RevokeEverything(ctx, 4711, told) }, fault.ErrNotFound},
		"an account that is blocked": {func() error {
			return f.Store.SetAccountState(ctx, blocked.ID, account.Active, account.Blocked, told)
		}, nil},
		"an account in a third state": {func() error {
			return f.Store.SetAccountState(ctx, blocked.ID, account.Deactivated, account.Active, told)
		}, fault.ErrMoved},
		"a username that is taken": {func() error {
			u := f.Account(owner.Username)
			return last(f.Store.CreateAccount(ctx, u, told))
		}, account.ErrUsernameTaken},
		"an address that is taken": {func() error {
			u := f.Account("somebody-else")
			u.Email = owner.Email
			return last(f.Store.CreateAccount(ctx, u, told))
		}, account.ErrEmailTaken},
		"a new address that is taken": {func() error {
			after := f.Fresh(t, owner)
			before := after
			after.Username, after.Email = "renamed", blocked.Email
			return f.Store.UpdateAccount(ctx, before, after, []audit.Event{told})
		}, account.ErrEmailTaken},
		"a new username that is taken": {func() error {
			after := f.Fresh(t, owner)
			before := after
			after.Username = blocked.Username
			return f.Store.UpdateAccount(ctx, before, after, []audit.Event{told})
		}, account.ErrUsernameTaken},
		"an account that did not change": {func() error { return f.Store.UpdateAccount(ctx, owner, owner, []audit.Event{told}) }, nil},
		"an account that is not there": {func() error {
			return f.Store.DeleteAccount(ctx, account.Account{ID: 4711, Username: "nobody"}, told)
		}, fault.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			wantErr(t, f, c.run(), c.want)
			if events := everyEvent(t, f); len(events) != 0 {
				t.Errorf("%d events: %+v", len(events), events)
			}
		})
	}
}

// The store tries some changes again in another form. Only the one that takes
// place is written down.
func TestAChangeThatIsTriedAgainIsOneEvent(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx := t.Context()
	owner := f.AddAccount(t)
	stale := owner
	var events int
	for name, run := range map[string]func(){
		"a token whose pointer is missing": func() {
			tok := f.AddToken(t, f.Fresh(t, owner))
			pk, sk := pointerKey(tok.ID)
			f.Drop(t, pk, sk)
			wantErr(t, f, f.Store.RevokeToken(ctx, storetest.Revoked(tok), told), nil)
		},
		"a bot whose pointer is missing": func() {
			tok := f.AddBot(t, f.AddProject(t, project.KindProject))
			pk, sk := pointerKey(tok.ID)
			f.Drop(t, pk, sk)
			wantErr(t, f, f.Store.RevokeToken(ctx, storetest.Revoked(tok), told), nil)
		},
		"an owner who is out of date": func() {
			f.AddToken(t, f.Fresh(t, owner))
			made, err := f.Store.CreateToken(ctx, stale, f.Candidate(t, owner), nil, told)
			wantErr(t, f, err, nil)
			if e := everyEvent(t, f)[0]; e.Token != made.ID {
				t.Errorf("the event is about %s, the token is %s", e.Token, made.ID)
			}
		},
		"8 revocations at once": func() {
			tok := f.AddToken(t, f.Fresh(t, owner))
			for _, err := range together(8, func(int) error { return f.Store.RevokeToken(ctx, storetest.Revoked(tok), told) }) {
				wantErr(t, f, err, nil)
			}
		},
		"8 ends of a bot at once": func() {
			tok := f.AddBot(t, f.AddProject(t, project.KindProject))
			for _, err := range together(8, func(int) error { return f.Store.RevokeToken(ctx, storetest.Revoked(tok), told) }) {
				wantErr(t, f, err, nil)
			}
		},
		"8 blocks at once": func() {
			u := f.AddAccount(t)
			for _, err := range together(8, func(int) error {
				return f.Store.SetAccountState(ctx, u.ID, account.Active, account.Blocked, told)
			}) {
				wantErr(t, f, err, nil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run()
			now := len(everyEvent(t, f))
			if now != events+1 {
				t.Errorf("%d events, want 1", now-events)
			}
			events = now
		})
	}
}

// A bot that outlives its token is removed by the next one who ends it; of two
// at once, one removes it.
func TestABotThatOutlivedItsTokenIsRemovedOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	tok := f.AddBot(t, f.AddProject(t, project.KindProject))
	ended := storetest.Revoked(tok)
	pk, sk := recordKey(tok.Digest)
	f.Set(t, pk, sk, "revoked_at", storetest.N(strconv.FormatInt(ended.RevokedAt.Unix(), 10)))
	f.Set(t, pk, sk, "revoked_reason", storetest.S(string(ended.RevokedReason)))
	// The first request meets the ended record; before the second one, somebody
	// else removes the bot.
	proxy.Fail(func(operation string, n int) storetest.Action {
		if operation != "TransactWriteItems" || n != 2 {
			return nil
		}
		return storetest.Meanwhile(func() {
			wantErr(t, f, f.Store.RevokeToken(context.Background(), ended, told), nil)
		})
	})
	wantErr(t, f, f.Through(proxy.Client()).RevokeToken(t.Context(), ended, told), nil)
	if events := everyEvent(t, f); len(events) != 1 {
		t.Errorf("%d events of one removal, want 1", len(events))
	}
}

func TestAnEventIsStoredTwiceForAYear(t *testing.T) {
	t.Parallel()
	f := open(t)
	rotated := audit.Event{
		At: storetest.Now, Name: audit.ProjectTokenRotated, Entity: audit.Entity{Type: audit.Project, ID: 8},
		Origin: audit.Origin{
			Author: 58, Asker: 1, Presented: 4194305, RequestID: "a-request", Address: "192.0.2.7", Source: audit.Admin,
		},
		Token: 21, Previous: 20, Target: "deploy", Change: "c", From: "f", To: "t", Omitted: 3, Tokens: 4,
	}
	wantErr(t, f, f.Store.Record(t.Context(), rotated), nil)
	events := eventsOf(t, f, audit.Entity{Type: audit.Project, ID: 8})
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	id := events[0].ID
	found := 0
	for name, it := range f.Snapshot(t) {
		pk, sk, _ := strings.Cut(name, " / ")
		if pk != "AUDIT#PROJECT#8" && pk != fmt.Sprintf("AUDIT#EVERY#%02d", id%16) {
			t.Errorf("%s is stored", name)
		}
		random, named := strings.CutPrefix(sk, fmt.Sprintf("%016d#", id))
		if !named || len(random) < 26 {
			t.Errorf("sort key %s of event %d", sk, id)
		}
		found++
		wantEqual(t, name, it, any(map[string]any{
			"pk": pk, "sk": sk, "at": int(storetest.Now.Unix()), "name": "project_access_token_rotated",
			"entity_type": "Project", "entity_id": 8, "source": "admin",
			"author": 58, "asker": 1, "presented": 4194305, "token": 21, "previous": 20,
			"request_id": "a-request", "address": "192.0.2.7", "target": "deploy", "change": "c", "from": "f", "to": "t", "omitted": 3, "tokens": 4,
			"delete_after": int(storetest.Now.Unix()) + 365*24*60*60,
		}))
	}
	if found != 2 {
		t.Errorf("%d items", found)
	}
	byID, err := f.Store.Event(t.Context(), id)
	wantErr(t, f, err, nil)
	wantEqual(t, "event by id", withoutPreparation([]audit.Event{byID}), events)
	rotated.ID = id
	wantEqual(t, "event", events[0], rotated)
	for _, other := range []int64{id + 1, id - 1, id + 16, id - 16, 0, -1, 1<<63 - 1} {
		_, err := f.Store.Event(t.Context(), other)
		wantErr(t, f, err, fault.ErrNotFound)
	}
}

// updated is an event some seconds after storetest.Now.
func updated(entity audit.Entity, seconds int, target string) audit.Event {
	return audit.Event{
		At: storetest.Now.Add(time.Duration(seconds) * time.Second), Name: audit.AccountUpdated, Entity: entity,
		Origin: audit.Origin{Source: audit.Admin}, Target: target,
	}
}

func TestEventsAreReadNewestFirst(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	entity := audit.AccountEntity(58)
	other := audit.Entity{Type: audit.Group, ID: 58} // another entity with the same id
	// storetest.Now is the last second of a day.
	record := func(seconds int, entity audit.Entity, target string) {
		wantErr(t, f, f.Store.Record(t.Context(), updated(entity, seconds, target)), nil)
	}
	for i, seconds := range []int{0, 0, 0, -1, 1, 2, -3600, 0} {
		record(seconds, entity, fmt.Sprint(i))
	}
	record(1, other, "other")
	read := func(walk func(context.Context, *store.Table, func(audit.Event) bool) error, most int) (targets []string) {
		t.Helper()
		wantErr(t, f, walk(t.Context(), through, func(e audit.Event) bool {
			targets = append(targets, e.Target)
			return len(targets) < most
		}), nil)
		return targets
	}
	between := func(from, to time.Duration) func(context.Context, *store.Table, func(audit.Event) bool) error {
		return func(ctx context.Context, s *store.Table, each func(audit.Event) bool) error {
			return s.Events(ctx, entity, audit.Period{From: storetest.Now.Add(from), To: storetest.Now.Add(to)}, each)
		}
	}
	everything := func(ctx context.Context, s *store.Table, each func(audit.Event) bool) error {
		return s.EveryEvent(ctx, audit.Period{From: longAgo, To: farOff}, each)
	}
	for name, c := range map[string]struct {
		walk func(context.Context, *store.Table, func(audit.Event) bool) error
		most int
		want []string
	}{
		"all of one entity":           {between(-24*time.Hour, 24*time.Hour), 100, []string{"5", "4", "7", "2", "1", "0", "3", "6"}},
		"the first three":             {between(-24*time.Hour, 24*time.Hour), 3, []string{"5", "4", "7"}},
		"both bounds are included":    {between(-time.Second, time.Second), 100, []string{"4", "7", "2", "1", "0", "3"}},
		"one second":                  {between(0, 0), 100, []string{"7", "2", "1", "0"}},
		"from the second after":       {between(time.Second, time.Hour), 100, []string{"5", "4"}},
		"until the second before":     {between(-time.Hour, -time.Second), 100, []string{"3", "6"}},
		"from within a second":        {between(time.Millisecond, time.Hour), 100, []string{"5", "4"}},
		"until within a second":       {between(-time.Hour, -time.Millisecond), 100, []string{"3", "6"}},
		"between two seconds":         {between(time.Millisecond, 900*time.Millisecond), 100, nil},
		"from after until before":     {between(time.Hour, -time.Hour), 100, nil},
		"everything, newest first":    {everything, 100, []string{"5", "other", "4", "7", "2", "1", "0", "3", "6"}},
		"the first two of everything": {everything, 2, []string{"5", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(c.walk, c.most)
			wantEqual(t, "targets", got, c.want)
		})
	}
}

// Breaks if the trail says that a token was used before it was issued, because another instance
// wrote that, or if events of earlier versions cannot be read or leave their second.
func TestEventsOfInstancesAreInOrder(t *testing.T) {
	t.Parallel()
	f := open(t)
	entity := audit.AccountEntity(58)
	var want []string
	for i, instance := range []*store.Table{f.Through(f.Client), f.Through(f.Client), f.Through(f.Client)} {
		for written := range 3 { // the instances take turns, and each has started at any number
			at := time.Duration(written*3+i) * time.Millisecond
			store.WriteAt(instance, storetest.Now.Add(at))
			wantErr(t, f, instance.Record(t.Context(), updated(entity, 0, at.String())), nil)
			want = append(want, at.String())
		}
	}
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(b, a) })
	earlier := func(seconds int, number int64) string {
		second := storetest.Now.Add(time.Duration(seconds) * time.Second)
		id := audit.FirstID(second) | number
		target := fmt.Sprint("earlier ", id)
		for _, pk := range []string{"AUDIT#USER#58", fmt.Sprintf("AUDIT#EVERY#%02d", id%16)} {
			sk := fmt.Sprintf("%016d#RANDOM", id)
			for name, value := range map[string]types.AttributeValue{
				"at": storetest.N(fmt.Sprint(second.Unix())), "name": storetest.S("user_updated"), "entity_type": storetest.S("User"),
				"entity_id": storetest.N("58"), "source": storetest.S("admin"), "target": storetest.S(target),
			} {
				f.Set(t, pk, sk, name, value)
			}
		}
		read, err := f.Store.Event(t.Context(), id)
		wantErr(t, f, err, nil)
		if read.ID != id || read.Target != target || !read.At.Equal(second) {
			t.Errorf("by id: %+v", read)
		}
		return target
	}
	want = append([]string{earlier(1, 5), earlier(1, 4)}, want...)
	want = append(want, earlier(-1, 1<<23-1))
	for name, walk := range map[string]func(func(audit.Event) bool) error{
		"of an entity": func(each func(audit.Event) bool) error {
			return f.Store.Events(t.Context(), entity, audit.Period{From: longAgo, To: farOff}, each)
		},
		"of all entities": func(each func(audit.Event) bool) error {
			return f.Store.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff}, each)
		},
	} {
		var got []string
		wantErr(t, f, walk(func(e audit.Event) bool {
			got = append(got, e.Target)
			return true
		}), nil)
		wantEqual(t, name, got, want)
	}
}

// Breaks if a list that goes on from a place misses an event or has one twice, also among events with the same
// id, which two instances may assign.
func TestEventsGoOnBehindAPlace(t *testing.T) {
	t.Parallel()
	f := open(t)
	entity := audit.AccountEntity(58)
	for i := range 12 {
		wantErr(t, f, f.Store.Record(t.Context(), updated(entity, i%5, fmt.Sprint(i))), nil)
	}
	twin := eventsOf(t, f, entity)[4]
	for _, pk := range []string{"AUDIT#USER#58", fmt.Sprintf("AUDIT#EVERY#%02d", twin.ID%16)} {
		for _, random := range []string{"A", "z"} { // one in front of the event, and one behind it
			for name, value := range map[string]types.AttributeValue{
				"at": storetest.N(fmt.Sprint(twin.At.Unix())), "name": storetest.S("user_updated"), "entity_type": storetest.S("User"),
				"entity_id": storetest.N("58"), "source": storetest.S("admin"), "target": storetest.S("twin " + random),
			} {
				f.Set(t, pk, fmt.Sprintf("%016d#%s", twin.ID, random), name, value)
			}
		}
	}
	for name, walk := range map[string]func(audit.Period, func(audit.Event) bool) error{
		"of an entity": func(in audit.Period, each func(audit.Event) bool) error {
			return f.Store.Events(t.Context(), entity, in, each)
		},
		"of all entities": func(in audit.Period, each func(audit.Event) bool) error {
			return f.Store.EveryEvent(t.Context(), in, each)
		},
	} {
		var all, some []string
		in := audit.Period{From: longAgo, To: farOff}
		wantErr(t, f, walk(in, func(e audit.Event) bool {
			all = append(all, e.Target)
			return true
		}), nil)
		for before := -1; before < len(some) && len(some) < 30; {
			before = len(some)
			wantErr(t, f, walk(in, func(e audit.Event) bool {
				some, in.Behind = append(some, e.Target), e.Place
				return (len(some)-before)%3 != 0
			}), nil)
		}
		if len(all) != 14 {
			t.Errorf("%s: %d events", name, len(all))
		}
		wantEqual(t, name, some, all)
	}
	var behind []audit.Event
	wantErr(t, f, f.Store.Events(t.Context(), entity, audit.Period{From: storetest.Now.Add(time.Hour), To: farOff, Behind: fmt.Sprintf("%016d#A", twin.ID)}, collect(&behind)), nil)
	wantEqual(t, "events of a period that is over", behind, nil)
}

func TestEventsComeInPages(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	entity := audit.AccountEntity(58)
	const count = 230
	batch := make([]audit.Event, 0, 20)
	for i := range count {
		batch = append(batch, updated(entity, i/cap(batch)*cap(batch), fmt.Sprint(i)))
		if len(batch) == cap(batch) || i == count-1 {
			wantErr(t, f, f.Store.Record(t.Context(), batch...), nil)
			batch = batch[:0]
		}
	}
	through := f.Through(proxy.Client())
	for name, c := range map[string]struct {
		walk  func(each func(audit.Event) bool) error
		first int // requests for the first 20 events
		all   int // requests for all
	}{
		"of an entity": {func(each func(audit.Event) bool) error {
			return through.Events(t.Context(), entity, audit.Period{From: longAgo, To: farOff}, each)
		}, 1, 3},
		"of all entities": {func(each func(audit.Event) bool) error {
			return through.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff}, each)
		}, 16, 16},
		"of somebody without events": {func(each func(audit.Event) bool) error {
			return through.Events(t.Context(), audit.AccountEntity(59), audit.Period{From: longAgo, To: farOff}, each)
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, most := range []int{20, count} {
				proxy.Reset()
				seen := 0
				var last audit.Event
				wantErr(t, f, c.walk(func(e audit.Event) bool {
					if seen > 0 && e.ID >= last.ID {
						t.Errorf("event %d comes after %d", e.ID, last.ID)
					}
					last = e
					seen++
					return seen < most
				}), nil)
				want := map[bool]int{true: c.first, false: c.all}[most == 20]
				if got := proxy.Counts()["Query"]; got != want || len(proxy.Counts()) != 1 {
					t.Errorf("%d events cost %v, want %d queries", seen, proxy.Counts(), want)
				}
			}
		})
	}
	t.Run("an empty trail costs one request a part, whatever the range", func(t *testing.T) {
		empty := open(t)
		proxy.Reset()
		table := store.Open(proxy.Client(), empty.Name, store.Options{Shards: storetest.Shards})
		wantErr(t, f, table.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff}, func(audit.Event) bool { return true }), nil)
		if got := proxy.Counts()["Query"]; got != 16 {
			t.Errorf("%d requests", got)
		}
	})
}

// Breaks if a page of the list of all events costs what 100 events of every shard cost, or if the page behind it
// costs more than the first one.
func TestAPageOfAllEventsCostsWhatItHolds(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 30 { // they go to all shards in turn
		batch := make([]audit.Event, 16)
		for j := range batch {
			batch[j] = updated(audit.AccountEntity(58), i, "somebody@example.test")
			batch[j].Author, batch[j].Address, batch[j].RequestID = 1, "203.0.113.7", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
		}
		wantErr(t, f, f.Store.Record(t.Context(), batch...), nil)
	}
	var queries int
	var units float64
	var mu sync.Mutex
	meter := middleware.InitializeMiddlewareFunc("meter", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		in.Parameters.(*dynamodb.QueryInput).ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		out, metadata, err := next.HandleInitialize(ctx, in)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			queries++
			units += *out.Result.(*dynamodb.QueryOutput).ConsumedCapacity.CapacityUnits
		}
		return out, metadata, err
	})
	through := f.Through(storetest.NewProxy(t, storetest.Endpoint(t)).Client(func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(meter, middleware.Before) })
	}))
	for _, size := range []int{1, 20, 100} {
		in := audit.Period{From: longAgo, To: farOff, Expected: size + 1}
		for _, which := range []string{"first", "next"} {
			queries, units = 0, 0
			seen, place := 0, ""
			wantErr(t, f, through.EveryEvent(t.Context(), in, func(e audit.Event) bool {
				if seen++; seen == size {
					place = e.Place
				}
				return seen <= size // one more says whether a page follows
			}), nil)
			if seen != size+1 || queries != 16 || units != 16 { // one of each for a shard is the least
				t.Errorf("the %s page of %d: %d events, %d queries, %g read units", which, size, seen, queries, units)
			}
			in.Behind = place
		}
	}
}

// Breaks if a list stops in a shard that has more of the next events than anybody has expected, or asks the
// shards one after the other where many have to give more.
func TestAllEventsGoOnInTheShardThatHasThem(t *testing.T) {
	t.Parallel()
	f := open(t)
	var want []string
	for i := range 40 { // all in one shard
		id := audit.FirstID(storetest.Now.Add(time.Hour)) + int64(16*i+3)
		target := fmt.Sprint("one shard ", i)
		for name, value := range map[string]types.AttributeValue{
			"at": storetest.N(fmt.Sprint(storetest.Now.Add(time.Hour).Unix())), "name": storetest.S("user_updated"), "entity_type": storetest.S("User"),
			"entity_id": storetest.N("58"), "source": storetest.S("admin"), "target": storetest.S(target),
		} {
			f.Set(t, "AUDIT#EVERY#03", fmt.Sprintf("%016d#RANDOM", id), name, value)
		}
		want = append([]string{target}, want...)
	}
	for i := range 20 { // in all shards
		batch := make([]audit.Event, 16)
		for j := range batch {
			batch[j] = updated(audit.AccountEntity(58), -i, fmt.Sprint("all shards ", i, " ", j))
		}
		for _, e := range slices.Backward(batch) {
			want = append(want, e.Target)
		}
		wantErr(t, f, f.Store.Record(t.Context(), batch...), nil)
	}
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	for _, expected := range []int{0, 1, 20, len(want)} {
		var got []string
		wantErr(t, f, through.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff, Expected: expected}, func(e audit.Event) bool {
			got = append(got, e.Target)
			return true
		}), nil)
		wantEqual(t, fmt.Sprintf("events if %d are expected", expected), got, want)
	}
	proxy.Reset()
	seen := 0
	wantErr(t, f, through.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff, Expected: 20}, func(audit.Event) bool {
		seen++
		return seen < 40
	}), nil)
	if got := proxy.Counts()["Query"]; got < 17 || got > 19 { // 9, 18 and 36 of one shard
		t.Errorf("%d queries for the events of one shard", got)
	}
	proxy.Reset()
	seen = 0
	wantErr(t, f, through.EveryEvent(t.Context(), audit.Period{From: longAgo, To: storetest.Now, Expected: 20}, func(audit.Event) bool {
		seen++
		return seen <= 16*8+1 // the first of them has used up the nine that it gave
	}), nil)
	if got := proxy.Counts()["Query"]; got != 32 {
		t.Errorf("%d queries for the events of all shards, which have to give more at the same time", got)
	}
}

// One item that makes no sense must not hide all others.
func TestMalformedEventsArePassedOver(t *testing.T) {
	t.Parallel()
	f := open(t)
	table, faults := reporting(f)
	entity := audit.AccountEntity(58)
	for i := range 3 {
		wantErr(t, f, f.Store.Record(t.Context(), updated(entity, i, fmt.Sprint(i))), nil)
	}
	middle := eventsOf(t, f, entity)[1]
	for name := range f.Snapshot(t) {
		if pk, sk, _ := strings.Cut(name, " / "); strings.HasPrefix(sk, fmt.Sprintf("%016d#", middle.ID)) {
			f.Set(t, pk, sk, "at", storetest.S("yesterday"))
		}
	}
	for _, walk := range []func(func(audit.Event) bool) error{
		func(each func(audit.Event) bool) error {
			return table.Events(t.Context(), entity, audit.Period{From: longAgo, To: farOff}, each)
		},
		func(each func(audit.Event) bool) error {
			return table.EveryEvent(t.Context(), audit.Period{From: longAgo, To: farOff}, each)
		},
	} {
		*faults = nil
		var events []audit.Event
		wantErr(t, f, walk(collect(&events)), nil)
		if len(events) != 2 || events[0].Target != "2" || events[1].Target != "0" || len(*faults) != 1 {
			t.Errorf("events %+v, faults %v", events, *faults)
		}
	}
	_, err := table.Event(t.Context(), middle.ID)
	wantErr(t, f, err, fault.ErrCorrupt)
}

// What an event costs: its two items.
func TestAnEventAddsTwoItems(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	u := f.AddAccount(t)
	s := f.Through(proxy.Client(func(*dynamodb.Options) {}))
	wantErr(t, f, s.SetAccountState(t.Context(), u.ID, account.Active, account.Blocked, told), nil)
	requests := proxy.Requests()
	if len(requests) != 1 || requests[0].Operation != "TransactWriteItems" {
		t.Fatalf("%v", proxy.Counts())
	}
	if items := decode(t, requests[0].Body)["TransactItems"].([]any); len(items) != 3 {
		t.Errorf("%d items, want the profile and two of the event", len(items))
	}
}
