package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// goneAccounts returns how many accounts were deleted.
func goneAccounts(t *testing.T, f *storetest.Fixture) int {
	t.Helper()
	gone, _ := f.Item(t, "SEQUENCE", "USER")["gone"].(int)
	return gone
}

// wantNoBot fails the test while anything is left of the bot that owned tok but its tokens.
func wantNoBot(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token) {
	t.Helper()
	for name, key := range map[string]func() (string, string){
		"member":     func() (string, string) { return memberKey(proj.ID, tok.Owner) },
		"membership": func() (string, string) { return membershipKey(proj.ID, tok.Owner) },
		"profile":    func() (string, string) { return "USER#" + tok.Owner.String(), "PROFILE" },
	} {
		if pk, sk := key(); f.Item(t, pk, sk) != nil {
			t.Errorf("the %s is left", name)
		}
	}
	for key, it := range f.Snapshot(t) {
		if uid, named := it.(map[string]any)["uid"]; named && uid == int(tok.Owner) {
			t.Errorf("%s is left", key)
		}
	}
}

func TestRevokeTokenOfAProject(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("record, pointers and entries are dated and nothing else is left", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		before := f.Snapshot(t)
		ended := storetest.Revoked(f.AddBot(t, proj))
		gone := goneAccounts(t, f)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		deleteAfter := int(ended.RevokedAt.Add(storetest.Retention).Unix())
		left := f.Snapshot(t)
		for _, key := range []func() (string, string){
			func() (string, string) { return recordKey(ended.Digest) },
			func() (string, string) { return pointerKey(ended.ID) },
			func() (string, string) { return projectPointerKey(proj.ID, ended.ID) },
			func() (string, string) { return entryKey(token.ByID, ended) },
			func() (string, string) { return entryKey(token.ByCreation, ended) },
			func() (string, string) { return entryKey(token.ByExpiry, ended) },
		} {
			pk, sk := key()
			name := pk + " / " + sk
			it, _ := left[name].(map[string]any)
			if it["delete_after"] != deleteAfter || it["expiry_bucket"] != nil {
				t.Errorf("%s: %v", name, it)
			}
			delete(left, name)
		}
		delete(left, "SEQUENCE / USER")
		delete(before, "SEQUENCE / USER")
		wantEqual(t, "table", left, before)
		if goneAccounts(t, f) != gone+1 {
			t.Errorf("%d accounts are gone, after %d", goneAccounts(t, f), gone)
		}
		stored, err := f.Store.Token(t.Context(), ended.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "token", stored, ended)
	})

	t.Run("again, it changes nothing and is no error", func(t *testing.T) {
		proj := f.AddProject(t, project.KindGroup)
		ended := storetest.Revoked(f.AddBot(t, proj))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		wantNoBot(t, f, proj, ended)
		before := f.Snapshot(t)
		again := ended
		again.RevokedAt, again.RevokedReason = ended.RevokedAt.Add(time.Hour), token.ReasonExpired
		wantErr(t, f, f.Store.RevokeToken(t.Context(), again, storetest.Event), nil)
		wantUnchanged(t, f, before)
	})

	// A predecessor that took the bot with it would end its successor.
	t.Run("a token that was rotated away leaves its successor and bot alone", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		old := f.AddBot(t, proj)
		bot := f.Fresh(t, account.Account{ID: old.Owner})
		next, err := f.Store.RotateToken(t.Context(), bot, old, f.Successor(t, bot, old), nil, storetest.Event)
		wantErr(t, f, err, nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(old), storetest.Event), token.ErrSuperseded)
		wantUnchanged(t, f, before)

		ended := storetest.Revoked(next)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		wantNoBot(t, f, proj, ended)
		pk, sk := familyKey(old.ID)
		if f.Item(t, pk, sk)["delete_after"] != int(ended.RevokedAt.Add(storetest.Retention).Unix()) {
			t.Errorf("family %v", f.Item(t, pk, sk))
		}
	})

	t.Run("a token without a record is not found, and its bot stays", func(t *testing.T) {
		tok := f.AddBot(t, f.AddProject(t, project.KindProject))
		pk, sk := recordKey(tok.Digest)
		f.Drop(t, pk, sk)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})

	for name, damage := range map[string]func(*testing.T, *storetest.Fixture, project.Project, token.Token){
		"whose account is gone already": func(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token) {
			username, email := botNames(proj, "_bot")
			f.Drop(t, "USER#"+tok.Owner.String(), "PROFILE")
			f.Drop(t, "USERNAME#"+username, "USERNAME")
			f.Drop(t, "EMAIL#"+email, "EMAIL")
		},
		"that has lost its membership": func(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token) {
			pk, sk := memberKey(proj.ID, tok.Owner)
			f.Drop(t, pk, sk)
			pk, sk = membershipKey(proj.ID, tok.Owner)
			f.Drop(t, pk, sk)
		},
		"without pointers": func(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token) {
			pk, sk := pointerKey(tok.ID)
			f.Drop(t, pk, sk)
			pk, sk = projectPointerKey(proj.ID, tok.ID)
			f.Drop(t, pk, sk)
		},
		"without a counter": func(t *testing.T, f *storetest.Fixture, _ project.Project, _ token.Token) {
			f.Drop(t, "SEQUENCE", "USER")
		},
		"whose record has ended and whose bot has not": func(t *testing.T, f *storetest.Fixture, _ project.Project, tok token.Token) {
			pk, sk := recordKey(tok.Digest)
			f.Set(t, pk, sk, "revoked_at", storetest.N(fmt.Sprint(storetest.Now.Unix())))
			f.Set(t, pk, sk, "revoked_reason", storetest.S("request"))
		},
	} {
		t.Run("a bot "+name+" ends all the same", func(t *testing.T) {
			f := open(t)
			f.AddAccount(t)
			proj := f.AddProject(t, project.KindProject)
			tok := f.AddBot(t, proj)
			damage(t, f, proj, tok)
			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
			stored, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			if stored.RevokedAt.IsZero() {
				t.Error("the token has not ended")
			}
			wantNoBot(t, f, proj, tok)
		})
	}

	t.Run("a profile that makes no sense stays, and its token ends", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		ended := storetest.Revoked(f.AddBot(t, proj))
		f.Set(t, "USER#"+ended.Owner.String(), "PROFILE", "state", nil)
		wantErr(t, f, f.Store.RevokeToken(t.Context(), ended, storetest.Event), nil)
		stored, err := f.Store.TokenByDigest(t.Context(), ended.Digest)
		wantErr(t, f, err, nil)
		wantEqual(t, "token", stored, ended)
		if pk, sk := memberKey(proj.ID, ended.Owner); f.Item(t, pk, sk) != nil {
			t.Error("the bot is still a member")
		}
	})

	t.Run("a name that somebody else has by now stays theirs", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		tok := f.AddBot(t, proj)
		username, _ := botNames(proj, "_bot")
		f.Set(t, "USERNAME#"+username, "USERNAME", "uid", storetest.N("1"))
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		if f.Item(t, "USERNAME#"+username, "USERNAME")["uid"] != 1 {
			t.Error("somebody has lost their name")
		}
		wantNoBot(t, f, proj, tok)
	})

	t.Run("8 at once are all answered and one account is counted", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		tok := f.AddBot(t, proj)
		gone := goneAccounts(t, f)
		for _, err := range together(8, func(int) error { return f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event) }) {
			wantErr(t, f, err, nil)
		}
		wantNoBot(t, f, proj, tok)
		if goneAccounts(t, f) != gone+1 {
			t.Errorf("%d accounts are gone, after %d", goneAccounts(t, f), gone)
		}
	})

	// Whoever wins, a bot is there exactly as long as a live token is.
	t.Run("against a rotation at the same time, bot and live token stay together", func(t *testing.T) {
		for range 8 {
			proj := f.AddProject(t, project.KindProject)
			tok := f.AddBot(t, proj)
			bot := f.Fresh(t, account.Account{ID: tok.Owner})
			next := f.Successor(t, bot, tok)
			errs := together(2, func(i int) (err error) {
				if i == 0 {
					return f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event)
				}
				_, err = f.Store.RotateToken(t.Context(), bot, tok, next, nil, storetest.Event)
				return err
			})
			_, err := f.Store.Account(t.Context(), tok.Owner)
			switch {
			case errs[1] == nil:
				wantErr(t, f, errs[0], token.ErrSuperseded)
				wantErr(t, f, err, nil)
			case errors.Is(errs[1], token.ErrRevoked), errors.Is(errs[1], fault.ErrNotFound):
				wantErr(t, f, errs[0], nil)
				wantErr(t, f, err, fault.ErrNotFound)
			default:
				t.Errorf("rotation: %v", errs[1])
			}
		}
	})
}

// A request that fails in the middle, before the engine has done its part or
// after, leaves nothing that the next try does not finish.
func TestEndingABotIsFinishedByTheRetry(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	end := func(ctx context.Context, s *store.Table, ended token.Token) error {
		return s.RevokeToken(ctx, ended, storetest.Event)
	}
	proxy.Reset()
	wantErr(t, f, end(t.Context(), f.Through(proxy.Client()), storetest.Revoked(f.AddBot(t, f.AddProject(t, project.KindProject)))), nil)
	requests := len(proxy.Requests())
	if requests < 2 {
		t.Fatalf("only %d requests end a bot", requests)
	}
	actions := map[string]storetest.Action{"before": storetest.LoseRequest, "after": storetest.LoseReply}
	for n := range requests + 1 {
		for name, action := range maps.All(actions) {
			t.Run(fmt.Sprintf("%s request %d", name, n), func(t *testing.T) {
				proj := f.AddProject(t, project.KindProject)
				ended := storetest.Revoked(f.AddBot(t, proj))
				seen := 0
				proxy.Fail(func(string, int) storetest.Action {
					if seen++; seen > n {
						return action
					}
					return nil
				})
				err := end(t.Context(), f.Through(proxy.Client()), ended)
				if err != nil {
					wantErr(t, f, err, fault.ErrUnavailable)
				}
				proxy.Fail(nil)
				wantErr(t, f, end(t.Context(), f.Store, ended), nil)
				wantNoBot(t, f, proj, ended)
				stored, err := f.Store.TokenByDigest(t.Context(), ended.Digest)
				wantErr(t, f, err, nil)
				wantEqual(t, "token", stored, ended)
			})
		}
	}
}

func TestRotateTokenOfAProject(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("the bot keeps everything and its membership ends with the successor", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		old := f.AddBot(t, proj)
		bot := f.Fresh(t, account.Account{ID: old.Owner})
		next := f.Successor(t, bot, old)
		next.ExpiresOn = old.ExpiresOn.AddDays(20)
		next, err := f.Store.RotateToken(t.Context(), bot, old, next, nil, storetest.Event)
		wantErr(t, f, err, nil)
		wantBot(t, f, proj, next, "_bot")
		pk, sk := projectPointerKey(proj.ID, old.ID)
		if f.Item(t, pk, sk)["delete_after"] != int(next.CreatedAt.Add(storetest.Retention).Unix()) {
			t.Errorf("the predecessor's pointer is %v", f.Item(t, pk, sk))
		}
	})

	for name, c := range map[string]struct {
		damage func(*testing.T, *storetest.Fixture, project.Project, token.Token)
		want   error
	}{
		"a project that is gone": {func(t *testing.T, f *storetest.Fixture, proj project.Project, _ token.Token) {
			f.Drop(t, "PROJECT#"+proj.ID.String(), "PROFILE")
		}, fault.ErrNotFound},
		"a bot that is no member any more": {func(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token) {
			pk, sk := memberKey(proj.ID, tok.Owner)
			f.Drop(t, pk, sk)
		}, fault.ErrNotFound},
		"a bot that is gone": {func(t *testing.T, f *storetest.Fixture, _ project.Project, tok token.Token) {
			f.Drop(t, "USER#"+tok.Owner.String(), "PROFILE")
		}, fault.ErrNotFound},
		"a token that has ended": {func(t *testing.T, f *storetest.Fixture, _ project.Project, tok token.Token) {
			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(tok), storetest.Event), nil)
		}, fault.ErrNotFound},
	} {
		t.Run("nothing is rotated for "+name, func(t *testing.T) {
			proj := f.AddProject(t, project.KindProject)
			old := f.AddBot(t, proj)
			bot := f.Fresh(t, account.Account{ID: old.Owner})
			c.damage(t, f, proj, old)
			before := f.Snapshot(t)
			_, err := f.Store.RotateToken(t.Context(), bot, old, f.Successor(t, bot, old), nil, storetest.Event)
			wantErr(t, f, err, c.want)
			wantUnchanged(t, f, before)
		})
	}
}

func TestTokensOfProject(t *testing.T) {
	t.Parallel()
	f := open(t)
	proj := f.AddProject(t, project.KindProject)
	f.AddBot(t, f.AddProject(t, project.KindProject))
	f.AddToken(t, f.AddAccount(t))
	list := func() []token.Token {
		t.Helper()
		tokens, err := f.Store.TokensOfProject(t.Context(), proj.ID)
		wantErr(t, f, err, nil)
		return tokens
	}
	if tokens := list(); len(tokens) != 0 {
		t.Errorf("a new project has %d tokens", len(tokens))
	}
	want := []token.Token{f.AddBot(t, proj), f.AddBot(t, proj), f.AddBot(t, proj)}
	want[0] = storetest.Revoked(want[0])
	wantErr(t, f, f.Store.RevokeToken(t.Context(), want[0], storetest.Event), nil)
	wantEqual(t, "tokens", list(), want)
	pk, sk := recordKey(want[0].Digest) // clean-up takes records and pointers in any order
	f.Drop(t, pk, sk)
	wantEqual(t, "tokens without the one that was cleaned up", list(), want[1:])
}
