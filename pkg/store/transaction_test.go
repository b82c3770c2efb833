package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// A write is one of the store's writes, on something of its own.
type write struct {
	name   string
	method string // of the Table
	// prepare makes what is written to. run writes through s, and check fails the
	// test when the write is not there as run reported it.
	prepare func(*testing.T, *storetest.Fixture) (run change, check func(*testing.T))
}

// A change is made through a table together with its event.
type change func(context.Context, *store.Table, audit.Event) error

// operation is the request that makes every change.
const operation = "TransactWriteItems"

var writes = []write{
	{"create", "CreateToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		tok, use := f.Candidate(t, owner), f.Use(t, "create "+owner.Username, storetest.Now)
		var made token.Token
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.CreateToken(ctx, owner, tok, &use, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "tokens", stored, []token.Token{made})
				if made.ID.Number() != 1 || f.Fresh(t, owner).NextNumber != 2 {
					t.Errorf("number %d, next %d", made.ID.Number(), f.Fresh(t, owner).NextNumber)
				}
				stands, err := f.Store.Use(t.Context(), use.Handle)
				wantErr(t, f, err, nil)
				wantEqual(t, "use", stands, use)
			}
	}},
	{"rotate", "RotateToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		old := f.AddToken(t, owner)
		owner = f.Fresh(t, owner)
		next := f.Successor(t, owner, old)
		var made token.Token
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.RotateToken(ctx, owner, old, next, nil, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
				wantErr(t, f, err, nil)
				ended := old
				ended.RevokedAt, ended.RevokedReason = next.CreatedAt, token.ReasonRotated
				wantEqual(t, "tokens", stored, []token.Token{ended, made})
				newest, err := f.Store.Newest(t.Context(), old.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "newest", newest, made)
			}
	}},
	{"rotate with an overlap", "RotateToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		old := storetest.Overlapping(f.AddToken(t, owner), time.Minute)
		owner = f.Fresh(t, owner)
		next, use := f.Successor(t, owner, old), f.Use(t, "overlap "+owner.Username, storetest.Now)
		var made token.Token
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.RotateToken(ctx, owner, old, next, &use, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "tokens", stored, []token.Token{old, made})
				newest, err := f.Store.Newest(t.Context(), old.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "newest", newest, made)
				stands, err := f.Store.Use(t.Context(), use.Handle)
				wantErr(t, f, err, nil)
				wantEqual(t, "use", stands, use)
			}
	}},
	{"revoke a bot's token in its overlap", "RevokeToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := f.AddProject(t, project.KindGroup)
		old := storetest.Overlapping(f.AddBot(t, proj), time.Hour)
		bot := f.Fresh(t, account.Account{ID: old.Owner})
		next, err := f.Store.RotateToken(t.Context(), bot, old, f.Successor(t, bot, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		ended := storetest.Revoked(old)
		return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.RevokeToken(ctx, ended, e) }, func(t *testing.T) {
			stored, err := f.Store.TokensOfProject(t.Context(), proj.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "tokens", stored, []token.Token{ended, next})
			wantBot(t, f, proj, next, "_bot")
		}
	}},
	{"revoke", "RevokeToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		ended := storetest.Revoked(f.AddToken(t, f.AddAccount(t)))
		return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.RevokeToken(ctx, ended, e) }, func(t *testing.T) {
			stored, err := f.Store.Token(t.Context(), ended.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "token", stored, ended)
		}
	}},
	{"create a bot", "CreateProjectToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := f.AddProject(t, project.KindProject)
		bot, tok := f.Bot(proj)
		use := f.Use(t, "create a bot of "+proj.ID.String(), storetest.Now)
		last, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, nil)
		var made token.Token
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.CreateProjectToken(ctx, proj, bot, tok, f.Mint(t, &use), e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.TokensOfProject(t.Context(), proj.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "tokens", stored, []token.Token{made})
				wantBot(t, f, proj, made, "_bot")
				if made.Owner != last+1 {
					t.Errorf("bot %d after account %d", made.Owner, last)
				}
				stands, err := f.Store.Use(t.Context(), use.Handle)
				wantErr(t, f, err, nil)
				wantEqual(t, "use", stands, use)
			}
	}},
	{"rotate a bot's token", "RotateToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := f.AddProject(t, project.KindGroup)
		old := f.AddBot(t, proj)
		bot := f.Fresh(t, account.Account{ID: old.Owner})
		next := f.Successor(t, bot, old)
		next.ExpiresOn = old.ExpiresOn.AddDays(3)
		var made token.Token
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.RotateToken(ctx, bot, old, next, nil, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.TokensOfProject(t.Context(), proj.ID)
				wantErr(t, f, err, nil)
				ended := old
				ended.RevokedAt, ended.RevokedReason = next.CreatedAt, token.ReasonRotated
				wantEqual(t, "tokens", stored, []token.Token{ended, made})
				wantBot(t, f, proj, made, "_bot")
			}
	}},
	{"end a bot", "RevokeToken", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := f.AddProject(t, project.KindProject)
		ended := storetest.Revoked(f.AddBot(t, proj))
		gone := goneAccounts(t, f)
		return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.RevokeToken(ctx, ended, e) }, func(t *testing.T) {
			stored, err := f.Store.Token(t.Context(), ended.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "token", stored, ended)
			wantNoBot(t, f, proj, ended)
			if now := goneAccounts(t, f); now != gone+1 {
				t.Errorf("%d accounts are gone, after %d", now, gone)
			}
		}
	}},
	{"create account", "CreateAccount", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		u := f.Account(f.AddAccount(t).Username + "-2")
		last, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, nil)
		var made account.Account
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.CreateAccount(ctx, u, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.AccountByName(t.Context(), u.Username)
				wantErr(t, f, err, nil)
				wantEqual(t, "account", stored, made)
				if made.ID != last+1 {
					t.Errorf("id %d after %d", made.ID, last)
				}
			}
	}},
	{"block", "SetAccountState", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		u := f.AddAccount(t)
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.SetAccountState(ctx, u.ID, account.Active, account.Blocked, e)
			}, func(t *testing.T) {
				if state := f.Fresh(t, u).State; state != account.Blocked {
					t.Errorf("the account is %s", state)
				}
			}
	}},
	switchesSet, switchesCleared,
	{"revoke everything", "RevokeEverything", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.RevokeEverything(ctx, owner.ID, e)
			}, func(t *testing.T) {
				if validFrom := f.Fresh(t, owner).TokensValidFrom; !tok.RevokedIn(storetest.Now, validFrom) {
					t.Errorf("the token is good; valid from %d", validFrom)
				}
			}
	}},
	{"create project", "CreateProject", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		last, err := f.Store.LastProjectID(t.Context())
		wantErr(t, f, err, nil)
		var made project.Project
		return func(ctx context.Context, s *store.Table, e audit.Event) (err error) {
				made, err = s.CreateProject(ctx, groupAt(owner.Username+"-group"), owner.ID, e)
				return err
			}, func(t *testing.T) {
				stored, err := f.Store.ProjectByPath(t.Context(), owner.Username+"-group")
				wantErr(t, f, err, nil)
				wantEqual(t, "project", stored, made)
				if made.ID != last+1 || direct(t, f, made, owner.ID).Level != project.Owner {
					t.Errorf("id %s after %s, with %v", made.ID, last, direct(t, f, made, owner.ID))
				}
			}
	}},
	{"add member", "AddMember", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
		m := memberIn(proj, f.AddAccount(t), project.Guest)
		return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.AddMember(ctx, m, nobody, e) },
			func(t *testing.T) { wantEqual(t, "member", direct(t, f, proj, m.Account), m) }
	}},
	{"change member", "ChangeMember", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
		m := joined(t, f, memberIn(proj, f.AddAccount(t), project.Guest))
		after := m
		after.Level = project.Developer
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.ChangeMember(ctx, m, after, nobody, []audit.Event{e})
			},
			func(t *testing.T) { wantEqual(t, "member", direct(t, f, proj, m.Account), after) }
	}},
	{"remove member", "RemoveMember", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
		m := joined(t, f, memberIn(proj, f.AddAccount(t), project.Guest))
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.RemoveMember(ctx, m, nobody, e)
			}, func(t *testing.T) {
				wantEqual(t, "member", direct(t, f, proj, m.Account), nobody)
				left, err := f.Store.Memberships(t.Context(), m.Account)
				wantErr(t, f, err, nil)
				wantEqual(t, "memberships", len(left), 0)
			}
	}},
	{"update project", "UpdateProject", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
		after := proj
		after.Name, after.Description, after.Visibility = "other", "d", "public"
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.UpdateProject(ctx, proj, after, []audit.Event{e})
			}, func(t *testing.T) {
				stored, err := f.Store.Project(t.Context(), proj.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "project", stored, after)
			}
	}},
	{"close project", "CloseProject", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		proj := made(t, f, projectOf(f.AddAccount(t), "p"), 0)
		return func(ctx context.Context, s *store.Table, e audit.Event) error { return s.CloseProject(ctx, proj.ID, e) },
			func(t *testing.T) {
				stored, err := f.Store.Project(t.Context(), proj.ID)
				wantErr(t, f, err, nil)
				proj.Closing = true
				wantEqual(t, "project", stored, proj)
			}
	}},
	{"delete project", "DeleteProject", func(t *testing.T, f *storetest.Fixture) (change, func(*testing.T)) {
		owner := f.AddAccount(t)
		proj := made(t, f, projectOf(owner, "p"), owner.ID)
		wantErr(t, f, f.Store.CloseProject(t.Context(), proj.ID, storetest.Event), nil)
		return func(ctx context.Context, s *store.Table, e audit.Event) error {
				return s.DeleteProject(ctx, proj, owner.ID, []audit.Event{e})
			}, func(t *testing.T) {
				_, err := f.Store.Project(t.Context(), proj.ID)
				wantErr(t, f, err, fault.ErrNotFound)
				wantEqual(t, "member", direct(t, f, proj, owner.ID), nobody)
				in, err := f.Store.InAccount(t.Context(), owner.ID)
				wantErr(t, f, err, nil)
				wantEqual(t, "children", len(in), 0)
			}
	}},
}

// hostile is what an engine's message may repeat of a request.
func hostile(f *storetest.Fixture) string {
	return "1 validation error detected: Value '{" + f.Secrets() + "}' at 'requestItems' failed to satisfy constraint"
}

// conflict refuses operation because another transaction is under way.
func conflict(operation string) storetest.Action {
	if operation == "UpdateItem" {
		return storetest.Refuse("TransactionConflictException", "Transaction is ongoing for the item")
	}
	return storetest.Cancel("TransactionConflict", "None", "None")
}

// busy refuses operation for want of capacity.
func busy(operation string) storetest.Action {
	if operation == "UpdateItem" {
		return storetest.Refuse("ThrottlingException", "Rate of requests exceeds the allowed throughput.")
	}
	return storetest.Cancel("ThrottlingError", "None", "None")
}

// A committed write that is answered with an error is tried again by people and
// programs: it would make a second token, or hide that a leaked one has ended.
// This guards promise 9 of the architecture.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	var (
		lose     = storetest.LoseReply
		throttle = storetest.Refuse("ProvisionedThroughputExceededException", "slow down")
	)
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			impatient := []func(*dynamodb.Options){proxy.Impatient}
			for _, c := range []struct {
				name    string
				rule    storetest.Rule
				options []func(*dynamodb.Options)
			}{
				{"no fault", nil, nil},
				{"the first request is lost", storetest.First(operation, storetest.LoseRequest), nil},
				{"the first reply is lost", storetest.First(operation, lose), nil},
				{"the first reply is cut in the middle", storetest.First(operation, storetest.CutReply), nil},
				{"the first reply never comes", storetest.First(operation, storetest.HangAfter), impatient},
				{"the first request arrives when the client has given up", storetest.First(operation, storetest.Arrive), impatient},
				{"every reply is lost and only the read gets through", storetest.On(operation, lose), nil},
				{"every reply is cut in the middle", storetest.On(operation, storetest.CutReply), nil},
				{"every reply never comes", storetest.On(operation, storetest.HangAfter), impatient},
				{"every reply is a server error", storetest.On(operation, storetest.AnswerInstead(http.StatusInternalServerError, `{}`)), nil},
				{"every reply is somebody else's page", storetest.On(operation, storetest.AnswerInstead(http.StatusBadGateway, `<html>bad gateway</html>`)), nil},
				{"every reply is garbage", storetest.On(operation, storetest.AnswerInstead(http.StatusOK, `<html>`)), nil},
				{"a lost reply, then throttles", storetest.First(operation, lose, throttle, throttle), nil},
				{"a lost reply, then collisions", storetest.First(operation, lose, conflict(operation), conflict(operation)), nil},
				{"a lost reply, then collisions for ever", func(op string, n int) storetest.Action {
					switch {
					case op != operation:
						return nil
					case n == 1:
						return lose
					default:
						return conflict(op)
					}
				}, nil},
				{"a lost reply, then no capacity", storetest.First(operation, lose, busy(operation), throttle, throttle), nil},
				{"two lost replies, then a refusal", storetest.First(operation, lose, lose, storetest.Refuse("AccessDeniedException", "no")), nil},
			} {
				t.Run(c.name, func(t *testing.T) {
					run, check := w.prepare(t, f)
					proxy.Fail(c.rule)
					wantErr(t, f, run(t.Context(), f.Through(proxy.Client(c.options...)), storetest.Event), nil)
					check(t)
				})
			}

			t.Run("the caller gives up after the write", func(t *testing.T) {
				run, check := w.prepare(t, f)
				ctx, cancel := context.WithCancel(t.Context())
				proxy.Fail(storetest.On(operation, storetest.After(cancel)))
				wantErr(t, f, run(ctx, f.Through(proxy.Client()), storetest.Event), nil)
				check(t)
			})
		})
	}
}

// What was not written is not reported as written, and nothing is half written.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			cases := map[string]storetest.Rule{
				"every request is lost":         storetest.On(operation, storetest.LoseRequest),
				"every request hangs":           storetest.On(operation, storetest.HangBefore),
				"nothing gets through":          storetest.Always(storetest.LoseRequest),
				"collisions for ever":           storetest.On(operation, conflict(operation)),
				"no capacity":                   storetest.On(operation, busy(operation)),
				"a server error":                storetest.On(operation, storetest.Answer(http.StatusInternalServerError, `{}`)),
				"a server error without a body": storetest.On(operation, storetest.Answer(http.StatusServiceUnavailable, ``)),
				"a reply of garbage":            storetest.On(operation, storetest.Answer(http.StatusOK, `<html>`)),
				"a reply that is a list":        storetest.On(operation, storetest.Answer(http.StatusOK, `[1]`)),
				"a message that repeats the request": storetest.On(operation, func(x *storetest.Exchange) {
					storetest.Refuse("ValidationException", hostile(f))(x)
				}),
			}
			for _, code := range []string{
				"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
				"InternalServerError", "AccessDeniedException", "ResourceNotFoundException", "TransactionInProgressException",
			} {
				cases[code] = storetest.On(operation, storetest.Refuse(code, "no"))
			}
			for name, rule := range cases {
				t.Run(name, func(t *testing.T) {
					run, _ := w.prepare(t, f)
					before := f.Snapshot(t)
					proxy.Fail(rule)
					wantErr(t, f, run(t.Context(), f.Through(proxy.Client(proxy.Impatient)), storetest.Event), fault.ErrUnavailable)
					wantUnchanged(t, f, before)
				})
			}

			t.Run("a caller who has given up writes nothing", func(t *testing.T) {
				run, _ := w.prepare(t, f)
				before := f.Snapshot(t)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				proxy.Fail(nil)
				err := run(ctx, f.Through(proxy.Client()), storetest.Event)
				wantErr(t, f, err, fault.ErrUnavailable)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("err = %v does not say that the caller gave up", err)
				}
				wantUnchanged(t, f, before)
			})
		})
	}
}

// The first of two revocations that is lost must not be taken for done because
// of what somebody else did, nor for lost because a token was made since.
func TestReadBackTellsWritesApart(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))

	t.Run("everything was revoked and a token made before the read", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		reads := 0
		proxy.Fail(func(op string, _ int) storetest.Action {
			switch op {
			case operation:
				return storetest.LoseReply
			case "GetItem":
				if reads++; reads == 2 {
					return storetest.Meanwhile(func() { f.AddToken(t, owner) })
				}
			}
			return nil
		})
		wantErr(t, f, f.Through(proxy.Client()).RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
	})

	t.Run("nothing was revoked and a token made before the read", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		proxy.Fail(storetest.On(operation, storetest.LoseRequest))
		wantErr(t, f, f.Through(proxy.Client()).RevokeEverything(t.Context(), owner.ID, storetest.Event), fault.ErrUnavailable)
	})

	t.Run("a username that somebody else took meanwhile is not this account's", func(t *testing.T) {
		mine, theirs := f.Account("wanted"), f.Account("Wanted")
		theirs.Username = mine.Username
		proxy.Fail(func(op string, n int) storetest.Action {
			if op != "TransactWriteItems" {
				return nil
			}
			return func(x *storetest.Exchange) {
				if n == 1 {
					if _, err := f.Store.CreateAccount(context.Background(), theirs, storetest.Event); err != nil {
						t.Error(err)
					}
				}
				storetest.LoseRequest(x)
			}
		})
		_, err := f.Through(proxy.Client()).CreateAccount(t.Context(), mine, storetest.Event)
		wantErr(t, f, err, fault.ErrUnavailable)
	})

	t.Run("a chosen value that somebody else took meanwhile is not this token's", func(t *testing.T) {
		owner := f.AddAccount(t)
		mine := f.Candidate(t, owner)
		theirs := mine
		theirs.Scopes = theirs.Scopes[:1]
		proxy.Fail(func(op string, n int) storetest.Action {
			if op != "TransactWriteItems" {
				return nil
			}
			return func(x *storetest.Exchange) {
				if n == 1 {
					if _, err := f.Store.CreateToken(context.Background(), owner, theirs, nil, storetest.Event); err != nil {
						t.Error(err)
					}
				}
				storetest.LoseRequest(x)
			}
		})
		_, err := f.Through(proxy.Client()).CreateToken(t.Context(), owner, mine, nil, storetest.Event)
		wantErr(t, f, err, fault.ErrUnavailable)
	})
}

// A retry with another client request token would meet its own items.
func TestTransactionsKeepTheirRequestToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	owner := f.AddAccount(t)
	proxy.Fail(storetest.First("TransactWriteItems", storetest.LoseReply, conflict("TransactWriteItems"), conflict("TransactWriteItems")))
	_, err := f.Through(proxy.Client()).CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, storetest.Event)
	wantErr(t, f, err, nil)
	tokens := map[string]bool{}
	for _, r := range proxy.Requests() {
		if r.Operation == "TransactWriteItems" {
			tokens[fmt.Sprint(decode(t, r.Body)["ClientRequestToken"])] = true
		}
	}
	if n := proxy.Counts()["TransactWriteItems"]; n != 4 || len(tokens) != 1 || slices.Contains([]string{"", "<nil>"}, first(tokens)) {
		t.Errorf("%d requests with the tokens %v", n, tokens)
	}
}

func first(set map[string]bool) string {
	for member := range set {
		return member
	}
	return ""
}
