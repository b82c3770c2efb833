package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// leakWorkers is how many tokens of a report are revoked at a time. A thousand take a second or
// two, and other requests to the table hardly notice.
const leakWorkers = 16

// A LeakReport is the result of a report of leaked values.
type LeakReport struct {
	// Revoked are the tokens that this report revoked, by ascending id.
	Revoked []token.Token
	// Leaked are these tokens and those that an earlier report had revoked.
	Leaked []token.Token
}

// ReportLeaked revokes every token whose bearer is among values. by may be anonymous, because
// anybody who has a bearer can revoke its token anyway. It looks up values of every form, so that
// the duration reveals nothing about them; repeated values count once. source says where the values
// were found, or is "".
//
// A token that cannot be revoked does not stop the others. ReportLeaked then returns
// fault.ErrUnavailable together with the report of the others, and the same report may be repeated.
func (r *Revoker) ReportLeaked(ctx context.Context, by principal.Principal, values []string, source string) (LeakReport, error) {
	digests := make([]secret.Digest, 0, len(values))
	seen := make(map[secret.Digest]bool, len(values))
	for _, value := range values {
		if digest := r.parts.Pepper.DigestOfReported(value); !seen[digest] {
			seen[digest] = true
			digests = append(digests, digest)
		}
	}
	found, err := r.parts.Store.TokensByDigest(ctx, digests)
	if err != nil {
		return LeakReport{}, fmt.Errorf("look up %d reported values: %w", len(digests), err)
	}
	return r.revokeLeaked(ctx, found, audit.By(by, audit.Leak), r.speakable(source, values))
}

// speakable returns source for the audit trail, or "" if it holds or could hold a bearer.
func (r *Revoker) speakable(source string, values []string) string {
	within := func(text string) bool { return strings.Contains(source, text) }
	bearers := slices.DeleteFunc(slices.Clone(values), func(value string) bool { return len(value) < secret.MinLength })
	if slices.ContainsFunc(bearers, within) || slices.ContainsFunc(r.parts.Format.Prefixes, within) {
		return ""
	}
	return source
}

func (r *Revoker) revokeLeaked(ctx context.Context, found []token.Token, from audit.Origin, source string) (LeakReport, error) {
	var (
		mu       sync.Mutex
		report   LeakReport
		failures []error
		group    errgroup.Group
	)
	group.SetLimit(leakWorkers)
	for _, t := range found {
		if t.RevokedIn(r.parts.Clock.Now(), 0) {
			if t.RevokedReason == token.ReasonLeak {
				report.Leaked = append(report.Leaked, t)
			}
			continue
		}
		group.Go(func() error {
			t.RevokedAt, t.RevokedReason = r.parts.Clock.Now(), token.ReasonLeak
			err := r.parts.Store.RevokeToken(ctx, t, leakEvent(t, from, source))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				report.Revoked = append(report.Revoked, t)
			case !errors.Is(err, fault.ErrNotFound): // clean-up has taken it meanwhile
				failures = append(failures, fmt.Errorf("token %s: %w", t.ID, err))
			}
			return nil
		})
	}
	_ = group.Wait() // failures has all errors, and Wait only the first
	report.Leaked = append(report.Leaked, report.Revoked...)
	for _, tokens := range [][]token.Token{report.Revoked, report.Leaked} {
		slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	}
	if len(failures) > 0 {
		return report, fmt.Errorf("%w: %d reported tokens not revoked: %w", fault.ErrUnavailable, len(failures), errors.Join(failures...))
	}
	return report, nil
}

// leakEvent returns the audit event of a leak of t. It says where t was found, if the report does.
func leakEvent(t token.Token, from audit.Origin, source string) audit.Event {
	event := audit.OfToken(t.RevokedAt, from, t, audit.Revoked)
	if source != "" {
		event.Change, event.To = "found_in", source
	}
	return event
}
