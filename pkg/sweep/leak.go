package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup" // bounds what runs at once; the extended standard library's

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// Leaked tells owners of tokens that were ended because their values were
// reported as leaked. It is no scan: a Messenger sends its notices.
const Leaked Kind = "leaked"

// A Messenger tells people at once, and not at a time of the day. It is safe
// for concurrent use.
type Messenger struct {
	Records Records
	Teams   Teams
	Mailer  Mailer
	Clock   clock.Clock
	// Workers send mails at the same time; at least 1.
	Workers int
	// Malformed is told of records that cannot be read. It may be nil.
	Malformed func(context.Context, error)
}

// Leaked tells who owns or looks after tokens that were ended because of a
// leak, with one mail for each recipient and place, and marks them. Marked ones
// are passed over, so that a second call tells nothing twice and makes up for
// what the first could not send. It returns how many mails went out, also
// beside an error about the others.
//
// A token of a project or group is announced to those who manage it, and an
// impersonation token to the administrator who made it: its owner does not know
// of it. publicURL is where people reach the service.
func (m *Messenger) Leaked(ctx context.Context, tokens []token.Token, publicURL string) (mails int, err error) {
	r := &run{
		Scanner: &Scanner{Records: m.Records, Teams: m.Teams, Malformed: m.Malformed},
		ctx:     ctx, at: m.Clock.Now(),
	}
	groups := map[addressee][]token.Token{}
	for _, t := range tokens {
		if to := addresseeOf(t); to != (addressee{}) && !slices.Contains(t.Notices, string(Leaked)) {
			groups[to] = append(groups[to], t)
		}
	}
	order := slices.SortedFunc(maps.Keys(groups), func(a, b addressee) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.project, b.project))
	})
	people := make([]account.ID, 0, len(order))
	for _, to := range order {
		if to.person != 0 {
			people = append(people, to.person)
		}
	}
	profiles, err := r.profiles(people)
	if err != nil {
		return 0, fmt.Errorf("find %d owners: %w", len(people), err)
	}
	sent, faults := make([]int, len(order)), make([]error, len(order))
	var workers errgroup.Group
	workers.SetLimit(m.Workers)
	for i, to := range order {
		workers.Go(func() error {
			sent[i], faults[i] = m.tell(r, to, profiles, groups[to], publicURL+PagePath)
			return nil
		})
	}
	_ = workers.Wait() // one that fails keeps no other back
	for _, n := range sent {
		mails += n
	}
	return mails, errors.Join(faults...)
}

// An addressee is an account, or those who manage a project or group.
type addressee struct {
	person  account.ID
	project project.ID
}

// addresseeOf returns who is told about t, the zero addressee for nobody: the
// console made an impersonation token.
func addresseeOf(t token.Token) addressee {
	switch {
	case t.Kind.OfProject():
		return addressee{project: t.Project}
	case t.Kind == token.Impersonation:
		return addressee{person: t.CreatedBy}
	default:
		return addressee{person: t.Owner}
	}
}

// tell sends what one addressee is to know, and marks it when everybody who
// can be told was.
func (m *Messenger) tell(r *run, to addressee, profiles map[account.ID]account.Account, tokens []token.Token, page string) (mails int, err error) {
	var a audience
	if to.project != 0 {
		a, err = r.managers(to.project)
	} else {
		profile, known := profiles[to.person]
		a, err = r.audienceOf(profile, known, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("find recipients of account %s or resource %s: %w", to.person, to.project, err)
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	notice := Notice{Kind: Leaked, Owner: tokens[0].Owner, Place: a.place, Today: clock.DayOf(r.at), Total: len(tokens), Page: page}
	for _, t := range tokens[:min(len(tokens), MaxListed)] {
		notice.Tokens = append(notice.Tokens, Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, LastUsedAt: t.LastUsedAt, ExpiresOn: t.ExpiresOn})
	}
	for _, recipient := range a.recipients {
		notice.Recipient = recipient
		switch fault := m.send(r.ctx, notice); {
		case fault == nil:
			mails++
		case !errors.Is(fault, ErrRejected): // a dead address is finished work
			err = errors.Join(err, fmt.Errorf("mail to user %s about token %s: %w", recipient.Account, tokens[0].ID, fault))
		}
	}
	if err != nil {
		return mails, err
	}
	for _, t := range tokens {
		if fault := m.Records.Mark(r.ctx, t, string(Leaked), m.Clock.Now()); fault != nil {
			err = errors.Join(err, fmt.Errorf("mark token %s: %w", t.ID, fault))
		}
	}
	return mails, err
}

// sendTries and sendPause are for an account that may not send as fast as
// tokens are reported: the pause doubles from try to try, to eight seconds.
const (
	sendTries = 5
	sendPause = time.Second
)

func (m *Messenger) send(ctx context.Context, n Notice) error {
	for try := 0; ; try++ {
		err := m.Mailer.Send(ctx, n)
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
