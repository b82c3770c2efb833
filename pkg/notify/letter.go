package notify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
)

// A letter holds the words of a notice for both templates.
type letter struct {
	Subject  string
	Expiring bool
	// Revoked marks notices about revoked tokens. Limit says how long new tokens may be valid, ""
	// if unknown.
	Revoked bool
	Limit   string
	// Leaked marks notices about tokens that were revoked because their values were found in
	// public.
	Leaked bool
	// Name is the recipient's name, or "".
	Name string
	// Lead says how many tokens the notice is about and what happens to them.
	Lead string
	// Kind and Project are the kind and path of the project or group of a bot's tokens; "" in a
	// mail about the recipient's own tokens.
	Kind, Project string
	// Reason says why the recipient gets the mail. The project's path follows it.
	Reason  string
	Rows    []row
	More    int // tokens that are not listed
	PageURL string
}

type row struct {
	Name, ID, Scopes, LastUsed, Day, When string
}

func letterOf(n sweep.Notice, pageURL string) letter {
	l := letter{
		Subject:  subject(n),
		Expiring: n.Kind == sweep.Expiring,
		Revoked:  n.Kind == sweep.Lifetime || n.Kind == sweep.Leaked,
		Leaked:   n.Kind == sweep.Leaked,
		Limit:    limit(n.LimitDays),
		Name:     clean(n.Recipient.Name),
		Lead:     lead(n),
		Kind:     string(n.Project.Kind),
		Project:  clean(n.Project.FullPath),
		Reason:   reason(n.Project.Kind),
		Rows:     make([]row, len(n.Tokens)),
		More:     n.Total - len(n.Tokens),
		PageURL:  pageURL,
	}
	for i, t := range n.Tokens {
		r := row{
			Name:     clean(t.Name),
			ID:       t.ID.String(),
			Scopes:   strings.ReplaceAll(t.Scopes.String(), " ", ", "),
			LastUsed: "never",
			Day:      t.ExpiresOn.String(),
			When:     when(n.Today, t.ExpiresOn),
		}
		if r.Name == "" {
			r.Name = "(no name)"
		}
		if t.ExpiresOn.IsZero() {
			r.Day, r.When = "never", ""
		}
		if !t.LastUsedAt.IsZero() {
			r.LastUsed = clock.DayOf(t.LastUsedAt).String()
		}
		l.Rows[i] = r
	}
	return l
}

// subject says how many tokens the notice is about, and the soonest day. It names the last day only
// if all tokens are listed, because the days of the others are unknown.
func subject(n sweep.Notice) string {
	switch n.Kind {
	case sweep.Leaked:
		return leakedSubject(n)
	case sweep.Lifetime:
		return fmt.Sprintf("%d access %s revoked", n.Total, plural(n.Total, "token was", "tokens were"))
	}
	first, last := n.Tokens[0].ExpiresOn, n.Tokens[len(n.Tokens)-1].ExpiresOn
	all := n.Total == len(n.Tokens)
	if n.Kind == sweep.Expired {
		have := plural(n.Total, "has", "have")
		switch {
		case !all:
			return fmt.Sprintf("%s %s expired, the first on %s", tokens(n), have, first)
		case first == last:
			return fmt.Sprintf("%s %s expired (%s)", tokens(n), have, first)
		default:
			return fmt.Sprintf("%s %s expired (%s to %s)", tokens(n), have, first, last)
		}
	}
	expire := plural(n.Total, "expires", "expire")
	switch {
	case !all:
		return fmt.Sprintf("%s %s soon, the first on %s (%s)", tokens(n), expire, first, when(n.Today, first))
	case first == last:
		return fmt.Sprintf("%s %s on %s (%s)", tokens(n), expire, first, when(n.Today, first))
	default:
		return fmt.Sprintf("%s %s by %s, the first on %s (%s)", tokens(n), expire, last, first, when(n.Today, first))
	}
}

// lead avoids "your", because a bot's mail goes to the managers of its project.
func lead(n sweep.Notice) string {
	switch n.Kind {
	case sweep.Leaked:
		return leakedLead(n)
	case sweep.Lifetime:
		return revokedLead(n)
	}
	what := tokens(n) + " that you own or look after"
	if n.Project.Kind != "" {
		what = tokens(n) + " that you look after"
	}
	stopped := !n.Tokens[0].ExpiresOn.After(n.Today)
	switch {
	case n.Kind == sweep.Expired && n.Total == 1:
		return what + " has expired. It stopped working at the start of its date, 00:00 UTC."
	case n.Kind == sweep.Expired:
		return what + " have expired. Each stopped working at the start of its date, 00:00 UTC."
	case n.Total == 1 && stopped:
		return what + " expires today. It stopped working at the start of its date, 00:00 UTC."
	case n.Total == 1:
		return what + " expires soon. It stops working at the start of its date, 00:00 UTC."
	case stopped:
		return what + " expire soon. Each stops working at the start of its date, 00:00 UTC; those of today have stopped already."
	default:
		return what + " expire soon. Each stops working at the start of its date, 00:00 UTC."
	}
}

// tokens counts the tokens by kind, such as "1 project access token".
func tokens(n sweep.Notice) string {
	kind := ""
	if n.Project.Kind != "" {
		kind = string(n.Project.Kind) + " "
	}
	return fmt.Sprintf("%d %saccess %s", n.Total, kind, plural(n.Total, "token", "tokens"))
}

// reason says which members of a project get mails about its tokens; see project.Kind.ManageLevel.
func reason(kind project.Kind) string {
	if kind == project.KindGroup {
		return "You get this mail because you are an owner of"
	}
	return "You get this mail because you are a maintainer or owner of"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// when says how far day is from today.
func when(today, day clock.Day) string {
	switch n := today.DaysUntil(day); {
	case n == 0:
		return "today"
	case n > 0:
		return fmt.Sprintf("in %d %s", n, plural(n, "day", "days"))
	default:
		return fmt.Sprintf("%d %s ago", -n, plural(-n, "day", "days"))
	}
}

// clean puts text that people typed on one line and removes characters that could change the line
// around it: control characters, and characters that force a text direction (Unicode Standard Annex
// 9, sections 2.1 to 2.6). The marks that emoji and right-to-left names need stay. Invalid UTF-8
// becomes U+FFFD.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		case unicode.IsControl(r):
			return ' '
		default:
			return r
		}
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// columns is the width of text. RFC 5322 section 2.1.1 asks for at most 78, and a reply that quotes
// it needs a few.
const columns = 72

// wrap puts prefix before text, breaks the text at spaces, and aligns its other lines with the
// first. A longer word stays whole, so that people can copy it.
func wrap(prefix, text string) string {
	var b strings.Builder
	b.WriteString(prefix)
	indent := utf8.RuneCountInString(prefix)
	used := indent
	for i, word := range strings.Fields(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+width > columns:
			b.WriteByte('\n')
			b.WriteString(strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += width
	}
	return b.String()
}
