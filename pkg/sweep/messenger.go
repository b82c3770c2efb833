package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	// bounds concurrent work

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// A Messenger tells people at once instead of at a time of the day. It is safe for concurrent use.
type Messenger struct {
	setup  Setup
	finder finder
}

// Leaked is the kind of notices about tokens that were revoked because of a leak. It is no scan; a
// Messenger sends these notices.
const Leaked Kind = "leaked"

// NewMessenger returns a messenger, or an error that wraps ErrSetup. With NoMails it tells nobody.
func NewMessenger(s Setup) (*Messenger, error) {
	s.Kind = Leaked
	if err := s.check(); err != nil {
		return nil, err
	}
	return &Messenger{s, s.finder()}, nil
}

// Leaked tells people about tokens that were revoked because of a leak, with one mail for each
// recipient and project, and marks the tokens. It skips marked ones, so that a second call sends
// only the mails that failed. It returns the number of mails, and an error about the others.
//
// The managers of a project are told about its tokens, and the administrator who made an
// impersonation token about that token, because its owner does not know about it. publicURL is the
// address of Latchkey.
func (m *Messenger) Leaked(ctx context.Context, tokens []token.Token, publicURL string) (mails int, err error) {
	if m.setup.Mailer == NoMails {
		return 0, nil
	}
	leaks := map[leakTo][]token.Token{}
	for _, t := range tokens {
		if to := leakToOf(t); to != (leakTo{}) && !slices.Contains(t.Notices, string(Leaked)) {
			leaks[to] = append(leaks[to], t)
		}
	}
	order := slices.SortedFunc(maps.Keys(leaks), func(a, b leakTo) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.project, b.project))
	})
	people := make([]account.ID, 0, len(order))
	for _, to := range order {
		if to.person != 0 {
			people = append(people, to.person)
		}
	}
	profiles, err := m.finder.profiles(ctx, people)
	if err != nil {
		return 0, fmt.Errorf("find %d owners: %w", len(people), err)
	}
	var sent atomic.Int64
	err = parallel(m.setup.Workers, order, func(to leakTo) error {
		mails, err := m.tell(ctx, to, profiles, leaks[to], publicURL+PagePath)
		sent.Add(int64(mails))
		return err
	})
	return int(sent.Load()), err
}

// leakTo is the recipient of a leak: an account, or the managers of a project.
type leakTo struct {
	person  account.ID
	project project.ID
}

// leakToOf returns the recipient of a leak of t. It is zero, meaning nobody, for an impersonation
// token that the console made.
func leakToOf(t token.Token) leakTo {
	switch {
	case t.Kind.OfProject():
		return leakTo{project: t.Project}
	case t.Kind == token.Impersonation:
		return leakTo{person: t.CreatedBy}
	default:
		return leakTo{person: t.Owner}
	}
}

// tell tells an account or the managers of a project. It marks the tokens when everybody reachable
// was told.
func (m *Messenger) tell(ctx context.Context, to leakTo, profiles map[account.ID]account.Account, tokens []token.Token, page string) (mails int, err error) {
	now := m.setup.Clock.Now()
	profile, known := profiles[to.person]
	who := person(profile, known)
	if to.project != 0 {
		if who, err = m.finder.managers(ctx, to.project, now); err != nil {
			return 0, fmt.Errorf("find the managers of project %s: %w", to.project, err)
		}
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	notice := Notice{Kind: Leaked, Today: clock.DayOf(now), Page: page, Total: len(tokens)}
	for _, t := range tokens[:min(len(tokens), MaxListed)] {
		notice.Tokens = append(notice.Tokens, shown(t, Leaked, who.project))
	}
	for _, recipient := range who.people {
		notice.Recipient = recipient
		switch fault := m.send(ctx, notice); {
		case fault == nil:
			mails++
		case !errors.Is(fault, ErrRejected): // a dead address is finished work
			err = errors.Join(err, fmt.Errorf("mail to account %s about token %s: %w", recipient.ID, tokens[0].ID, fault))
		}
	}
	if err != nil {
		return mails, err
	}
	for _, t := range tokens {
		if fault := m.setup.Records.Mark(ctx, t, string(Leaked), m.setup.Clock.Now()); fault != nil {
			err = errors.Join(err, fmt.Errorf("mark token %s: %w", t.ID, fault))
		}
	}
	return mails, err
}

// sendTries and sendPause apply while SES throttles. The pause doubles from try to try, to eight
// seconds.
const (
	sendTries = 5
	sendPause = time.Second
)

func (m *Messenger) send(ctx context.Context, n Notice) error {
	for try := 0; ; try++ {
		err := m.setup.Mailer.Send(ctx, n)
		if !errors.Is(err, ErrThrottled) || try+1 == sendTries {
			return err
		}
		timer := time.NewTimer(sendPause << try)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
