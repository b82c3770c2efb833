package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// An Ender ends rotation chains and what they made. Every step may be done again. It is safe for
// concurrent use.
type Ender struct{ parts EnderParts }

// EnderParts hold the dependencies of an Ender. All are required.
type EnderParts struct {
	Store  RevokeStore
	Reader TokenReader
	Queue  EndingQueue
	// Settings say whether expired tokens work.
	Settings SettingsReader
	Clock    clock.Clock
}

// NewEnder returns an Ender, or an error that names a missing part.
func NewEnder(parts EnderParts) (*Ender, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Ender{parts}, nil
}

// An Unfinished ending names a token whose chain ends, and how far that reaches. It is queued before the first
// token ends if there is anything below.
type Unfinished struct {
	Token  token.ID
	Reach  token.Reach
	Reason token.Reason
	From   audit.Origin
	At     time.Time
}

// endWorkers is how many chains end at a time. A thousand take a few seconds, and other requests to the
// table hardly notice.
const endWorkers = 16

// ended is what an end did.
type ended struct {
	// Revoked are the tokens of the chain itself that were revoked.
	Revoked []token.Token
	// Children counts the working tokens of other chains that were revoked.
	Children int
	// Below says that the chain may have made something.
	Below bool
}

// A chain is a rotation chain that is to end.
type chain struct {
	// known is a token of it, as it was read.
	known token.Token
	// exact revokes known and does not follow a rotation that comes first. A request then leaves the tokens
	// before it to the end of their overlap.
	exact  bool
	reason token.Reason
	from   audit.Origin
	source string   // of a leak
	parent token.ID // what ended above it, or 0
	// reach is how far the end reaches into what the chain made, and left are working tokens that it made
	// and that live on. The events of its revocation name them.
	reach token.Reach
	left  []token.ID
	// queue is what to queue before the first token ends if the chain has made something, or nil.
	queue *Unfinished
}

// end ends the chain of t, then everything below it within reach. For a request about the newest token
// of a chain it returns token.ErrSuperseded if a rotation comes first, unless everything is to end.
func (e *Ender) end(ctx context.Context, t token.Token, reach token.Reach, reason token.Reason, from audit.Origin) (ended, error) {
	c := chain{known: t, exact: reach == token.ReachOwn && reason == token.ReasonRequest, reason: reason, from: from, reach: reach}
	if reach != token.ReachNone {
		c.queue = &Unfinished{t.ID, reach, reason, from, e.parts.Clock.Now()}
	}
	return e.endAll(ctx, c)
}

// endLeaked ends a reported token and everything below its chain that belongs to the same owner or to
// projects and groups. A token that was rotated and no longer works ends nothing, whatever ended it: an old
// bearer in a repository's history must not end what its successor makes. If a report has ended it, only
// what that report was to end is finished.
func (e *Ender) endLeaked(ctx context.Context, t token.Token, from audit.Origin, source string) (ended, error) {
	// Nothing is read for a token that has made nothing, or that an earlier report has dealt with, because anybody
	// may repeat a report.
	over, superseded := t.RevokedIn(e.parts.Clock.Now(), 0), t.Superseded()
	switch {
	case over && superseded && t.RevokedReason != token.ReasonLeak,
		over && slices.Contains(t.Notices, token.MarkBelow),
		over && !superseded && !t.Made && t.Previous == 0:
		return ended{}, nil
	}
	done, err := e.endAll(ctx, chain{
		known: t, exact: true, reason: token.ReasonLeak, from: from, source: source, reach: token.ReachAccount,
		queue: &Unfinished{t.ID, token.ReachAccount, token.ReasonLeak, from, e.parts.Clock.Now()},
	})
	if err == nil && (over || superseded) {
		err = e.parts.Store.Mark(ctx, t, token.MarkBelow, e.parts.Clock.Now())
	}
	return done, err
}

// endAll ends a chain and what is below it.
func (e *Ender) endAll(ctx context.Context, c chain) (ended, error) {
	revoked, below, err := e.endChain(ctx, c)
	done := ended{Revoked: revoked, Below: below}
	if err != nil || !below || c.reach == token.ReachNone {
		return done, err
	}
	if err = e.endBelow(ctx, c, &done); err == nil && c.queue != nil {
		err = e.parts.Queue.EndingDone(ctx, *c.queue)
	}
	return done, err
}

// finishAfter is when a request that has not finished its ending is over: no function behind the API may
// run that long.
const finishAfter = time.Minute

// Finish finishes the endings whose requests are over. An ending that fails does not stop the others. It
// returns how many it finished.
func (e *Ender) Finish(ctx context.Context) (finished int, err error) {
	endings, err := e.parts.Queue.Endings(ctx, e.parts.Clock.Now().Add(-finishAfter))
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, u := range endings {
		if err := e.finish(ctx, u); err != nil {
			failures = append(failures, fmt.Errorf("ending of token %s: %w", u.Token, err))
			continue
		}
		finished++
	}
	return finished, errors.Join(failures...)
}

func (e *Ender) finish(ctx context.Context, u Unfinished) error {
	t, err := e.parts.Reader.Token(ctx, u.Token)
	if errors.Is(err, fault.ErrNotFound) {
		return e.parts.Queue.EndingDone(ctx, u)
	}
	if err != nil {
		return err
	}
	c := chain{known: t, reason: u.Reason, from: u.From, reach: u.Reach, queue: &u}
	if u.Reason == token.ReasonLeak {
		c.exact = true
		if t.RotatedAway() && t.RevokedIn(e.parts.Clock.Now(), 0) { // the rotation came before the report
			return e.parts.Queue.EndingDone(ctx, u)
		}
	} else if u.Reach == token.ReachOwn && u.Reason == token.ReasonRequest {
		c.exact = true
		if t.RevokedAt.IsZero() || t.Superseded() { // the request revoked nothing
			return e.parts.Queue.EndingDone(ctx, u)
		}
	} else if begun, err := e.begun(ctx, t); err != nil {
		return err
	} else if !begun {
		return e.parts.Queue.EndingDone(ctx, u)
	}
	_, err = e.endAll(ctx, c)
	return err
}

// begun reports whether the newest token of a chain was revoked: a request that revoked nothing is not
// made up for.
func (e *Ender) begun(ctx context.Context, t token.Token) (bool, error) {
	newest, err := e.parts.Store.Newest(ctx, t.Family)
	if errors.Is(err, fault.ErrNotFound) {
		newest, err = t, nil
	}
	return err == nil && !newest.Superseded() && !newest.RevokedAt.IsZero(), err
}

// endChain revokes the working tokens of a chain: the newest one and those in an overlap. below is
// false if the chain has made nothing and never will.
func (e *Ender) endChain(ctx context.Context, c chain) (revoked []token.Token, below bool, err error) {
	const tries = 8
	for range tries {
		newest := c.known
		if !c.exact {
			newest, err = e.parts.Store.Newest(ctx, c.known.Family)
			switch {
			case errors.Is(err, fault.ErrNotFound) && c.known.ID == 0:
				return nil, true, nil
			case errors.Is(err, fault.ErrNotFound):
				newest = c.known // it was never rotated
			case err != nil:
				return revoked, below, fmt.Errorf("find newest of family %s: %w", c.known.Family, err)
			case newest.Superseded():
				continue // it was replaced between the two reads
			}
		}
		if below, err = e.prepare(ctx, &c); err != nil {
			return revoked, below, err
		}
		// A bearer that is reused was revoked.
		if c.reason != token.ReasonReuse || newest.ID > c.known.ID && newest.RevokedAt.IsZero() {
			err = e.revokeIn(ctx, c, newest, &below, &revoked)
		}
		switch {
		case errors.Is(err, token.ErrSuperseded) && !c.exact: // a rotation came first
			continue
		case err != nil && c.exact:
			return revoked, below, err
		case err != nil:
			return revoked, below, fmt.Errorf("revoke newest of family %s: %w", c.known.Family, err)
		}
		if c.exact && c.reason == token.ReasonRequest {
			return revoked, below, nil // the tokens before it work to the end of their overlap
		}
		return revoked, below, e.revokeOverlaps(ctx, c, newest, &below, &revoked)
	}
	return revoked, below, fault.ErrUnavailable
}

// prepare looks at what the chain made before its end: it notes what lives on, and queues the ending of a
// chain that has made something. below is false if there is nothing.
func (e *Ender) prepare(ctx context.Context, c *chain) (below bool, err error) {
	if c.reach == token.ReachNone || c.queue == nil && c.reach == token.ReachAll {
		return true, nil
	}
	children, err := e.parts.Store.Children(ctx, c.known.Family)
	if err != nil {
		return false, err
	}
	if c.left, err = e.left(ctx, c.known.Family.Owner(), c.reach, children); err != nil || c.queue == nil {
		return true, err
	}
	if len(children) == 0 {
		return false, nil
	}
	return true, e.parts.Queue.AddEnding(ctx, *c.queue)
}

// mostLeft is how many of the tokens that live on an event names.
const mostLeft = 20

// left returns the working tokens among children that the end of a chain of owner does not end, the oldest
// first, at most mostLeft.
func (e *Ender) left(ctx context.Context, owner account.ID, reach token.Reach, children []token.Child) (left []token.ID, err error) {
	var digests []secret.Digest
	for _, c := range children {
		if !reach.Ends(owner, c) && !slices.Contains(digests, c.Digest) && len(digests) < 5*mostLeft {
			digests = append(digests, c.Digest)
		}
	}
	if len(digests) == 0 {
		return nil, nil
	}
	tokens, err := e.parts.Store.TokensByDigest(ctx, digests)
	if err != nil {
		return nil, err
	}
	var newest []token.Token
	for _, t := range tokens {
		if t.Superseded() {
			known, err := e.parts.Store.Newest(ctx, t.Family)
			if err != nil && !errors.Is(err, fault.ErrNotFound) {
				return nil, err
			}
			t = known
		}
		if t.ID != 0 && !t.RevokedIn(e.parts.Clock.Now(), 0) {
			newest = append(newest, t)
		}
	}
	if newest, err = e.working(ctx, newest); err != nil {
		return nil, err
	}
	for _, t := range newest {
		left = append(left, t.ID)
	}
	slices.Sort(left)
	left = slices.Compact(left)
	return left[:min(len(left), mostLeft)], nil
}

// revokeIn revokes a token of a chain. One that was taken for childless, and has made a token meanwhile, is
// queued first.
func (e *Ender) revokeIn(ctx context.Context, c chain, t token.Token, below *bool, revoked *[]token.Token) error {
	t.Childless = !*below
	did, err := e.revokeOne(ctx, t, c)
	if errors.Is(err, token.ErrMade) {
		if err := e.parts.Queue.AddEnding(ctx, *c.queue); err != nil {
			return err
		}
		*below, t.Childless = true, false
		did, err = e.revokeOne(ctx, t, c)
	}
	if did && err == nil {
		*revoked = append(*revoked, t)
	}
	return err
}

// revokeOverlaps revokes the tokens before newest that work in an overlap. They cannot rotate
// again, so there will be no others. It stops at a token whose successor is older than the longest
// overlap, because that token and all before it are revoked.
func (e *Ender) revokeOverlaps(ctx context.Context, c chain, newest token.Token, below *bool, revoked *[]token.Token) error {
	for t := newest; t.Previous != 0 && e.parts.Clock.Now().Sub(t.CreatedAt) <= token.MaxOverlap; {
		previous, err := e.parts.Reader.Token(ctx, t.Previous)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("find token %s: %w", t.Previous, err)
		}
		if err := e.revokeIn(ctx, c, previous, below, revoked); err != nil {
			return fmt.Errorf("revoke token %s: %w", previous.ID, err)
		}
		t = previous
	}
	return nil
}

// A node is a chain below the one that ends.
type node struct {
	child token.Child
	// parent is the token that ended above.
	parent token.ID
	// ended says that the chain has ended, and only its children are still to be found.
	ended bool
}

// endBelow ends what the ended chain c made, within its reach, level by level. Each chain ends before its
// children are listed, so it makes no others. It visits each chain once, because two tokens can rotate
// each other. A chain that cannot be ended, or not before ctx ends, does not stop the others; the error
// is then fault.ErrUnavailable.
func (e *Ender) endBelow(ctx context.Context, c chain, done *ended) error {
	var (
		mu       sync.Mutex
		failures []error
		worked   []token.Token
		seen     = map[token.ID]bool{c.known.Family: true}
		level    = []node{{child: token.Child{Family: c.known.Family}, parent: c.known.ID, ended: true}}
	)
	for len(level) > 0 {
		var next []node
		var group errgroup.Group
		group.SetLimit(endWorkers)
		for _, n := range level {
			group.Go(func() error {
				revoked, children, err := e.endNode(ctx, c, n)
				mu.Lock()
				defer mu.Unlock()
				worked = append(worked, revoked...)
				if err != nil {
					failures = append(failures, fmt.Errorf("chain %s: %w", n.child.Family, err))
				}
				for _, child := range children {
					if !seen[child.Family] && c.reach.Ends(n.child.Family.Owner(), child) {
						seen[child.Family] = true
						next = append(next, node{child: child, parent: n.child.Family})
					}
				}
				return nil
			})
		}
		_ = group.Wait() // failures has all errors, and Wait only the first
		level = next
	}
	done.Children = len(worked)
	if known, err := e.working(ctx, worked); err == nil { // a number that is too high must not undo an answer
		done.Children = len(known)
	}
	if len(failures) > 0 {
		const told = 5
		return fmt.Errorf("%w: %d chains below not ended: %w", fault.ErrUnavailable, len(failures), errors.Join(failures[:min(len(failures), told)]...))
	}
	return nil
}

// endNode ends a chain below c and returns what that chain made.
func (e *Ender) endNode(ctx context.Context, c chain, n node) (revoked []token.Token, children []token.Child, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err // an attempt now could not find out whether it was committed
	}
	if !n.ended {
		known, err := e.parts.Reader.TokenByDigest(ctx, n.child.Digest)
		switch {
		case errors.Is(err, fault.ErrNotFound), errors.Is(err, fault.ErrCorrupt):
			known = token.Token{Family: n.child.Family} // clean-up has taken it, or it never works
		case err != nil:
			return nil, nil, err
		}
		revoked, _, err = e.endChain(ctx, chain{known: known, reason: token.ReasonParent, from: c.from, reach: c.reach, parent: n.parent})
		if err != nil {
			return revoked, nil, err
		}
	}
	children, err = e.parts.Store.Children(ctx, n.child.Family)
	return revoked, children, err
}

// working returns those of tokens that work, or worked until they were revoked by themselves: they have not
// expired, and were not revoked with all others of their account or of a restored table.
func (e *Ender) working(ctx context.Context, tokens []token.Token) (working []token.Token, err error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	set, err := e.parts.Settings.TokenSettings(ctx)
	if err != nil {
		return nil, err
	}
	now, validFrom := e.parts.Clock.Now(), map[account.ID]int64{}
	for _, t := range tokens {
		if _, known := validFrom[t.Owner]; !known && !t.Kind.OfProject() { // a bot's are never revoked in bulk
			owner, err := ownerOf(ctx, e.parts.Reader, t)
			if err != nil {
				return nil, err
			}
			validFrom[t.Owner] = owner.TokensValidFrom
		}
		if !t.ExpiredIn(now, set) && t.ID.Number() >= validFrom[t.Owner] && !t.CreatedAt.Before(set.TokensFrom) {
			working = append(working, t)
		}
	}
	return working, nil
}

// revoke revokes one token.
func (e *Ender) revoke(ctx context.Context, t token.Token, reason token.Reason, from audit.Origin) error {
	_, err := e.revokeOne(ctx, t, chain{reason: reason, from: from})
	return err
}

// revokeOne revokes a token of a chain. did is false if it had been revoked before.
func (e *Ender) revokeOne(ctx context.Context, t token.Token, c chain) (did bool, err error) {
	// A bot without a working token must go, whatever the cause.
	withBot := t.Kind.OfProject() && !t.Superseded()
	worked := !t.RevokedIn(e.parts.Clock.Now(), 0)
	if !worked && !withBot {
		return false, nil
	}
	t.RevokedAt, t.RevokedReason = e.parts.Clock.Now(), c.reason
	event := audit.OfToken(t.RevokedAt, c.from, t, audit.Revoked)
	left := make([]string, len(c.left))
	for i, id := range c.left {
		left[i] = id.String()
	}
	switch {
	case c.source != "":
		event.Change, event.To = "found_in", c.source
	case c.parent != 0:
		event.Change, event.To = "made_by", c.parent.String()
	case len(left) > 0:
		event.Change = "left_working"
	}
	switch {
	case event.Change == "left_working":
		event.To = strings.Join(left, ", ")
	case len(left) > 0:
		event.From = "left working: " + strings.Join(left, ", ")
	}
	return worked, e.parts.Store.RevokeToken(ctx, t, event)
}
