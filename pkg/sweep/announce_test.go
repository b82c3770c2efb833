package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// errOdd is an answer that does not tell whether the mail went out.
var errOdd = errors.New("odd")

// populate gives each of n owners two tokens that are due.
func populate(w *world, n int) {
	for owner := account.ID(1); owner <= account.ID(n); owner++ {
		w.add(owner, today.AddDays(int(owner)%8))
		w.add(owner, today.AddDays(7))
	}
}

// wantAllOnce fails the test unless every token was in exactly one mail and is marked.
func wantAllOnce(t *testing.T, w *world, mark string) {
	t.Helper()
	told := w.told()
	for _, e := range w.entries {
		if told[e.entry.ID] != 1 {
			t.Errorf("token %s of owner %s was told of %d times", e.entry.ID, e.entry.ID.Owner(), told[e.entry.ID])
		}
		if !slices.Equal(w.marks(e.entry.ID), []string{mark}) {
			t.Errorf("token %s has marks %v", e.entry.ID, w.marks(e.entry.ID))
		}
	}
}

// to fails mails of owners, while it is told to.
func to(broken *bool, err error, owners ...account.ID) func(sweep.Notice) error {
	return func(n sweep.Notice) error {
		if *broken && (len(owners) == 0 || slices.Contains(owners, n.Tokens[0].ID.Owner())) {
			return err
		}
		return nil
	}
}

// An address that SES will never accept is finished work.
func TestRejectedAddress(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		populate(w, 30)
		broken := true
		w.sending = to(&broken, fmt.Errorf("%w: no such place", sweep.ErrRejected), 5, 9)
		counts := w.wantRun(t, sweep.Expiring)
		want(t, "mails", counts.Mails, 28)
		want(t, "failed", counts.Failed, 2)
		want(t, "marked", counts.Marked, 60)
		counts = w.wantRun(t, sweep.Expiring)
		want(t, "tried again", counts.Failed, 0)
	})
}

// Every address being wrong is no reason to stop.
func TestAllAddressesRejected(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		populate(w, 300)
		broken := true
		w.sending = to(&broken, sweep.ErrRejected)
		counts := w.wantRun(t, sweep.Expiring)
		want(t, "failed", counts.Failed, 300)
		want(t, "marked", counts.Marked, 600)
	})
}

// What is wrong with the account ends the run with an error of its own, marks nothing that was not
// sent, and loses nothing: the retry sends what is left, in the same shards too.
func TestAccountFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
	}{
		{"quota used up", sweep.ErrQuota},
		{"account paused", sweep.ErrPaused},
		{"sender refused", sweep.ErrSender},
		{"throttled for ever", sweep.ErrThrottled},
	} {
		for _, sent := range []int{0, 1, 49, 50, 75, 119} {
			eachWorld(t, fmt.Sprintf("%s after %d mails", c.name, sent), func(t *testing.T, w *world) {
				populate(w, 120)
				left := sent
				w.sending = func(sweep.Notice) error {
					w.mu.Lock()
					defer w.mu.Unlock()
					if left--; left < 0 {
						return fmt.Errorf("%w: really", c.err)
					}
					return nil
				}
				result, err := w.run(t, sweep.Expiring)
				wantErr(t, err, c.err)
				want(t, "done", result.Done, false)
				want(t, "mails", result.Counts.Mails, sent)
				want(t, "marked", result.Counts.Marked, 2*sent)
				if tries := w.count("Send"); tries > sent+3*8 {
					t.Errorf("%d mails were tried", tries)
				}
				want(t, "leases kept", len(w.leases), 0)

				w.sending = nil
				counts := w.wantRun(t, sweep.Expiring)
				want(t, "mails of the retry", counts.Mails, 120-sent)
				wantAllOnce(t, w, "expiring-7")
			})
		}
	}
}

func TestRateFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		err, want error
	}{
		{"account paused", sweep.ErrPaused, sweep.ErrPaused},
		{"quota used up", sweep.ErrQuota, sweep.ErrQuota},
		{"no answer", errOdd, sweep.ErrUnsent},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			populate(w, 120)
			w.rate = func() (float64, error) { return 0, c.err }
			_, err := w.run(t, sweep.Expiring)
			wantErr(t, err, c.want)
			want(t, "mails", w.count("Send"), 0)
			if asked := w.count("Rate"); asked > 25 {
				t.Errorf("asked %d times", asked)
			}
			w.rate = nil
			w.wantRun(t, sweep.Expiring)
			wantAllOnce(t, w, "expiring-7")
		})
	}
	eachWorld(t, "nobody to tell: the rate is not asked for", func(t *testing.T, w *world) {
		w.addAccount(1, func(u *account.Account) { u.State = account.Blocked })
		w.add(1, today)
		w.wantRun(t, sweep.Expiring)
		want(t, "asked", w.count("Rate"), 0)
	})
}

// Mails keep to the account's rate, all workers together.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate        float64
		concurrency int
		want        time.Duration // for 81 mails
	}{{10, 1, 8 * time.Second}, {10, 2, 16 * time.Second}, {100, 1, 800 * time.Millisecond}, {0.1, 1, 160 * time.Second}} {
		eachWorld(t, fmt.Sprintf("%v a second, shared by %d", c.rate, c.concurrency), func(t *testing.T, w *world) {
			populate(w, 81)
			w.rate = func() (float64, error) { return c.rate, nil }
			started := time.Now()
			s := w.scanner(sweep.Expiring, func(s *sweep.Setup) { s.Concurrency, s.Workers = c.concurrency, 8 })
			for done := false; !done; {
				result, err := s.Run(t.Context(), t.Context(), sweep.Event{Time: atOne})
				wantErr(t, err, nil)
				done = result.Done
			}
			if took := time.Since(started); took < c.want-time.Second || took > c.want+time.Second {
				t.Errorf("took %v, want %v", took, c.want)
			}
			wantAllOnce(t, w, "expiring-7")
		})
	}
}

// Throttling slows the run down, and its mails go out all the same.
func TestThrottled(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		populate(w, 100)
		w.rate = func() (float64, error) { return 100, nil }
		var last time.Time
		w.sending = func(sweep.Notice) error { // the account really allows 20 a second
			w.mu.Lock()
			defer w.mu.Unlock()
			if now := time.Now(); now.Sub(last) < 50*time.Millisecond {
				return sweep.ErrThrottled
			}
			last = time.Now()
			return nil
		}
		started := time.Now()
		counts := w.wantRun(t, sweep.Expiring)
		wantAllOnce(t, w, "expiring-7")
		want(t, "failed", counts.Failed, 0)
		if took := time.Since(started); took < 5*time.Second || took > 60*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A fault of one mail does not keep the others back, wherever it is, and is tried again alone.
func TestUnknownFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		owners []account.ID
	}{
		{"of the first owner", []account.ID{1}},
		{"of one in the middle", []account.ID{200}},
		{"of the last owner", []account.ID{260}},
		{"of one in each batch", []account.ID{10, 100, 220}},
		{"of 15 in a row", []account.ID{4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60}},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			populate(w, 260)
			broken := true
			w.sending = to(&broken, errOdd, c.owners...)
			result, err := w.run(t, sweep.Expiring)
			wantErr(t, err, sweep.ErrUnsent)
			wantErr(t, err, errOdd)
			want(t, "done", result.Done, false)
			want(t, "mails", result.Counts.Mails, 260-len(c.owners))
			want(t, "failed", result.Counts.Failed, len(c.owners))
			for range 2 { // it stays broken: nobody else is told again
				result, err = w.run(t, sweep.Expiring)
				wantErr(t, err, sweep.ErrUnsent)
				want(t, "mails", result.Counts.Mails, 0)
			}
			broken = false
			counts := w.wantRun(t, sweep.Expiring)
			want(t, "mails of the retry", counts.Mails, len(c.owners))
			wantAllOnce(t, w, "expiring-7")
		})
	}
}

// An owner with more tokens than a batch is a batch alone: a mail of theirs that always fails must
// not hide everybody behind them.
func TestUnknownFaultOfALargeOwner(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for range 600 {
			w.add(4, today)
		}
		after := w.add(8, today)
		broken := true
		w.sending = to(&broken, errOdd, 4)
		_, err := w.run(t, sweep.Expiring)
		wantErr(t, err, sweep.ErrUnsent)
		want(t, "told behind", w.told()[after], 1)
	})
}

// When one mail after the other fails, the run does not try them all.
func TestEveryMailFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		populate(w, 1000)
		broken := true
		w.sending = to(&broken, errOdd)
		result, err := w.run(t, sweep.Expiring)
		wantErr(t, err, sweep.ErrUnsent)
		want(t, "done", result.Done, false)
		if tries := w.count("Send"); tries < 20 || tries > 20+3 {
			t.Errorf("%d mails were tried", tries)
		}
		want(t, "marked", result.Counts.Marked, 0)
		broken = false
		w.wantRun(t, sweep.Expiring)
		wantAllOnce(t, w, "expiring-7")
	})
}

// What is revoked, or whose owner is blocked, before the mail goes out is not in it: this guards
// promise 4 of the architecture. The mails of a batch wait for each other.
func TestChangesWhileMailsGoOut(t *testing.T) {
	t.Parallel()
	revoke := func(tok *token.Token) { tok.RevokedAt = atOne }
	for _, c := range []struct {
		name   string
		change func(w *world, first, second token.ID)
		want   string // tokens of owner 8 that are told of, and marks
	}{
		{"one token is revoked", func(w *world, first, _ token.ID) { w.change(first, revoke) }, "0 1 [] [expiring-7]"},
		{"both tokens are revoked", func(w *world, first, second token.ID) { w.change(first, revoke); w.change(second, revoke) }, "0 0 [] []"},
		{"everything is revoked", func(w *world, _, _ token.ID) {
			w.changeAccount(8, func(u *account.Account) { u.TokensValidFrom = u.NextNumber })
		}, "0 0 [] []"},
		{"the owner is blocked", func(w *world, _, _ token.ID) {
			w.changeAccount(8, func(u *account.Account) { u.State = account.Blocked })
		}, "0 0 [expiring-7] [expiring-7]"},
		{"the owner is deleted", func(w *world, _, _ token.ID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.accts, 8)
		}, "0 0 [expiring-7] [expiring-7]"},
		{"one token is announced by somebody else", func(w *world, first, _ token.ID) {
			w.change(first, func(tok *token.Token) { tok.Notices = []string{"expiring-7"} })
		}, "0 1 [expiring-7] [expiring-7]"},
	} {
		for _, moment := range []string{"while another mail goes out", "while the mail is throttled", "as the last look begins"} {
			eachWorld(t, c.name+" "+moment, func(t *testing.T, w *world) {
				w.add(4, today)
				first, second := w.add(8, today), w.add(8, today.AddDays(2))
				looks, throttled := 0, false
				w.sending = func(n sweep.Notice) error {
					switch {
					case moment == "while another mail goes out" && n.Tokens[0].ID.Owner() == 4:
						c.change(w, first, second)
					case moment == "while the mail is throttled" && n.Tokens[0].ID.Owner() == 8 && !throttled:
						throttled = true
						c.change(w, first, second)
						return sweep.ErrThrottled
					}
					return nil
				}
				w.fail = func(call string) error {
					if call == "Tokens" {
						if looks++; moment == "as the last look begins" && looks == 3 { // of the batch, of 4, of 8
							c.change(w, first, second)
						}
					}
					return nil
				}
				w.wantRun(t, sweep.Expiring, func(s *sweep.Setup) { s.Workers = 1 })
				told := w.told()
				want(t, "told and marks", fmt.Sprint(told[first], told[second], w.marks(first), w.marks(second)), c.want)
				for _, n := range w.mails {
					want(t, "total", n.Total, len(n.Tokens))
				}
			})
		}
	}
}

// A write that the table refuses does not repeat a mail, however often the run is tried again: this
// guards promise 3 of the architecture, which allows a repeated mail after a crash only.
func TestMarksAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails int
		runs  int // that fail
	}{
		{"the table refuses four times", 4, 0},
		{"the table refuses five times", 5, 1},
		{"the table refuses for nine runs", 45, 9},
	} {
		eachWorld(t, c.name, func(t *testing.T, w *world) {
			id := w.add(4, today)
			left := c.fails
			w.fail = func(call string) error {
				if call == "Mark" {
					if left--; left >= 0 {
						return fault.ErrUnavailable
					}
				}
				return nil
			}
			for range c.runs {
				_, err := w.run(t, sweep.Expiring)
				wantErr(t, err, fault.ErrUnavailable)
			}
			w.wantRun(t, sweep.Expiring)
			want(t, "told", w.told()[id], 1)
			want(t, "marks", len(w.marks(id)) == 1, true)
		})
	}
}

// The caller's time may run out at any point: what was sent is marked all the same.
func TestMarksOutliveTheCall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := w.add(4, today)
		ctx, cancel := context.WithCancel(t.Context())
		w.sent = func(sweep.Notice) error { cancel(); return nil }
		_, _ = w.scanner(sweep.Expiring).Run(ctx, ctx, sweep.Event{Time: atOne}) // whether it could finish does not matter here
		want(t, "marks", fmt.Sprint(w.marks(id)), "[expiring-7]")
	})
}
