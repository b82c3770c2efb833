package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup" // bounds what runs at once; the extended standard library's

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// leakWorkers is how many tokens of a report are revoked at a time: a thousand
// are done in a second or two, and the table's other users notice little.
const leakWorkers = 16

// A LeakReport is what a report of leaked values came to.
type LeakReport struct {
	// Revoked are the tokens that it revoked, by ascending id.
	Revoked []token.Token
	// Leaked are those and the ones that an earlier report had revoked.
	Leaked []token.Token
}

// ReportLeaked revokes every token whose bearer is among values, whatever the rest
// of them are. by need not be anybody: who has a bearer can revoke it
// anyway. Values of every form are looked up, so that how long it takes to look
// tells nothing about them; a value given twice counts once. source says where
// they were found, or is "".
//
// One that cannot be revoked does not keep the others from it. The error is then
// fault.ErrUnavailable beside what was done, and the same report may be made
// again.
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

// speakable returns source for the audit trail, which holds no bearers: nothing
// when one is in it, or could be.
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
			case !errors.Is(err, fault.ErrNotFound): // clean-up took it in the meantime
				failures = append(failures, fmt.Errorf("token %s: %w", t.ID, err))
			}
			return nil
		})
	}
	_ = group.Wait() // failures are collected, not the first one alone
	report.Leaked = append(report.Leaked, report.Revoked...)
	for _, tokens := range [][]token.Token{report.Revoked, report.Leaked} {
		slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	}
	if len(failures) > 0 {
		return report, fmt.Errorf("%w: %d reported tokens not revoked: %w", fault.ErrUnavailable, len(failures), errors.Join(failures...))
	}
	return report, nil
}

// leakEvent is how the audit trail tells of the revocation of t, and of where it was
// found, if the report says so.
func leakEvent(t token.Token, from audit.Origin, source string) audit.Event {
	event := audit.OfToken(t.RevokedAt, from, t, audit.Revoked)
	if source != "" {
		event.Change, event.To = "found_in", source
	}
	return event
}
