package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// A read is one of the store's reads; it returns what it found.
type read struct {
	name string
	run  func(context.Context, *store.Table) (any, error)
}

// reads returns every read there is, each of something that is there.
func reads(t *testing.T, f *storetest.Fixture) []read {
	t.Helper()
	owner := f.AddAccount(t)
	use := f.Use(t, "read "+owner.Username, storetest.Now)
	old, err := f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), &use, storetest.Event)
	wantErr(t, f, err, nil)
	tok, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
	wantErr(t, f, err, nil)
	wantErr(t, f, f.Store.SaveSettings(t.Context(), someSettings(1), storetest.Events), nil)
	ofBot := f.AddBot(t, f.AddProject(t, project.KindProject))
	proj := made(t, f, groupAt("read-"+owner.Username), owner.ID)
	made(t, f, projectAt("child", proj), 0)
	made(t, f, projectOf(owner, "own"), 0)
	check := func(hint account.ID) func(context.Context, *store.Table) (any, error) {
		return func(ctx context.Context, s *store.Table) (any, error) {
			got, acct, err := s.Check(ctx, []secret.Digest{tok.Digest}, hint, nil)
			return struct {
				token token.Token
				acct  account.Account
			}{got, acct}, err
		}
	}
	storetest.PutMember(t, f.Client, f.Name, project.Member{Project: 3, Account: owner.ID, Level: project.Owner})
	wantErr(t, f, f.Store.Record(t.Context(), audit.OfAccount(storetest.Now, audit.Origin{Source: audit.Admin}, audit.SudoUsed, owner)), nil)
	trail := eventsOf(t, f, audit.AccountEntity(owner.ID))
	if len(trail) != 1 {
		t.Fatalf("%d events", len(trail))
	}
	return []read{
		{"events", func(ctx context.Context, s *store.Table) (any, error) {
			var events []audit.Event
			err := s.Events(ctx, audit.AccountEntity(owner.ID), audit.Period{From: storetest.Now, To: storetest.Now}, collect(&events))
			return events, err
		}},
		{"every event", func(ctx context.Context, s *store.Table) (any, error) {
			var events []audit.Event
			err := s.EveryEvent(ctx, audit.Period{From: storetest.Now, To: storetest.Now}, collect(&events))
			return events, err
		}},
		{"event", func(ctx context.Context, s *store.Table) (any, error) { return s.Event(ctx, trail[0].ID) }},
		{"members in", func(ctx context.Context, s *store.Table) (any, error) {
			members, _, err := membersIn(ctx, s, 3)
			return members, err
		}},
		{"check with a hint", check(owner.ID)},
		{"check without a hint", check(0)},
		{"token by id", func(ctx context.Context, s *store.Table) (any, error) { return s.Token(ctx, tok.ID) }},
		{"token by digest", func(ctx context.Context, s *store.Table) (any, error) { return s.TokenByDigest(ctx, tok.Digest) }},
		{"tokens by digest", func(ctx context.Context, s *store.Table) (any, error) {
			return s.TokensByDigest(ctx, []secret.Digest{tok.Digest})
		}},
		{"newest", func(ctx context.Context, s *store.Table) (any, error) { return s.Newest(ctx, old.ID) }},
		{"use", func(ctx context.Context, s *store.Table) (any, error) { return s.Use(ctx, use.Handle) }},
		{"user", func(ctx context.Context, s *store.Table) (any, error) { return s.Account(ctx, owner.ID) }},
		{"account by name", func(ctx context.Context, s *store.Table) (any, error) { return s.AccountByName(ctx, owner.Username) }},
		{"users", func(ctx context.Context, s *store.Table) (any, error) {
			var accts []account.Account
			return accts, s.Accounts(ctx, []account.ID{owner.ID}, func(u account.Account) { accts = append(accts, u) })
		}},
		readSwitches(t, f, owner), readSwitchesFor(t, f, owner),
		{"last user id", func(ctx context.Context, s *store.Table) (any, error) { return s.LastAccountID(ctx) }},
		{"tokens of owner", func(ctx context.Context, s *store.Table) (any, error) { return s.TokensOfOwner(ctx, owner.ID) }},
		{"page of owner", func(ctx context.Context, s *store.Table) (any, error) {
			var page []token.Token
			_, err := s.WalkOwner(ctx, owner.ID, token.Walk{First: 20, Limit: 20, Count: true, Now: storetest.Now}, func(tok token.Token) bool {
				page = append(page, tok)
				return true
			})
			return page, err
		}},
		{"page of all tokens", func(ctx context.Context, s *store.Table) (any, error) {
			var page []token.Token
			_, err := s.WalkTokens(ctx, token.Walk{First: 20, Limit: 20, Now: storetest.Now}, func(tok token.Token, _ account.Account) bool {
				page = append(page, tok)
				return true
			})
			return page, err
		}},
		{"whether the directory is complete", func(ctx context.Context, s *store.Table) (any, error) { return s.DirectoryComplete(ctx) }},
		{"tokens of project", func(ctx context.Context, s *store.Table) (any, error) { return s.TokensOfProject(ctx, ofBot.Project) }},
		{"settings", func(ctx context.Context, s *store.Table) (any, error) { return s.Settings(ctx) }},
		{"settings of tokens", func(ctx context.Context, s *store.Table) (any, error) { return s.TokenSettings(ctx) }},
		{"lifetime run", func(ctx context.Context, s *store.Table) (any, error) {
			days, from, err := s.LifetimeRun(ctx)
			return struct {
				days int
				from time.Time
			}{days, from}, err
		}},
		{"page of tokens", func(ctx context.Context, s *store.Table) (any, error) {
			tokens, _, err := s.PageOfTokens(ctx, owner.ID, "")
			return tokens, err
		}},
		{"every token", func(ctx context.Context, s *store.Table) (any, error) {
			var tokens []token.Token
			return tokens, s.EveryToken(ctx, func(tok token.Token, _ account.Account) { tokens = append(tokens, tok) })
		}},
		{"project", func(ctx context.Context, s *store.Table) (any, error) { return s.Project(ctx, proj.ID) }},
		{"project by path", func(ctx context.Context, s *store.Table) (any, error) { return s.ProjectByPath(ctx, proj.FullPath) }},
		{"projects by id", func(ctx context.Context, s *store.Table) (any, error) {
			var found []project.Project
			return found, s.ProjectsByID(ctx, []project.ID{proj.ID}, func(r project.Project) { found = append(found, r) })
		}},
		{"last project id", func(ctx context.Context, s *store.Table) (any, error) { return s.LastProjectID(ctx) }},
		{"in group", func(ctx context.Context, s *store.Table) (any, error) { return s.InGroup(ctx, proj.ID) }},
		{"in account", func(ctx context.Context, s *store.Table) (any, error) { return s.InAccount(ctx, owner.ID) }},
		{"standing", func(ctx context.Context, s *store.Table) (any, error) { return s.Standing(ctx, proj, owner.ID) }},
		{"members", func(ctx context.Context, s *store.Table) (any, error) { return s.Members(ctx, proj.ID) }},
		{"memberships", func(ctx context.Context, s *store.Table) (any, error) { return s.Memberships(ctx, owner.ID) }},
	}
}

// What cannot be read is not absent and not there: an authorizer that took an
// outage for "no such token" would be wrong, one that took it for a token worse.
// This guards promise 2 of the architecture.
func TestFailedReads(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	cases := map[string]storetest.Action{
		"every request is lost":      storetest.LoseRequest,
		"every reply is lost":        storetest.LoseReply,
		"every reply is cut":         storetest.CutReply,
		"a server error":             storetest.Answer(http.StatusInternalServerError, `{}`),
		"somebody else's page":       storetest.Answer(http.StatusBadGateway, `<html>`),
		"a page with status 200":     storetest.Answer(http.StatusOK, `<html>`),
		"half a reply":               storetest.Answer(http.StatusOK, `{"Item":{"pk":{"S":"TOKEN#`),
		"a list":                     storetest.Answer(http.StatusOK, `[]`),
		"a text":                     storetest.Answer(http.StatusOK, `"Item"`),
		"fields of the wrong types":  storetest.Answer(http.StatusOK, `{"Item":7,"Items":7,"Responses":7}`),
		"attributes of no type":      storetest.Answer(http.StatusOK, `{"Item":{"pk":7},"Items":[{"pk":7}],"Responses":{"`+f.Name+`":[{"pk":7}]}}`),
		"keys left unread for ever":  nil,
		"a message with the request": func(x *storetest.Exchange) { storetest.Refuse("ValidationException", hostile(f))(x) },
		"a request that hangs":       storetest.HangBefore,
		"a reply that never comes":   storetest.HangAfter,
	}
	for _, code := range []string{
		"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"InternalServerError", "AccessDeniedException", "ResourceNotFoundException", "ExpiredTokenException",
	} {
		cases[code] = storetest.Refuse(code, "no")
	}
	for _, r := range reads(t, f) {
		t.Run(r.name, func(t *testing.T) {
			proxy.Fail(nil)
			proxy.Reset()
			whole, err := r.run(t.Context(), f.Through(proxy.Client()))
			wantErr(t, f, err, nil)
			counts := proxy.Counts()
			if reflect.ValueOf(whole).IsZero() {
				t.Fatal("the read finds nothing even without a fault")
			}
			for name, action := range cases {
				t.Run(name, func(t *testing.T) {
					ctx := t.Context()
					switch name {
					case "keys left unread for ever":
						if counts["BatchGetItem"] == 0 {
							return
						}
						proxy.Fail(storetest.On("BatchGetItem", storetest.LeaveUnread(0)))
					case "a request that hangs", "a reply that never comes":
						// The caller's own patience; that of the client is shown below.
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
						defer cancel()
					}
					if action != nil {
						proxy.Fail(storetest.Always(action))
					}
					got, err := r.run(ctx, f.Through(proxy.Client()))
					wantErr(t, f, err, fault.ErrUnavailable)
					if !reflect.ValueOf(got).IsZero() {
						t.Errorf("something came with the error: %v", got)
					}
				})
			}
		})
	}
}

// The second of two reads fails as the first does.
func TestFailedSecondReads(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	for _, r := range reads(t, f) {
		t.Run(r.name, func(t *testing.T) {
			proxy.Fail(nil)
			proxy.Reset()
			_, err := r.run(t.Context(), f.Through(proxy.Client()))
			wantErr(t, f, err, nil)
			for broken := range proxy.Requests() {
				seen := 0
				proxy.Fail(func(string, int) storetest.Action {
					if seen++; seen > broken {
						return storetest.LoseRequest
					}
					return nil
				})
				got, err := r.run(t.Context(), f.Through(proxy.Client()))
				wantErr(t, f, err, fault.ErrUnavailable)
				if !reflect.ValueOf(got).IsZero() && r.name != "every token" {
					t.Errorf("something came with the error: %v", got)
				}
			}
		})
	}
}

// The SDK's own patience would be minutes.
func TestPatience(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner)

	t.Run("an attempt that hangs is given up and the next one answers", func(t *testing.T) {
		t.Parallel()
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.First("BatchGetItem", storetest.HangAfter, storetest.HangBefore))
		got, _, err := f.Through(proxy.Client(proxy.Impatient)).Check(t.Context(), []secret.Digest{tok.Digest}, owner.ID, nil)
		wantErr(t, f, err, nil)
		wantEqual(t, "token", got, tok)
	})

	t.Run("a check gives up after three attempts", func(t *testing.T) {
		t.Parallel()
		proxy.Fail(storetest.Always(storetest.HangBefore))
		_, _, err := f.Through(proxy.Client(storetest.AsDeployed)).Check(t.Context(), []secret.Digest{tok.Digest}, owner.ID, nil)
		wantErr(t, f, err, fault.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v does not say that time ran out", err)
		}
		wantEqual(t, "requests", proxy.Counts(), map[string]int{"BatchGetItem": 3})
	})

	t.Run("a last use that cannot be recorded is unavailable", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		for _, action := range []storetest.Action{
			storetest.LoseRequest, conflict("UpdateItem"), busy("UpdateItem"), storetest.Answer(http.StatusOK, `<html>`),
		} {
			proxy.Fail(storetest.On("UpdateItem", action))
			err := f.Through(proxy.Client()).MarkUsed(t.Context(), tok.Digest, storetest.Now, storetest.Now, nil)
			wantErr(t, f, err, fault.ErrUnavailable)
		}
	})
}

// An eventually consistent read may show a token as it was before its
// revocation: every read has to ask for a consistent one.
func TestEveryReadIsConsistent(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	for _, r := range reads(t, f) {
		_, err := r.run(t.Context(), through)
		wantErr(t, f, err, nil)
	}
	for _, w := range writes {
		run, check := w.prepare(t, f)
		proxy.Fail(storetest.On(operation, storetest.LoseReply)) // so that the read-back is seen too
		wantErr(t, f, run(t.Context(), f.Through(proxy.Client()), storetest.Event), nil)
		check(t)
	}
	proxy.Fail(storetest.First("BatchGetItem", storetest.LeaveUnread(1)))
	owner := f.AddAccount(t)
	_, _, err := through.Check(t.Context(), []secret.Digest{f.AddToken(t, owner).Digest}, owner.ID, nil)
	wantErr(t, f, err, nil)

	for _, r := range proxy.Requests() {
		body := decode(t, r.Body)
		switch r.Operation {
		case "GetItem", "Query", "Scan":
			if body["ConsistentRead"] != true {
				t.Errorf("%s asks for %v", r.Operation, body["ConsistentRead"])
			}
		case "BatchGetItem":
			for _, asked := range body["RequestItems"].(map[string]any) {
				if consistent := asked.(map[string]any)["ConsistentRead"]; consistent != true {
					t.Errorf("BatchGetItem asks for %v", consistent)
				}
			}
		case "TransactWriteItems", "UpdateItem":
		default:
			t.Errorf("%s is not known to this test", r.Operation)
		}
	}
	for _, operation := range []string{"GetItem", "Query", "Scan", "BatchGetItem"} {
		if proxy.Counts()[operation] == 0 {
			t.Errorf("no %s was seen", operation)
		}
	}
}

func decode(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var decoded map[string]any
	if err := json.Unmarshal(body, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}
