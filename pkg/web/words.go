package web

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// A moment is an instant, and how far it is away in words.
type moment struct {
	At    time.Time
	Words string
}

// never is a moment that does not come, or has not come yet.
func never(words string) moment { return moment{Words: words} }

// before describes an instant in the past.
func before(at, now time.Time) moment {
	if at.IsZero() {
		return never("never")
	}
	if now.Sub(at) < time.Minute {
		return moment{at, "just now"}
	}
	return moment{at, length(now.Sub(at)) + " ago"}
}

// until describes an instant in the future, or in the past.
func until(at, now time.Time) moment {
	if at.After(now) {
		return moment{at, "in " + length(at.Sub(now))}
	}
	return before(at, now)
}

// length words a length of time, cut to a whole unit.
func length(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 2*day:
		return count(int(d/time.Hour), "hour")
	default:
		return count(int(d/day), "day")
	}
}

// count words a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// A state is what is to say about a token's state. The mark is for the style; the words say it too.
type state struct {
	Mark  string // "good", "soon", "near" or "over"
	Words string
	// Note goes on, if there is more to say.
	Note string
	End  moment
}

const (
	// soonDays and nearDays are how long before its end a token is marked, in days.
	soonDays = lifecycle.EndsSoon
	nearDays = 3
)

// stateOf describes a token's state. revoked is the event of its revocation, or nil.
func stateOf(v lifecycle.View, now time.Time, revoked *deed) state {
	t := v.Token
	end := never("never")
	expires := t.ExpiresAt()
	if !expires.IsZero() {
		end = until(expires, now)
	}
	switch {
	case v.Active && t.UntilUsed:
		return state{"near", "Replaced", "It works until its successor is used for the first time, and no longer than that.", until(t.WorksUntil, now)}
	case v.Active && !t.WorksUntil.IsZero():
		return state{"near", "Replaced", "It works until its successor takes over.", until(t.WorksUntil, now)}
	case v.Active && t.Life > 0:
		return state{"soon", "Short life", "It ends on " + expires.Format("2006-01-02 at 15:04:05 UTC") + " and cannot be rotated.", end}
	case v.Active && expires.IsZero():
		return state{"good", "Active", "", end}
	case v.Active && expires.Sub(now) < nearDays*24*time.Hour:
		return state{"near", "Very soon", "", end}
	case v.Active && expires.Sub(now) < soonDays*24*time.Hour:
		return state{"soon", "Soon", "", end}
	case v.Active:
		return state{"good", "Active", "", end}
	}
	from := t.RevokedFrom()
	if v.Revoked && (expires.IsZero() || from.IsZero() || from.Before(expires)) {
		words, note := revocation(t, revoked)
		at := never("")
		if !from.IsZero() {
			at = before(from, now)
		}
		return state{"over", words, note, at}
	}
	return state{"over", "Expired", "", end}
}

// revocation says why a token was revoked, and by whom if that is known.
func revocation(t token.Token, by *deed) (words, note string) {
	switch t.RevokedReason {
	case token.ReasonRotated:
		return "Rotated", "A successor replaced it."
	case token.ReasonReuse:
		return "Revoked: used again", "A token that it replaced was used again, so it may have been stolen."
	case token.ReasonPolicy:
		return "Revoked by policy", "It would have worked longer than administrators allow."
	case token.ReasonLeak:
		return "Revoked: leaked", "Its value was found in public."
	case token.ReasonParent:
		return "Revoked: its maker ended", "The token that made it was revoked."
	case token.ReasonExpired:
		return "Expired", ""
	}
	switch {
	case !t.WorksUntil.IsZero():
		return "Rotated", "A successor replaced it."
	case t.RevokedAt.IsZero():
		return "Revoked with all others", "Everything of this account was revoked at once."
	case by != nil:
		return "Revoked by " + by.Who, ""
	default:
		return "Revoked", ""
	}
}

// A deed is an event of the audit trail in words.
type deed struct {
	When moment
	What string
	// Who did it: "you", a username with @, or in what capacity.
	Who     string
	Address string
}

// deedOf words an event of the caller's own trail.
func (v *visit) deedOf(e audit.Event, page trail.Page) deed {
	return deed{before(e.At, v.now), what(e), v.who(e, page), e.Address}
}

func (v *visit) who(e audit.Event, page trail.Page) string {
	switch e.Source {
	case audit.Policy:
		return "a policy"
	case audit.Reuse:
		return "Latchkey, because an old token was used again"
	case audit.Leak:
		return "Latchkey, because the value was reported as leaked"
	case audit.Mail:
		return "the mail service"
	case audit.Console:
		return "an operator"
	}
	switch {
	case e.Asker != 0:
		return "an administrator"
	case e.Author == v.by.Account.ID:
		return "you"
	case e.Author == 0:
		return "somebody unknown"
	default:
		return "@" + page.Accounts[e.Author].Username
	}
}

func what(e audit.Event) string {
	if e.Name == audit.TokensRevoked {
		return "Revoked with all tokens of the account"
	}
	done, known := e.Name.Deed()
	if !known {
		return capital(strings.ReplaceAll(string(e.Name), "_", " "))
	}
	switch done {
	case audit.Issued:
		return "Created"
	case audit.Rotated:
		if e.Previous == 0 {
			return "Rotated"
		}
		return fmt.Sprintf("Rotated: %s was replaced by %s", e.Previous, e.Token)
	case audit.Revoked:
		return "Revoked"
	case audit.Reused:
		return "Presented for rotation after it had ended"
	case audit.Strayed:
		return "Refused: used from outside its networks"
	case audit.Refused:
		return "Could not be made"
	case audit.Reported:
		return "Reported as leaked after its rotation"
	default:
		return capital(strings.ReplaceAll(string(e.Name), "_", " "))
	}
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// A broken rule in words, and the field of the form that it is about.
type broken struct{ Field, Text string }

// brokenOf words the rules that an input breaks.
func brokenOf(err error) (list []broken) {
	if breaches, ok := errors.AsType[fault.Breaches](err); ok {
		for _, b := range breaches {
			list = append(list, broken{fieldOf[b.Field], breachWords(b)})
		}
	}
	return list
}

var fieldOf = map[string]string{"name": "name", "description": "description", "scopes": "scopes", "expires_on": "expires"}

func breachWords(b fault.Breach) string {
	switch {
	case b.Field == "name" && b.Rule == fault.Blank:
		return "Give the token a name."
	case b.Field == "scopes" && b.Rule == fault.Blank:
		return "Choose at least one scope."
	case b.Rule == fault.TooLong:
		return fmt.Sprintf("The %s is too long. It may have %v characters.", b.Field, b.Limit)
	case b.Rule == fault.NotInList:
		return "One of the scopes does not exist."
	case b.Rule == fault.AdminsOnly:
		return fmt.Sprintf("The scope %v is for administrators.", b.Limit)
	case b.Rule == fault.TooEarly:
		return fmt.Sprintf("The last day must be after %v, because a token ends at 00:00 UTC of that day.", b.Limit)
	case b.Rule == fault.TooLate:
		return fmt.Sprintf("The token must end on %v or earlier.", b.Limit)
	default:
		return fmt.Sprintf("The %s is not valid.", b.Field)
	}
}

// dayWords is a day as people read it, with the instant that it means for a token.
func dayWords(d clock.Day) string {
	if d.IsZero() {
		return "never"
	}
	return d.String() + " at 00:00 UTC"
}
