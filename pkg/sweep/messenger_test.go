package sweep_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

const service = "https://tokens.example.test"

func (w *world) messenger() *sweep.Messenger {
	m, err := sweep.NewMessenger(sweep.Setup{Records: w, Projects: w, Mailer: w, Clock: w, Workers: 2, Malformed: func(error) {}})
	if err != nil {
		panic(err)
	}
	return m
}

// leaked adds a token of an account that a report has revoked.
func (w *world) leaked(owner account.ID, changes ...func(*token.Token)) token.ID {
	return w.add(owner, clock.Day{}, append(changes, func(tok *token.Token) {
		tok.RevokedAt, tok.RevokedReason = atOne, token.ReasonLeak
	})...)
}

func ofTheProject(kind token.Kind, id project.ID) func(*token.Token) {
	return func(tok *token.Token) { tok.Kind, tok.Project = kind, id }
}

// stored returns the tokens with these ids as they are now.
func (w *world) stored(ids ...token.ID) (tokens []token.Token) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		tokens = append(tokens, w.tokens[digestOf(id)])
	}
	return tokens
}

// sentTo lists the mails: to whom, about what, where.
func (w *world) sentTo() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, n := range w.mails {
		line := fmt.Sprintf("%s:", n.Recipient.ID)
		for _, tok := range n.Tokens {
			line += " " + tok.Name
		}
		if n.Tokens[0].Project.ID != 0 {
			line += fmt.Sprintf(" for %s %s", n.Tokens[0].Project.Kind, n.Tokens[0].Project.FullPath)
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func named(name string) func(*token.Token) { return func(tok *token.Token) { tok.Name = name } }

// Everybody who owns or looks after what has leaked gets one mail about it, and
// nobody else does.
func TestLeaksAreAnnounced(t *testing.T) {
	t.Parallel()
	impersonation := func(by account.ID) func(*token.Token) {
		return func(tok *token.Token) { tok.Kind, tok.CreatedBy = token.Impersonation, by }
	}
	for _, test := range []struct {
		name    string
		arrange func(w *world) []token.ID
		want    []string
	}{
		{"an owner, of all of theirs", func(w *world) []token.ID {
			return []token.ID{w.leaked(5, named("b")), w.leaked(6, named("c")), w.leaked(5, named("a"))}
		}, []string{"5: b a", "6: c"}},
		{"nobody of nothing", func(*world) []token.ID { return nil }, nil},
		{"an owner who was told already", func(w *world) []token.ID {
			return []token.ID{w.leaked(5, named("old"), func(tok *token.Token) { tok.Notices = []string{"expiring/7", "leaked"} }), w.leaked(5, named("new"))}
		}, []string{"5: new"}},
		{"whoever made an impersonation token, and not its owner", func(w *world) []token.ID {
			w.addAccount(9)
			return []token.ID{w.leaked(5, named("of 5"), impersonation(9)), w.leaked(9, named("own")), w.leaked(6, named("of nobody"), impersonation(0))}
		}, []string{"9: of 5 own"}},
		{"the managers of a project whose bot is gone, once for all its bots", func(w *world) []token.ID {
			addProjects(w)
			w.join(web, 7, project.Maintainer)
			w.join(web, 8, project.Developer)
			w.join(acme, 9, project.Owner)
			ids := []token.ID{w.leaked(40, named("x"), ofTheProject(token.Project, web)), w.leaked(41, named("y"), ofTheProject(token.Project, web)), w.leaked(7, named("own"))}
			delete(w.accts, 40)
			delete(w.accts, 41)
			return ids
		}, []string{"7: own", "7: x y for project acme/apps/web", "9: x y for project acme/apps/web"}},
		{"the owners of a group", func(w *world) []token.ID {
			addProjects(w)
			w.join(apps, 7, project.Maintainer)
			w.join(apps, 8, project.Owner)
			return []token.ID{w.leaked(40, named("x"), ofTheProject(token.Group, apps))}
		}, []string{"8: x for group acme/apps"}},
		{"nobody of a project that nobody manages, or that is gone", func(w *world) []token.ID {
			addProjects(w)
			delete(w.projects, own)
			return []token.ID{w.leaked(40, ofTheProject(token.Project, web)), w.leaked(41, ofTheProject(token.Project, own))}
		}, nil},
		{"nobody who is blocked, gone or without an address", func(w *world) []token.ID {
			w.addAccount(5, func(u *account.Account) { u.State = account.Blocked })
			w.addAccount(6, func(u *account.Account) { u.State = account.Deactivated })
			w.addAccount(7, func(u *account.Account) { u.Email = "" })
			ids := []token.ID{w.leaked(5), w.leaked(6), w.leaked(7), w.leaked(8)}
			delete(w.accts, 8)
			return ids
		}, nil},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			ids := test.arrange(w)
			for range 2 { // a second call tells nothing twice
				mails, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service)
				if err != nil {
					t.Error(err)
				}
				if sent := w.sentTo(); mails != 0 && mails != len(test.want) || !slices.Equal(sent, test.want) {
					t.Errorf("sent %d: %v, want %v", mails, sent, test.want)
				}
			}
			for _, n := range w.mails {
				if n.Kind != sweep.Leaked || n.Page != service+"/-/user_settings/personal_access_tokens" || n.Today.String() != "2031-05-07" || n.Total != len(n.Tokens) {
					t.Errorf("notice %+v", n)
				}
			}
		})
	}
}

// Where no mails are sent, nothing is marked as if they had been.
func TestLeaksWithoutMails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m, err := sweep.NewMessenger(sweep.Setup{Records: w, Projects: w, Mailer: sweep.NoMails, Clock: w, Workers: 2, Malformed: func(error) {}})
		wantErr(t, err, nil)
		id := w.leaked(5)
		mails, err := m.Leaked(t.Context(), w.stored(id), service)
		wantErr(t, err, nil)
		want(t, "mails and marks", fmt.Sprint(mails, w.marks(id)), "0 []")
	})
}

func TestAMailAboutManyLeaksListsSome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var ids []token.ID
		for range sweep.MaxListed + 1 {
			ids = append(ids, w.leaked(5))
		}
		mails, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service)
		if n := w.mails[0]; err != nil || mails != 1 || len(n.Tokens) != sweep.MaxListed || n.Total != sweep.MaxListed+1 {
			t.Errorf("%d mails, one of %d tokens that counts %d, %v", mails, len(n.Tokens), n.Total, err)
		}
		for _, id := range ids {
			if !slices.Contains(w.marks(id), "leaked") {
				t.Errorf("token %s is not marked", id)
			}
		}
	})
}

// What fails keeps no other mail back, and the same report made again makes up
// for it.
func TestLeaksThatCannotBeAnnounced(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, test := range []struct {
		name  string
		first error // of the first mail to account 5
		fails bool
		again []string
	}{
		{"an error of no known kind", broken, true, []string{"5: x", "6: y"}},
		{"a sender that is not verified", sweep.ErrSender, true, []string{"5: x", "6: y"}},
		{"a quota that is used up", sweep.ErrQuota, true, []string{"5: x", "6: y"}},
		{"a dead address is finished work", sweep.ErrRejected, false, []string{"6: y"}},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			failing := true
			w.sending = func(n sweep.Notice) error {
				if failing && n.Recipient.ID == 5 {
					return test.first
				}
				return nil
			}
			ids := []token.ID{w.leaked(5, named("x")), w.leaked(6, named("y"))}
			mails, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service)
			if mails != 1 || (err != nil) != test.fails || test.fails && !errors.Is(err, test.first) {
				t.Errorf("%d mails, %v", mails, err)
			}
			if err != nil && strings.Contains(err.Error(), "@") {
				t.Errorf("the error has an address: %v", err)
			}
			failing = false
			if _, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service); err != nil || !slices.Equal(w.sentTo(), test.again) {
				t.Errorf("then sent %v, %v, want %v", w.sentTo(), err, test.again)
			}
		})
	}
	for _, call := range []string{"Owners", "Project", "MembersIn", "Mark"} {
		eachWorld(t, call+" fails", func(t *testing.T, w *world) {
			addProjects(w)
			w.join(web, 7, project.Maintainer)
			ids := []token.ID{w.leaked(40, named("x"), ofTheProject(token.Project, web))}
			w.fail = failing(call, fault.ErrUnavailable)
			if _, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service); !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			w.revive()
			if _, err := w.messenger().Leaked(t.Context(), w.stored(ids...), service); err != nil || len(w.sentTo()) == 0 {
				t.Errorf("then sent %v, %v", w.sentTo(), err)
			}
		})
	}
}

// An account in good standing may still send only so fast.
func TestLeaksAreAnnouncedAsFastAsTheAccountMaySend(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		refused int
		mails   int
		waits   time.Duration
	}{
		{"at once", 0, 1, 0},
		{"after one refusal", 1, 1, time.Second},
		{"after four", 4, 1, 15 * time.Second},
		{"not after five", 5, 0, 15 * time.Second},
	} {
		eachWorld(t, test.name, func(t *testing.T, w *world) {
			left := test.refused
			w.sending = func(sweep.Notice) error {
				if left > 0 {
					left--
					return sweep.ErrThrottled
				}
				return nil
			}
			start := time.Now()
			mails, err := w.messenger().Leaked(t.Context(), w.stored(w.leaked(5)), service)
			if mails != test.mails || errors.Is(err, sweep.ErrThrottled) != (test.mails == 0) || time.Since(start) != test.waits {
				t.Errorf("%d mails after %v, %v", mails, time.Since(start), err)
			}
		})
	}
}
