package notify

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/quote"
	"latchkey/pkg/sweep"
)

// A letter holds the words of a notice for both templates. Names that people chose are in it only as
// quote.Name shows them.
type letter struct {
	Subject, Title string
	// Expiring, Expired, Revoked, Leaked, Replaced and Reused say what happened to some of the tokens.
	// Revoked includes neither Leaked nor Reused.
	Expiring, Expired, Revoked, Leaked, Replaced, Reused bool
	// Limit says how long new tokens may be valid, "" if unknown.
	Limit string
	// Name is the recipient's name, or "".
	Name string
	// Lead says how many tokens the notice is about and what happens to them.
	Lead   string
	Last   bool
	Groups []group
	More   int // tokens that are not listed
	// Rotate are the paths that replace tokens such as these.
	Rotate []string
	// Bots says that some tokens are of projects or groups.
	Bots bool
	// Reason says why the recipient gets the mail.
	Reason string
	// PageURL is the page of the token, if there is one alone, or the list that has them.
	PageURL string
}

// A group holds the tokens that are in the mail for the same reason and belong together.
type group struct {
	Heading string // "" if the mail needs none
	Day     string // what the day of a row is
	Rows    []row
}

type row struct {
	Name, ID, Scopes, LastUsed, Day, When string
	// Page is the address of the page about the token, or "" if it is the letter's PageURL.
	Page     string
	Rotation *rotation
	// Made says which tokens it made that ended with it, and Working which of them work. Path is the one
	// for scripts to end these.
	Made, Working, Path string
}

// A rotation says in a row who rotated a reported token, and how to end what works in its place.
type rotation struct {
	At, By, From string
	// Newest is the id of the token to end, "" for none, Link the place where people end it, and Path
	// the one for scripts.
	Newest, Link, Path string
}

func letterOf(n sweep.Notice, publicURL string) letter {
	reasons := reasonsOf(n)
	l := letter{
		Subject:  subject(n),
		Title:    "Access tokens",
		Expiring: slices.Contains(reasons, sweep.Expiring),
		Expired:  slices.Contains(reasons, sweep.Expired),
		Revoked:  slices.Contains(reasons, sweep.Lifetime),
		Leaked:   slices.Contains(reasons, sweep.Leaked),
		Replaced: slices.Contains(reasons, sweep.Replaced),
		Reused:   slices.Contains(reasons, sweep.Reused),
		Limit:    limit(n.LimitDays),
		Lead:     lead(n),
		Last:     n.Last,
		More:     n.Total - len(n.Tokens),
		Rotate:   rotations(n),
		Bots:     slices.ContainsFunc(n.Tokens, ofBot),
		Reason:   reason(n),
		PageURL:  publicURL + page(n),
	}
	if len(reasons) == 1 {
		l.Title = titles[reasons[0]]
	}
	if name := quote.Name(n.Recipient.Name); name != unnamed {
		l.Name = name
	}
	for i, t := range n.Tokens {
		if i == 0 || !together(n, n.Tokens[i-1], t) {
			l.Groups = append(l.Groups, group{Heading: heading(n, t, len(reasons) > 1), Day: days[why(n, t)]})
		}
		last := &l.Groups[len(l.Groups)-1]
		r := rowOf(n, t)
		if own := publicURL + t.Page(t.ID); own != l.PageURL {
			r.Page = own
		}
		r.Rotation = rotationOf(t, publicURL)
		if r.Made, r.Working = madeOf(t.Made); r.Working != "" {
			r.Path = deletion(t, t.ID) + "?family=true"
		}
		last.Rows = append(last.Rows, r)
	}
	if !l.Bots && len(reasons) == 1 {
		l.Groups[0].Heading = ""
	}
	return l
}

var (
	titles = map[sweep.Kind]string{
		sweep.Expiring: "Expiring access tokens", sweep.Expired: "Expired access tokens",
		sweep.Lifetime: "Revoked access tokens", sweep.Leaked: "Revoked access tokens", sweep.Replaced: "Reported access tokens", sweep.Reused: "Revoked access tokens",
	}
	// happened says what happened to tokens.
	happened = map[sweep.Kind]string{
		sweep.Expiring: "expire soon", sweep.Expired: "have expired",
		sweep.Lifetime: "were revoked", sweep.Leaked: "were revoked because they were reported as leaked",
		sweep.Replaced: "were reported as leaked after their rotation",
		sweep.Reused:   "were revoked because an earlier value was used again",
	}
	days = map[sweep.Kind]string{
		sweep.Expiring: "expires on", sweep.Expired: "ended on", sweep.Lifetime: "was to end", sweep.Leaked: "was to end", sweep.Replaced: "was to end", sweep.Reused: "was to end",
	}
)

func rowOf(n sweep.Notice, t sweep.Token) row {
	r := row{
		Name:     quote.Name(t.Name),
		ID:       t.ID.String(),
		Scopes:   strings.ReplaceAll(t.Scopes.String(), " ", ", "),
		LastUsed: "never",
		Day:      dayOf(t),
		When:     when(n.Today, t.ExpiresOn),
	}
	if r.Name == unnamed {
		r.Name = "(no name)"
	}
	if t.ExpiresOn.IsZero() {
		r.Day, r.When = "never", ""
	}
	if !t.LastUsedAt.IsZero() {
		r.LastUsed = clock.DayOf(t.LastUsedAt).String()
	}
	return r
}

// page is the path of the page that all tokens of a notice lead to: that of the only one, the list
// that they are in, or the list of the recipient's own.
func page(n sweep.Notice) string {
	first := n.Tokens[0]
	switch {
	case n.Total == 1:
		return first.Page(first.ID)
	case slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return t.List() != first.List() }), n.Total > len(n.Tokens):
		return sweep.PagePath
	default:
		return first.List()
	}
}

// unnamed is a name of which nothing is left to show.
var unnamed = quote.Name("")

// ofBot reports whether a token is of a project or group.
func ofBot(t sweep.Token) bool { return t.Project.Kind != "" }

// together reports whether two tokens are in a mail for the same reason and belong to the same
// project, or to the recipient.
func together(n sweep.Notice, a, b sweep.Token) bool {
	return why(n, a) == why(n, b) && a.Project.Kind == b.Project.Kind && a.Project.ID == b.Project.ID && a.Project.FullPath == b.Project.FullPath
}

// reasonsOf returns why the listed tokens are in a notice, each reason once.
func reasonsOf(n sweep.Notice) (reasons []sweep.Kind) {
	for _, kind := range []sweep.Kind{sweep.Expiring, sweep.Expired, sweep.Lifetime, sweep.Leaked, sweep.Replaced, sweep.Reused} {
		if slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return why(n, t) == kind }) {
			reasons = append(reasons, kind)
		}
	}
	return reasons
}

// heading says whose the tokens of a group are and, in a mail with several reasons, what happened to
// them.
func heading(n sweep.Notice, t sweep.Token, several bool) string {
	whose, end := "Your own tokens", ""
	if ofBot(t) {
		whose = fmt.Sprintf("Tokens of the %s %s", t.Project.Kind, quote.Name(t.Project.FullPath))
		if t.Project.ID != 0 {
			whose += " (id " + t.Project.ID.String() + ")"
		}
	}
	if several {
		end = " that " + happened[why(n, t)]
	}
	return whose + end + ":"
}

// some says what happened to the tokens of a notice with several reasons.
func some(reasons []sweep.Kind) string {
	all := make([]string, len(reasons))
	for i, reason := range reasons {
		all[i] = "some " + happened[reason]
	}
	return strings.Join(all, ", ")
}

// span returns the first and the last day of the listed tokens.
func span(n sweep.Notice) (first, last clock.Day) {
	first, last = n.Tokens[0].ExpiresOn, n.Tokens[0].ExpiresOn
	for _, t := range n.Tokens {
		if first.After(t.ExpiresOn) {
			first = t.ExpiresOn
		}
		if t.ExpiresOn.After(last) {
			last = t.ExpiresOn
		}
	}
	return first, last
}

// subject says how many tokens the notice is about, and the soonest day. It names the last day only
// if all tokens are listed, because the days of the others are unknown. No name that somebody chose
// is in it.
func subject(n sweep.Notice) string {
	reasons := reasonsOf(n)
	if len(reasons) > 1 {
		return tokens(n) + ": " + some(reasons)
	}
	switch reasons[0] {
	case sweep.Leaked:
		return leakedSubject(n)
	case sweep.Replaced:
		return fmt.Sprintf("%s %s reported as leaked after %s rotation", tokens(n), plural(n.Total, "was", "were"), plural(n.Total, "its", "their"))
	case sweep.Reused:
		return fmt.Sprintf("%s %s revoked because an earlier value was used again", tokens(n), plural(n.Total, "was", "were"))
	case sweep.Lifetime:
		return fmt.Sprintf("%d access %s revoked", n.Total, plural(n.Total, "token was", "tokens were"))
	}
	first, last := span(n)
	all := n.Total == len(n.Tokens)
	if reasons[0] == sweep.Expired {
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

// lead avoids "your", because bots' tokens belong to projects.
func lead(n sweep.Notice) string {
	reasons := reasonsOf(n)
	what := fmt.Sprintf("%s that you %s", tokens(n), whose(n))
	if len(reasons) > 1 {
		return what + ": " + some(reasons) + "."
	}
	first, _ := span(n)
	stopped := !first.After(n.Today)
	switch {
	case reasons[0] == sweep.Leaked:
		return leakedLead(n)
	case reasons[0] == sweep.Replaced:
		return replacedLead(n)
	case reasons[0] == sweep.Reused:
		return reusedLead(n)
	case reasons[0] == sweep.Lifetime:
		return revokedLead(n)
	case reasons[0] == sweep.Expired && n.Total == 1:
		return what + " has expired. It stopped working at " + instant(n) + "."
	case reasons[0] == sweep.Expired:
		return what + " have expired. Each stopped working at " + instant(n) + "."
	case n.Total == 1 && stopped && !short(n):
		return what + " expires today. It stopped working at " + instant(n) + "."
	case n.Total == 1:
		return what + " expires soon. It stops working at " + instant(n) + "."
	case stopped && !short(n):
		return what + " expire soon. Each stops working at " + instant(n) + "; those of today have stopped already."
	default:
		return what + " expire soon. Each stops working at " + instant(n) + "."
	}
}

// short reports whether one of the listed tokens has a short life. It ends during its day.
func short(n sweep.Notice) bool {
	return slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return !t.EndsAt.IsZero() })
}

// instant says at which time of its day a token ends.
func instant(n sweep.Notice) string {
	const start = "the start of its date, 00:00 UTC"
	switch {
	case !short(n):
		return start
	case n.Total == 1:
		return "the time below"
	default:
		return start + ", or at the time beside its date"
	}
}

// dayOf is the day of a row, with the time if the token ends during the day.
func dayOf(t sweep.Token) string {
	if t.EndsAt.IsZero() {
		return t.ExpiresOn.String()
	}
	return t.EndsAt.UTC().Format("2006-01-02 15:04:05 UTC")
}

// whose says in which way the recipient has to do with the tokens.
func whose(n sweep.Notice) string {
	if slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return !ofBot(t) }) {
		return "own or look after"
	}
	return "look after"
}

// tokens counts the tokens, by kind if all listed ones are of one kind, such as "1 project access
// token".
func tokens(n sweep.Notice) string {
	kind := string(n.Tokens[0].Project.Kind)
	if slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return string(t.Project.Kind) != kind }) {
		kind = ""
	}
	if kind != "" {
		kind += " "
	}
	return fmt.Sprintf("%d %saccess %s", n.Total, kind, plural(n.Total, "token", "tokens"))
}

// rotations returns the paths that replace tokens such as the listed ones.
func rotations(n sweep.Notice) (paths []string) {
	for _, kind := range []project.Kind{"", project.KindProject, project.KindGroup} {
		if !slices.ContainsFunc(n.Tokens, func(t sweep.Token) bool { return t.Project.Kind == kind && !revoked(why(n, t)) }) {
			continue
		}
		if kind == "" {
			paths = append(paths, "POST /api/v4/personal_access_tokens/:id/rotate")
		} else {
			paths = append(paths, fmt.Sprintf("POST /api/v4/%ss/:id/access_tokens/:token_id/rotate", kind))
		}
	}
	return paths
}

// reason says why the recipient gets a mail; see project.Kind.ManageLevel.
func reason(n sweep.Notice) string {
	var roles []string
	for _, role := range []struct {
		kind project.Kind
		of   string
	}{{project.KindProject, "a maintainer or owner of"}, {project.KindGroup, "an owner of"}} {
		found := map[string]bool{}
		for _, t := range n.Tokens {
			if t.Project.Kind == role.kind {
				found[t.Project.FullPath] = true
			}
		}
		if len(found) > 0 {
			roles = append(roles, fmt.Sprintf("%s %s %s%s", role.of, plural(len(found), "the", "these"), role.kind, plural(len(found), "", "s")))
		}
	}
	if roles == nil {
		return "This is a service message to people who own or look after access tokens."
	}
	return "You get this mail because you are " + strings.Join(roles, " and ") + "."
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
