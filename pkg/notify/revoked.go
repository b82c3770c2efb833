package notify

import (
	"fmt"
	"strings"

	"latchkey/pkg/quote"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// revokedLead says that tokens were revoked because of the limit on lifetimes.
func revokedLead(n sweep.Notice) string {
	what := fmt.Sprintf("%d access %s that you %s %s revoked and %s no longer: ",
		n.Total, plural(n.Total, "token", "tokens"), whose(n), plural(n.Total, "was", "were"), plural(n.Total, "works", "work"))
	if n.LimitDays == 0 {
		return what + plural(n.Total, "it was", "they were") + " to be valid for longer than administrators of this service allowed."
	}
	return what + "administrators of this service now allow access tokens to be valid for " + limit(n.LimitDays) + " at most."
}

// limit writes a number of days, "" for 0.
func limit(days int) string {
	if days == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", days, plural(days, "day", "days"))
}

func leakedSubject(n sweep.Notice) string {
	return fmt.Sprintf("%s %s revoked because %s reported as leaked", tokens(n), plural(n.Total, "was", "were"), plural(n.Total, "it was", "they were"))
}

// leakedLead says that tokens were revoked because of a leak, and what to do.
func leakedLead(n sweep.Notice) string {
	return fmt.Sprintf("%s that you %s %s revoked because %s reported as leaked: somebody found %s where others can read %s. %s no longer.",
		tokens(n), whose(n), plural(n.Total, "was", "were"), plural(n.Total, "it was", "they were"),
		plural(n.Total, "its value", "their values"), plural(n.Total, "it", "them"), plural(n.Total, "It works", "They work"))
}

// replacedLead says that the values of rotated tokens were reported, and why that matters.
func replacedLead(n sweep.Notice) string {
	return fmt.Sprintf("%s that you %s %s reported as leaked: somebody found %s where others can read %s. %s ended before, when %s rotated, and nothing was revoked because of the report. "+
		"But somebody who found %s may have made other tokens with it, and has the successor if they rotated it.",
		tokens(n), whose(n), plural(n.Total, "was", "were"), plural(n.Total, "its value", "their values"), plural(n.Total, "it", "them"),
		plural(n.Total, "It had", "They had"), plural(n.Total, "it was", "they were"), plural(n.Total, "it", "one of them"))
}

// reusedLead says that tokens were revoked because of reuse, and what that means.
func reusedLead(n sweep.Notice) string {
	return fmt.Sprintf("%s that you %s %s revoked and %s no longer. Somebody asked for a rotation with a value that %s replaced. "+
		"Either a script has kept an old value, or a stranger has found one. This service cannot tell which of them has the newest value, so nobody may use it.",
		tokens(n), whose(n), plural(n.Total, "was", "were"), plural(n.Total, "works", "work"), plural(n.Total, "it had", "they had"))
}

// deletion is the request that revokes a token like t.
func deletion(t sweep.Token, id token.ID) string {
	if ofBot(t) {
		return fmt.Sprintf("DELETE /api/v4/%ss/%s/access_tokens/%s", t.Project.Kind, t.Project.ID, id)
	}
	return "DELETE /api/v4/personal_access_tokens/" + id.String()
}

// rotationOf says in a row who rotated a token, or nil.
func rotationOf(t sweep.Token, publicURL string) *rotation {
	if t.Rotation == nil {
		return nil
	}
	from := *t.Rotation
	r := &rotation{At: "at a time that is not known any more", By: "somebody who is not known any more", From: "an address that only the audit trail shows"}
	if !from.At.IsZero() {
		r.At = from.At.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if from.ByID == 0 {
		r.From = "an address that is not known any more"
	}
	switch {
	case from.Itself:
		r.By = "somebody who had the token itself"
	case from.ByID != 0:
		r.By = fmt.Sprintf("account %s, %s", from.ByID, quote.Name(from.By))
	}
	if from.From != "" {
		r.From = from.From
	}
	if from.Newest != 0 {
		r.Newest = from.Newest.String()
		r.Link = publicURL + t.Page(from.Newest)
		r.Path = deletion(t, from.Newest)
	}
	return r
}

// madeOf says in a row what a token made.
func madeOf(made *sweep.Made) (ended, working string) {
	if made == nil {
		return "", ""
	}
	list := func(ids []token.ID) string {
		words := make([]string, len(ids))
		for i, id := range ids {
			words[i] = id.String()
		}
		return strings.Join(words, ", ")
	}
	if len(made.Ended) > 0 {
		ended = plural(len(made.Ended), "token ", "tokens ") + list(made.Ended) + plural(len(made.Ended), ", which has ended", ", which have ended")
	}
	if len(made.Working) > 0 {
		working = plural(len(made.Working), "token ", "tokens ") + list(made.Working) + ", which it made"
	}
	if made.More {
		working = strings.TrimPrefix(working+"; and more, see the audit trail", "; ")
	}
	return ended, working
}
