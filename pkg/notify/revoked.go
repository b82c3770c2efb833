package notify

import (
	"fmt"

	"latchkey/pkg/sweep"
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
	return fmt.Sprintf("%s that you %s %s revoked because %s reported as leaked: somebody found %s where others can read %s. %s working at once.",
		tokens(n), whose(n), plural(n.Total, "was", "were"), plural(n.Total, "it was", "they were"),
		plural(n.Total, "its value", "their values"), plural(n.Total, "it", "them"), plural(n.Total, "It has stopped", "They have stopped"))
}
