package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A Carried is what CarryOver has done, or would do.
type Carried struct {
	// Tokens counts the tokens that ended by themselves, and Rotated those of them that had been rotated:
	// their successors are unknown here. Bots counts those that went with them.
	Tokens, Rotated, Bots int
	// Accounts counts the people whose tokens ended in bulk.
	Accounts int
	// Deleted, Blocked, Ranks and Identities count accounts that were deleted, were blocked or deactivated,
	// lost a rank, and lost who signs in as them.
	Deleted, Blocked, Ranks, Identities int
	// Members counts the memberships that ended or were lowered.
	Members int
	// Last is the last account that is done. Done says that there are no others.
	Last account.ID
	Done bool
}

// add adds what was done to one account.
func (c *Carried) add(one Carried) {
	c.Tokens, c.Rotated, c.Bots, c.Accounts = c.Tokens+one.Tokens, c.Rotated+one.Rotated, c.Bots+one.Bots, c.Accounts+one.Accounts
	c.Deleted, c.Blocked, c.Ranks, c.Identities = c.Deleted+one.Deleted, c.Blocked+one.Blocked, c.Ranks+one.Ranks, c.Identities+one.Identities
	c.Members += one.Members
}

// CarryOver ends in the restored table what has ended in the table of before since the instant to which it
// was restored, which is o.Before. What was made in the restored table since then is left alone.
//
// Every session ends. Expiry counts, and impersonation is off, if that is so in the table of before. Errors:
// ErrBefore for a missing or future instant, ErrNoOldTable, ErrOtherTable.
func (r *Restorer) CarryOver(ctx context.Context, o Order) (Carried, error) {
	now := r.parts.Clock.Now()
	switch {
	case r.parts.Old == nil:
		return Carried{}, ErrNoOldTable
	case o.Before.IsZero(), o.Before.After(now):
		return Carried{}, ErrBefore
	}
	if err := r.compareTables(ctx); err != nil {
		return Carried{}, err
	}
	if err := r.carrySettings(ctx, o, now); err != nil {
		return Carried{}, err
	}
	var mu sync.Mutex
	var done Carried
	last, all, err := r.parts.Reader.EachAccount(ctx, o.After, func(ctx context.Context, acct account.Account) error {
		if !acct.CreatedAt.Before(o.Before) {
			return nil
		}
		one, err := r.carryAccount(ctx, o, acct)
		mu.Lock()
		defer mu.Unlock()
		done.add(one)
		return err
	})
	done.Last, done.Done = last, all
	return done, err
}

// compareTables refuses a table that cannot be the one of before: compared with it, most tokens would
// look as if they had ended.
func (r *Restorer) compareTables(ctx context.Context) error {
	here, err := r.parts.Reader.LastAccountID(ctx)
	if err != nil {
		return fmt.Errorf("find last account: %w", err)
	}
	there, err := r.parts.Old.LastAccountID(ctx)
	if err != nil {
		return fmt.Errorf("find last account of the old table: %w", err)
	}
	if there < here {
		return ErrOtherTable
	}
	return nil
}

// carrySettings tightens what decides whether a token works. Sessions end with the first call of a walk:
// an account that is made now may get the id of one that the restored table does not know, and with it the
// sessions of that one.
func (r *Restorer) carrySettings(ctx context.Context, o Order, now time.Time) error {
	old, err := r.parts.Old.Settings(ctx)
	if err != nil {
		return fmt.Errorf("read settings of the old table: %w", err)
	}
	return r.tighten(ctx, o, func(s *settings.Application) {
		s.TokensFrom, s.SessionsFrom = later(s.TokensFrom, old.TokensFrom), later(s.SessionsFrom, old.SessionsFrom)
		if o.After == 0 {
			s.SessionsFrom = later(s.SessionsFrom, now.Add(lead).Truncate(time.Second).UTC())
		}
		s.ExpiryIgnored = s.ExpiryIgnored && old.ExpiryIgnored
		s.ImpersonationOff = s.ImpersonationOff || old.ImpersonationOff
	})
}

// carryAccount ends what has ended of one account.
func (r *Restorer) carryAccount(ctx context.Context, o Order, acct account.Account) (done Carried, err error) {
	old, err := r.parts.Old.Account(ctx, acct.ID)
	switch {
	case errors.Is(err, fault.ErrNotFound) && acct.Bot:
		old = account.Gone(acct.ID)
	case errors.Is(err, fault.ErrNotFound):
		return Carried{Deleted: 1}, r.delete(ctx, o, acct)
	case err != nil:
		return Carried{}, fmt.Errorf("read account of the old table: %w", err)
	}
	if err = r.carryTokens(ctx, o, acct, old, &done); err != nil || acct.Bot {
		return done, err
	}
	if err = r.carryProfile(ctx, o, acct, old, &done); err != nil {
		return done, err
	}
	return done, r.carryMembers(ctx, o, acct, &done)
}

// delete deletes an account. Its memberships go first, because a walk that comes again finds no deleted
// account.
func (r *Restorer) delete(ctx context.Context, o Order, acct account.Account) error {
	if o.Count {
		return nil
	}
	now := r.parts.Clock.Now()
	if _, err := r.parts.Store.LeaveAll(ctx, acct.ID, audit.OfAccount(now, o.from(), audit.MemberRemoved, acct)); err != nil {
		return fmt.Errorf("end memberships: %w", err)
	}
	return r.parts.Store.DeleteAccount(ctx, acct, audit.OfAccount(now, o.from(), audit.AccountDeleted, acct))
}

// carryTokens ends the tokens of an account that have ended, one by one and in bulk.
func (r *Restorer) carryTokens(ctx context.Context, o Order, acct, old account.Account, done *Carried) error {
	now, first, inBulk := r.parts.Clock.Now(), acct.NextNumber, 0 // first is the first number that was given out since
	err := r.eachToken(ctx, acct.ID, func(tokens []token.Token) error {
		var digests []secret.Digest
		for _, t := range tokens {
			switch {
			case !t.CreatedAt.Before(o.Before):
				first = min(first, t.ID.Number())
			case !t.RevokedIn(now, acct.TokensValidFrom):
				digests = append(digests, t.Digest)
			}
		}
		there, err := r.parts.Old.TokensByDigest(ctx, digests)
		if err != nil {
			return fmt.Errorf("read tokens of the old table: %w", err)
		}
		for _, t := range tokens {
			if !slices.Contains(digests, t.Digest) {
				continue
			}
			reason, ended := token.ReasonRequest, true
			if n := slices.IndexFunc(there, func(other token.Token) bool { return other.Digest == t.Digest }); n >= 0 {
				// Clean-up has taken a record that is gone, after its end.
				reason, ended = endOf(there[n], t, now)
			}
			switch {
			case ended:
				if err := r.carryToken(ctx, o, t, reason, done); err != nil {
					return err
				}
			case t.ID.Number() < old.TokensValidFrom:
				inBulk++
			}
		}
		return nil
	})
	if err != nil || acct.Bot {
		return err
	}
	from := min(old.TokensValidFrom, first)
	if from <= acct.TokensValidFrom {
		return nil
	}
	done.Accounts++
	if o.Count {
		return nil
	}
	event := audit.OfAccount(now, o.from(), audit.TokensRevoked, acct)
	event.Tokens = inBulk
	return r.parts.Store.RaiseValidFrom(ctx, acct.ID, from, event)
}

// endOf returns whether a token has ended in the table of before by itself, and why.
func endOf(old, here token.Token, now time.Time) (reason token.Reason, ended bool) {
	switch {
	case old.RotatedAway() && !here.Superseded():
		return token.ReasonRotated, true
	case !old.RevokedIn(now, 0):
		return "", false
	case old.RevokedReason == "": // its overlap is over
		return token.ReasonRequest, true
	}
	return old.RevokedReason, true
}

// carryToken ends one token.
func (r *Restorer) carryToken(ctx context.Context, o Order, t token.Token, reason token.Reason, done *Carried) error {
	done.Tokens++
	if t.Kind.OfProject() && !t.Superseded() {
		done.Bots++
	}
	switch reason {
	case token.ReasonRotated:
		// A record with this reason has a successor. Here there is none, and nobody could find it.
		done.Rotated++
		reason = token.ReasonRequest
	case token.ReasonReuse:
		reason = token.ReasonRequest // people are told of this reason, and were told of it before
	}
	return r.revoke(ctx, o, t, reason)
}

// carryProfile takes from an account what it has lost.
func (r *Restorer) carryProfile(ctx context.Context, o Order, acct, old account.Account, done *Carried) error {
	now, from := r.parts.Clock.Now(), o.from()
	if state := stricter(acct.State, old.State); state != acct.State {
		done.Blocked++
		name := audit.AccountBlocked
		if state == account.Deactivated {
			name = audit.AccountDeactivated
		}
		if !o.Count {
			if err := r.parts.Store.SetAccountState(ctx, acct.ID, acct.State, state, audit.OfAccount(now, from, name, acct)); err != nil {
				return fmt.Errorf("set state: %w", err)
			}
		}
	}
	if acct.Identity != (account.Identity{}) && acct.Identity != old.Identity {
		done.Identities++
		if !o.Count {
			if err := r.parts.Store.UnlinkIdentity(ctx, acct, audit.OfAccount(now, from, audit.IdentityUnlinked, acct)); err != nil {
				return fmt.Errorf("unlink identity: %w", err)
			}
		}
	}
	after := acct
	after.Admin, after.External, after.NoGroups = acct.Admin && old.Admin, acct.External || old.External, acct.NoGroups || old.NoGroups
	var events []audit.Event
	for _, flag := range []struct {
		name          string
		before, after bool
	}{{"admin", acct.Admin, after.Admin}, {"external", acct.External, after.External}, {"group_creation", !acct.NoGroups, !after.NoGroups}} {
		if flag.before != flag.after {
			event := audit.OfAccount(now, from, audit.AccountUpdated, acct)
			event.Change, event.From, event.To = flag.name, strconv.FormatBool(flag.before), strconv.FormatBool(flag.after)
			events = append(events, event)
		}
	}
	if len(events) == 0 {
		return nil
	}
	done.Ranks++
	if o.Count {
		return nil
	}
	return r.parts.Store.UpdateAccount(ctx, acct, after, events)
}

// stricter returns the state of two in which an account may do less.
func stricter(a, b account.State) account.State {
	for _, state := range []account.State{account.Blocked, account.Deactivated} {
		if a == state || b == state {
			return state
		}
	}
	return a
}

// carryMembers ends and lowers the memberships of an account that have ended or were lowered.
func (r *Restorer) carryMembers(ctx context.Context, o Order, acct account.Account, done *Carried) error {
	here, err := r.parts.Reader.Memberships(ctx, acct.ID)
	if err != nil || len(here) == 0 {
		return err
	}
	there, err := r.parts.Old.Memberships(ctx, acct.ID)
	if err != nil {
		return fmt.Errorf("read memberships of the old table: %w", err)
	}
	kinds := map[project.ID]project.Kind{}
	for _, m := range here {
		kinds[m.Project] = ""
	}
	if err := r.parts.Reader.ProjectsByID(ctx, ids(here), func(p project.Project) { kinds[p.ID] = p.Kind }); err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	for _, m := range here {
		if !m.CreatedAt.Before(o.Before) {
			continue
		}
		event := audit.OfAccount(r.parts.Clock.Now(), o.from(), audit.MemberRemoved, acct)
		event.Entity = audit.ProjectEntity(token.KindIn(kinds[m.Project]), m.Project)
		n := slices.IndexFunc(there, func(other project.Member) bool { return other.Project == m.Project })
		if n < 0 {
			done.Members++
			if !o.Count {
				if err := r.parts.Store.RemoveMember(ctx, m, project.Member{}, event.Left(kinds[m.Project], m.Project, m.Level)); err != nil {
					return fmt.Errorf("remove member of %s: %w", m.Project, err)
				}
			}
			continue
		}
		after, events := lowered(m, there[n], event)
		if len(events) == 0 {
			continue
		}
		done.Members++
		if !o.Count {
			if err := r.parts.Store.LowerMember(ctx, m, after, events); err != nil {
				return fmt.Errorf("lower member of %s: %w", m.Project, err)
			}
		}
	}
	return nil
}

func ids(members []project.Member) (list []project.ID) {
	for _, m := range members {
		list = append(list, m.Project)
	}
	return list
}

// lowered returns a member with the lower level and the earlier last day of two, and the events of that.
func lowered(m, old project.Member, event audit.Event) (after project.Member, events []audit.Event) {
	after, event.Name = m, audit.MemberUpdated
	if old.Level < m.Level {
		after.Level = old.Level
		event.Change, event.From, event.To = "level", audit.LevelText(m.Level), audit.LevelText(after.Level)
		events = append(events, event)
	}
	if !old.ExpiresOn.IsZero() && (m.ExpiresOn.IsZero() || m.ExpiresOn.After(old.ExpiresOn)) {
		after.ExpiresOn = old.ExpiresOn
		event.Change, event.From, event.To = "expires_on", "", after.ExpiresOn.String()
		if !m.ExpiresOn.IsZero() {
			event.From = m.ExpiresOn.String()
		}
		events = append(events, event)
	}
	return after, events
}
