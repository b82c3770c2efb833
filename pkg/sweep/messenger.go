package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Messenger tells people at once instead of at a time of the day. It is safe for concurrent use, but
// two concurrent calls about the same token may both send a mail.
type Messenger struct {
	parts  MessengerParts
	finder finder
}

// MessengerParts hold the dependencies of a Messenger. All are required.
type MessengerParts struct {
	Records  Records
	Reports  Reports
	Projects Projects
	// Settings say whether expired tokens work.
	Settings Settings
	// Allowance limits the mails about tokens of projects and groups to DailyMails for a person and
	// day. Posts keeps what is beyond it for the next Expiring scan.
	Allowance  Allowance
	DailyMails int
	Posts      Posts
	Mailer     Mailer
	Clock      clock.Clock
	// Workers is how many mails are sent at a time; at least 1.
	Workers int
	// Malformed receives the errors of unreadable records.
	Malformed func(error)
}

// Settings reads the administrators' settings for every token, with consistent reads.
type Settings interface {
	TokenSettings(ctx context.Context) (settings.Settings, error)
}

// Reports finds tokens that people are told about at once, and who rotated them, with consistent reads.
type Reports interface {
	// TokensByID passes the existing records of ids to each, in no order, and for an unreadable one
	// only fault.ErrCorrupt.
	TokensByID(ctx context.Context, ids []token.ID, each func(token.Token, error)) error
	// Newest returns the newest token of a rotation chain, or fault.ErrNotFound for a token that
	// was never rotated.
	Newest(ctx context.Context, first token.ID) (token.Token, error)
	// Children returns what a rotation chain made and rotated.
	Children(ctx context.Context, first token.ID) ([]token.Child, error)
	// Events passes the events of an entity between two instants, both included, to each until it
	// returns false.
	Events(ctx context.Context, entity audit.Entity, in audit.Period, each func(audit.Event) bool) error
}

// The kinds of notices that a Messenger sends. They are no scans.
const (
	// Leaked is about tokens that were revoked because their values were reported as leaked.
	Leaked Kind = token.MarkLeaked
	// Replaced is about tokens that had been rotated before their values were reported. They had
	// ended, and the report ends no successor.
	Replaced Kind = "replaced"
	// Reused is about tokens that were revoked because somebody presented a predecessor for rotation after
	// its end. They may have been in the hands of their owner or of a thief.
	Reused Kind = token.MarkReused
)

// A Rotation says what happened to a token that was rotated before its report: anybody who found its
// value may have rotated it, and would then have the successor.
type Rotation struct {
	At time.Time // zero if unknown
	// By is the username of the account that the request ran as, "" if unknown, and ByID its id.
	By   string
	ByID account.ID
	// Itself says that the request was made with the token itself.
	Itself bool
	// From is the address of the request, "" if it is unknown or not for the recipient.
	From string
	// Newest is the token that works in its place, or 0 if none does any more.
	Newest token.ID
}

// NewMessenger returns a messenger, or an error that wraps ErrSetup.
func NewMessenger(parts MessengerParts) (*Messenger, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return &Messenger{parts, finder{parts.Records, parts.Projects, parts.Malformed}}, nil
}

// An affair is a token that people are told about at once, with everybody who is to be told.
type affair struct {
	token.Token
	why      Kind
	rotation *Rotation
	made     *Made
	recipients
}

// Leaked tells people about a report of these tokens, with one mail to each person about all of them:
// their own, and those of the projects and groups that they manage. It marks a token for each person
// when their mail is sent, so that another call tells only the others, and in the end for all. It
// returns the number of mails, and an error about the people who were not told.
//
// The administrator who made an impersonation token is told about that token, because its owner does
// not know about it. A person who has got the day's mails about tokens of projects and groups is told
// about these with the next Expiring scan.
func (m *Messenger) Leaked(ctx context.Context, ids []token.ID) (mails int, err error) {
	return m.announce(ctx, Leaked, ids, func(t token.Token) Kind {
		switch {
		case t.RevokedReason == token.ReasonLeak:
			return Leaked
		case t.Superseded():
			return Replaced
		default:
			return "" // nobody has reported it
		}
	})
}

// Reused tells people which of these tokens were revoked because a predecessor was presented for rotation
// after its end, and what the tokens had made. It tells the same people as Leaked, and in the same way.
func (m *Messenger) Reused(ctx context.Context, ids []token.ID) (mails int, err error) {
	return m.announce(ctx, Reused, ids, func(t token.Token) Kind {
		if t.RevokedReason == token.ReasonReuse {
			return Reused
		}
		return ""
	})
}

// announce tells people about those of the tokens for which why has a reason. The mails and the marks are
// of a kind.
func (m *Messenger) announce(ctx context.Context, kind Kind, ids []token.ID, why func(token.Token) Kind) (mails int, err error) {
	tokens, err := m.affairs(ctx, kind, ids, why)
	if err != nil {
		return 0, err
	}
	people := map[account.ID]account.Account{}
	untold := map[account.ID][]*affair{}
	for _, r := range tokens {
		for _, to := range r.people {
			people[to.ID] = to
			if !slices.Contains(r.Notices, ownMark(kind, to.ID)) {
				untold[to.ID] = append(untold[to.ID], r)
			}
		}
	}
	var mu sync.Mutex
	failed := map[token.ID]bool{}
	err = parallel(m.parts.Workers, slices.Sorted(maps.Keys(untold)), func(to account.ID) error {
		sent, err := m.tell(ctx, kind, people[to], untold[to])
		mu.Lock()
		defer mu.Unlock()
		mails += sent
		if err != nil {
			for _, r := range untold[to] {
				failed[r.ID] = true
			}
			err = fmt.Errorf("mail to account %s about token %s: %w", to, untold[to][0].ID, err)
		}
		return err
	})
	return mails, errors.Join(err, m.markAll(ctx, tokens, string(kind), func(r *affair) bool { return !failed[r.ID] }))
}

// affairs reads the tokens about which somebody may be still to be told.
func (m *Messenger) affairs(ctx context.Context, kind Kind, ids []token.ID, why func(token.Token) Kind) (tokens []*affair, err error) {
	err = m.parts.Reports.TokensByID(ctx, ids, func(t token.Token, err error) {
		if err != nil {
			m.parts.Malformed(err)
			return
		}
		if slices.Contains(t.Notices, string(kind)) {
			return
		}
		if reason := why(t); reason != "" {
			tokens = append(tokens, &affair{Token: t, why: reason})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("find %d tokens: %w", len(ids), err)
	}
	slices.SortFunc(tokens, func(a, b *affair) int { return cmp.Compare(a.ID, b.ID) })
	if err := m.findPeople(ctx, tokens); err != nil {
		return nil, err
	}
	for _, r := range tokens {
		if len(r.people) > 0 {
			// A report ends no token of another account, and only administrators can.
			reach := token.ReachAccount
			if slices.ContainsFunc(r.people, func(to account.Account) bool { return to.Admin }) {
				reach = token.ReachAll
			}
			if r.made, err = m.made(ctx, r.Token, r.why, reach); err != nil {
				return nil, fmt.Errorf("find what token %s made: %w", r.ID, err)
			}
		}
		if r.why != Reused && r.Superseded() && len(r.people) > 0 {
			if r.rotation, err = m.rotation(ctx, r.Token); err != nil {
				return nil, fmt.Errorf("find the rotation of token %s: %w", r.ID, err)
			}
		}
	}
	return tokens, nil
}

// findPeople finds the recipients of each token.
func (m *Messenger) findPeople(ctx context.Context, tokens []*affair) error {
	var ids []account.ID
	managers := map[project.ID]recipients{}
	for _, r := range tokens {
		id := recipientOf(r.Token)
		if _, found := managers[r.Project]; id == 0 && r.Project != 0 && !found {
			to, err := m.finder.managers(ctx, r.Project, m.parts.Clock.Now())
			if err != nil {
				return fmt.Errorf("find the managers of project %s: %w", r.Project, err)
			}
			managers[r.Project] = to
		}
		if id != 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	profiles, err := m.finder.profiles(ctx, slices.Compact(ids))
	if err != nil {
		return fmt.Errorf("find %d owners: %w", len(ids), err)
	}
	for _, r := range tokens {
		if id := recipientOf(r.Token); id != 0 {
			profile, known := profiles[id]
			r.recipients = person(profile, known)
		} else {
			r.recipients = managers[r.Project]
		}
	}
	return nil
}

// recipientOf returns the account to tell about t. It is 0 for a bot's token, whose managers are told,
// and for an impersonation token that the console made, about which nobody is told.
func recipientOf(t token.Token) account.ID {
	switch {
	case t.Kind.OfProject():
		return 0
	case t.Kind == token.Impersonation:
		return t.CreatedBy
	default:
		return t.Owner
	}
}

// mostMade is how many chains a mail looks at for each token.
const mostMade = 20

// made finds what the chain of t made within reach, and what is left of it. It returns nil for nothing. What
// reuse ends counts as ended, although it may take the request a moment longer.
func (m *Messenger) made(ctx context.Context, t token.Token, why Kind, reach token.Reach) (*Made, error) {
	var made Made
	seen := map[token.ID]bool{t.Family: true}
	ends := map[token.ID]bool{t.Family: why == Reused}
	for queue := []token.ID{t.Family}; len(queue) > 0; queue = queue[1:] {
		children, err := m.parts.Reports.Children(ctx, queue[0])
		if err != nil {
			return nil, err
		}
		for _, c := range children {
			switch {
			case seen[c.Family], !reach.Ends(queue[0].Owner(), c):
				continue
			case len(seen) > mostMade:
				made.More = true
				continue
			}
			seen[c.Family] = true
			queue = append(queue, c.Family)
			if ends[c.Family] = ends[queue[0]] && token.ReachOwn.Ends(queue[0].Owner(), c); ends[c.Family] {
				made.Ended = append(made.Ended, c.Family)
				continue
			}
			newest, err := m.newest(ctx, c.Family)
			if err != nil {
				return nil, err
			}
			switch works, err := m.works(ctx, newest); {
			case err != nil:
				return nil, err
			case works:
				made.Working = append(made.Working, newest.ID)
			default:
				made.Ended = append(made.Ended, c.Family)
			}
		}
	}
	if len(seen) == 1 {
		return nil, nil //nolint:nilnil // a token that made nothing has nothing to tell
	}
	return &made, nil
}

// works reports whether a token has not ended. One whose owner is blocked has not: it may work again.
func (m *Messenger) works(ctx context.Context, t token.Token) (bool, error) {
	now := m.parts.Clock.Now()
	if t.ID == 0 || t.RevokedIn(now, 0) {
		return false, nil
	}
	set, err := m.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return false, err
	}
	owners, err := m.finder.profiles(ctx, []account.ID{t.Owner})
	if err != nil {
		return false, err
	}
	owner, known := owners[t.Owner]
	return known && t.StateAt(now, owner.TokensValidFrom, set) == token.Active, nil
}

// newest returns the newest token of a chain, or the zero Token if clean-up has taken it.
func (m *Messenger) newest(ctx context.Context, first token.ID) (newest token.Token, err error) {
	newest, err = m.parts.Reports.Newest(ctx, first)
	if !errors.Is(err, fault.ErrNotFound) {
		return newest, err
	}
	err = m.parts.Reports.TokensByID(ctx, []token.ID{first}, func(t token.Token, err error) {
		if err == nil {
			newest = t
		}
	})
	return newest, err
}

// rotation finds out who rotated t. The audit trail forgets it after a year.
func (m *Messenger) rotation(ctx context.Context, t token.Token) (*Rotation, error) {
	found := &Rotation{}
	newest, err := m.parts.Reports.Newest(ctx, t.Family)
	switch {
	case errors.Is(err, fault.ErrNotFound), errors.Is(err, fault.ErrCorrupt):
	case err != nil:
		return nil, err
	}
	switch works, err := m.works(ctx, newest); {
	case err != nil:
		return nil, err
	case works:
		found.Newest = newest.ID
	}
	if found.At, err = m.rotatedAt(ctx, t, newest); err != nil || found.At.IsZero() {
		return found, err
	}
	name := audit.NameOf(t.Kind, audit.Rotated)
	err = m.parts.Reports.Events(ctx, audit.TokenEntity(t), audit.Period{From: found.At, To: found.At}, func(e audit.Event) bool {
		if e.Name != name || e.Previous != t.ID {
			return true
		}
		found.ByID, found.From, found.Itself = e.Author, e.Address, e.Presented == t.ID
		return false
	})
	if err != nil || found.ByID == 0 {
		return found, err
	}
	profiles, err := m.finder.profiles(ctx, []account.ID{found.ByID})
	found.By = profiles[found.ByID].Username
	return found, err
}

// rotatedAt returns when t was rotated, or the zero time. A token that was rotated with an overlap
// before records had SupersededAt does not say it, so rotatedAt then looks for its successor, from the
// newest of the chain back.
func (m *Messenger) rotatedAt(ctx context.Context, t, newest token.Token) (at time.Time, err error) {
	switch {
	case t.RevokedReason == token.ReasonRotated:
		return t.RevokedAt, nil
	case !t.SupersededAt.IsZero():
		return t.SupersededAt, nil
	}
	const most = 50
	for n := 0; n < most && newest.Previous != 0; n++ {
		if newest.Previous == t.ID {
			return newest.CreatedAt, nil
		}
		previous := newest.Previous
		newest = token.Token{}
		err := m.parts.Reports.TokensByID(ctx, []token.ID{previous}, func(found token.Token, err error) {
			if err == nil {
				newest = found
			}
		})
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

// tell sends one person the mail about tokens, and marks these.
func (m *Messenger) tell(ctx context.Context, kind Kind, to account.Account, tokens []*affair) (mails int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	told, last, err := m.allowed(ctx, to, tokens)
	if err != nil {
		return 0, err
	}
	if len(told) > 0 {
		switch err := m.send(ctx, m.notice(kind, to, told, last)); {
		case err == nil:
			mails++
		case !errors.Is(err, ErrRejected): // a dead address is finished work
			return 0, err
		}
	}
	// The mark for all comes after the last person's.
	return mails, m.markAll(ctx, tokens, ownMark(kind, to.ID), func(r *affair) bool { return len(r.people) > 1 })
}

// allowed returns the tokens that the person may be told about today, and whether this is the last mail
// of the day about tokens of projects and groups. It holds the others back. A mail that fails has been
// counted, so a person gets fewer mails and never more.
func (m *Messenger) allowed(ctx context.Context, to account.Account, tokens []*affair) (told []*affair, last bool, err error) {
	var held []*affair
	for _, r := range tokens {
		if r.Kind.OfProject() {
			held = append(held, r)
		} else {
			told = append(told, r)
		}
	}
	if len(held) == 0 {
		return told, false, nil
	}
	number, err := m.parts.Allowance.TakeMail(ctx, to.ID, clock.DayOf(m.parts.Clock.Now()), m.parts.DailyMails)
	switch {
	case err == nil:
		return tokens, number == m.parts.DailyMails, nil
	case !errors.Is(err, ErrMailLimit):
		return nil, false, err
	}
	return told, false, parallel(markers, held, func(r *affair) error {
		p := Post{To: to.ID, Token: r.ID, Digest: r.Digest, Kind: r.why, ExpiresOn: r.ExpiresOn}
		return m.parts.Posts.Post(ctx, Held, p, m.parts.Clock.Now())
	})
}

func (m *Messenger) notice(kind Kind, to account.Account, tokens []*affair, last bool) Notice {
	n := Notice{Kind: kind, Recipient: to, Today: clock.DayOf(m.parts.Clock.Now()), Total: len(tokens), Last: last}
	slices.SortStableFunc(tokens, func(a, b *affair) int {
		return cmp.Or(cmp.Compare(a.project.ID, b.project.ID), cmp.Compare(a.why, b.why))
	})
	for _, r := range tokens[:min(len(tokens), MaxListed)] {
		t := shown(r.Token, r.why, r.project)
		if r.rotation != nil {
			rotation := *r.rotation
			if !rotation.Itself && rotation.ByID != to.ID {
				rotation.From = "" // people do not see the addresses of others
			}
			t.Rotation = &rotation
		}
		t.Made = r.made
		n.Tokens = append(n.Tokens, t)
	}
	return n
}

// ownMark is the mark of a mail to one of several recipients.
func ownMark(kind Kind, to account.ID) string { return string(kind) + "@" + to.String() }

// markAll marks those of the tokens that which chooses, even if the call ends, because their mails are
// sent. A missing mark repeats a mail, so it tries several times and continues after a fault.
func (m *Messenger) markAll(ctx context.Context, tokens []*affair, mark string, which func(*affair) bool) error {
	ctx = context.WithoutCancel(ctx)
	return parallel(markers, tokens, func(r *affair) error {
		if !which(r) {
			return nil
		}
		pause := firstMarkPause
		for try := 1; ; try++ {
			err := m.parts.Records.Mark(ctx, r.Token, mark, m.parts.Clock.Now())
			switch {
			case err == nil:
				return nil
			case try == markTries:
				return fmt.Errorf("mark token %s: %w", r.ID, err)
			}
			<-time.After(pause)
			pause *= 2
		}
	})
}

// sendTries and sendPause apply while SES throttles. The pause doubles from try to try, to eight
// seconds.
const (
	sendTries = 5
	sendPause = time.Second
)

func (m *Messenger) send(ctx context.Context, n Notice) error {
	for try := 0; ; try++ {
		err := m.parts.Mailer.Send(ctx, n)
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
