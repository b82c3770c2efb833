package directory_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
)

// A mailStore has the accounts of a fakeStore. moved are changes that come between a read and a write.
type mailStore struct {
	*fakeStore
	moved []func(*account.Account)
}

func (s *mailStore) Account(_ context.Context, id account.ID) (account.Account, error) {
	acct, there := s.accts[id]
	if !there {
		return acct, fault.ErrNotFound
	}
	return acct, nil
}

func (s *mailStore) MarkUnreachable(_ context.Context, before, after account.Account, marked audit.Event) error {
	if len(s.moved) > 0 {
		acct := s.accts[before.ID]
		s.moved[0](&acct)
		s.accts[before.ID], s.moved = acct, s.moved[1:]
	}
	if s.accts[before.ID] != before {
		return fault.ErrMoved
	}
	s.accts[before.ID] = after
	s.events = append(s.events, marked)
	return nil
}

// Breaks if an address that works gets no more mails, or one that does not gets them still.
func TestMailsThatComeBack(t *testing.T) {
	none := func(*account.Account) {}
	for _, test := range []struct {
		name   string
		change func(*account.Account)
		back   directory.Return
		moved  []func(*account.Account)
		marked bool
	}{
		{"the present address", none, directory.Return{}, nil, true},
		{"the present address in other letters", func(a *account.Account) { a.Email = strings.ToUpper(a.Email) }, directory.Return{}, nil, true},
		{"a blocked account", func(a *account.Account) { a.State = account.Blocked }, directory.Return{}, nil, true},
		{"an earlier address", func(a *account.Account) { a.Email = "new@example.test" }, directory.Return{}, nil, false},
		{"an account without one", func(a *account.Account) { a.Email = "" }, directory.Return{}, nil, false},
		{"a bot", func(a *account.Account) { a.Bot = true }, directory.Return{}, nil, false},
		{"an account that is marked", func(a *account.Account) { a.Unreachable, a.UnreachableAt = account.Complained, now }, directory.Return{}, nil, false},
		{"a mail from before it was reachable", func(a *account.Account) { a.ReachableSince = now.Add(time.Second) }, directory.Return{}, nil, false},
		{"a mail of the second in which it was", func(a *account.Account) { a.ReachableSince = now }, directory.Return{}, nil, false},
		{"a mail from after that", func(a *account.Account) { a.ReachableSince = now.Add(-time.Second) }, directory.Return{}, nil, true},
		{"an account that is gone", none, directory.Return{Account: 9}, nil, false},
		{"a name that changes meanwhile", none, directory.Return{}, []func(*account.Account){func(a *account.Account) { a.Name = "x" }}, true},
		{"an address that changes meanwhile", none, directory.Return{}, []func(*account.Account){func(a *account.Account) { a.Email = "new@example.test" }}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, s := newDirectory(t)
			acct := s.accts[2]
			back := test.back
			back.Address, back.SentAt, back.Reason, back.RequestID = acct.Email, now, account.Bounced, "event-1"
			if back.Account == 0 {
				back.Account = 2
			}
			test.change(&acct)
			s.accts[2] = acct
			returns, err := directory.NewReturns(directory.ReturnParts{Store: &mailStore{s, test.moved}, Clock: clock.NewFake(now.Add(time.Minute))})
			if err != nil {
				t.Fatal(err)
			}
			before := s.accts[2].Unreachable
			for again := range 2 { // events can be repeated
				marked, err := returns.Mark(t.Context(), back)
				if err != nil || marked != (test.marked && again == 0) {
					t.Errorf("marked %t, %v", marked, err)
				}
			}
			got := s.accts[2]
			if !test.marked {
				if got.Unreachable != before || len(s.events) != 0 {
					t.Errorf("%+v, %+v", got, s.events)
				}
				return
			}
			if got.Unreachable != account.Bounced || !got.UnreachableAt.Equal(now) || len(s.events) != 1 {
				t.Fatalf("%+v, %+v", got, s.events)
			}
			event := s.events[0]
			if !event.Complete() || event.Name != audit.AccountUpdated || event.Change != "unreachable" || event.To != "bounced" ||
				event.Source != audit.Mail || event.RequestID != "event-1" || !event.At.Equal(now.Add(time.Minute)) || event.Author != 0 {
				t.Errorf("%+v", event)
			}
		})
	}
	_, s := newDirectory(t)
	for _, parts := range []directory.ReturnParts{{Store: &mailStore{s, nil}}, {Clock: clock.NewFake(now)}} {
		if _, err := directory.NewReturns(parts); err == nil {
			t.Error("a missing part is not refused")
		}
	}
}

// Breaks if nobody can bring the mails back, or anybody but an administrator.
func TestAnAdministratorTakesTheMarkAway(t *testing.T) {
	marked := func(a account.Account) account.Account {
		a.Unreachable, a.UnreachableAt = account.Bounced, now.Add(-time.Hour)
		return a
	}
	for name, change := range map[string]directory.Change{
		"by saying so":            {Unreachable: ptr(false)},
		"by changing the address": {Email: ptr("new@example.test")},
	} {
		d, s := newDirectory(t)
		s.accts[2] = marked(s.accts[2])
		got, err := d.Update(t.Context(), s.caller(1), 2, change)
		if err != nil || got.Unreachable != "" || !got.UnreachableAt.IsZero() || !got.ReachableSince.Equal(now) || s.accts[2] != got {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if !strings.Contains(eventsText(s.events), "unreachable bounced>") {
			t.Errorf("%s: %+v", name, s.events)
		}
	}
	d, s := newDirectory(t)
	_, err := d.Update(t.Context(), s.caller(1), 2, directory.Change{Unreachable: ptr(false)})
	if wantErr(t, err, nil); s.updates != 0 {
		t.Error("an account without a mark was written")
	}
	_, err = d.Update(t.Context(), s.caller(1), 2, directory.Change{Unreachable: ptr(true)})
	wantErr(t, err, fault.ErrInput)
	s.accts[2] = marked(s.accts[2])
	_, err = d.Update(t.Context(), s.caller(2), 2, directory.Change{Unreachable: ptr(false)})
	wantErr(t, err, fault.ErrForbidden)
	if got, err := d.Update(t.Context(), s.caller(1), 2, directory.Change{Name: ptr("Other")}); err != nil || got.Unreachable == "" {
		t.Errorf("another change takes the mark: %+v, %v", got, err)
	}
}

func eventsText(events []audit.Event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.Change + " " + e.From + ">" + e.To + "\n")
	}
	return b.String()
}
