package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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
	// Replaced are the reported tokens that had been rotated, if this is their first report, by
	// ascending id. Nothing was revoked because of them, except themselves in an overlap.
	Replaced []token.Token
	// Untold are the tokens about whose report somebody is still to be told, by ascending id. They
	// include those of earlier reports.
	Untold []token.ID
	// Children counts the working tokens that ended because the reported ones had made them.
	Children int
}

// ReportLeaked revokes every token whose bearer is among values. by may be anonymous, because
// anybody who has a bearer can revoke its token anyway. White space around a value does not count,
// and neither do repeated values. A value that cannot be a bearer is not looked up. source says
// where the values were found, or is "".
//
// A token that had been rotated only gets an audit event, with its first report: anybody who found
// its bearer may have rotated it, but an old bearer in a repository's history must not end a
// successor that works.
//
// A token that cannot be revoked, or not before ctx ends, does not stop the others. ReportLeaked then
// returns fault.ErrUnavailable together with the report of the others, and the same report may be
// repeated, which continues.
func (r *Revoker) ReportLeaked(ctx context.Context, by principal.Principal, values []string, source string) (LeakReport, error) {
	digests := make([]secret.Digest, 0, len(values))
	seen := make(map[secret.Digest]bool, len(values))
	for _, value := range values {
		bearer, err := r.parts.Format.Found(strings.TrimSpace(value))
		if err != nil {
			continue
		}
		for _, digest := range r.parts.Pepper.Digests(bearer) {
			if !seen[digest] {
				seen[digest] = true
				digests = append(digests, digest)
			}
		}
	}
	if len(digests) == 0 {
		return LeakReport{}, nil
	}
	found, err := r.parts.Store.TokensByDigest(ctx, digests)
	if err != nil {
		return LeakReport{}, fmt.Errorf("look up %d reported values: %w", len(digests), err)
	}
	return r.reportTokens(ctx, found, audit.By(by, audit.Leak), r.speakable(source, values))
}

// speakable returns source for the audit trail, or "" if it holds or could hold a bearer.
func (r *Revoker) speakable(source string, values []string) string {
	within := func(text string) bool { return strings.Contains(source, text) }
	var bearers []string
	for _, value := range values {
		if value = strings.TrimSpace(value); len(value) >= secret.MinLength {
			bearers = append(bearers, value)
		}
	}
	if slices.ContainsFunc(bearers, within) || slices.ContainsFunc(r.parts.Format.Prefixes, within) {
		return ""
	}
	return source
}

// reportTokens deals with the tokens of a report, several at a time.
func (r *Revoker) reportTokens(ctx context.Context, found []token.Token, from audit.Origin, source string) (LeakReport, error) {
	var (
		mu       sync.Mutex
		report   LeakReport
		failures []error
		group    errgroup.Group
	)
	group.SetLimit(leakWorkers)
	for _, t := range found {
		group.Go(func() error {
			part, err := r.reportLatest(ctx, t, from, source)
			mu.Lock()
			defer mu.Unlock()
			report.add(part)
			if err != nil {
				failures = append(failures, fmt.Errorf("token %s: %w", t.ID, err))
			}
			return nil
		})
	}
	_ = group.Wait() // failures has all errors, and Wait only the first
	report.sort()
	if len(failures) > 0 {
		const told = 5 // of up to a thousand, in one log line
		return report, fmt.Errorf("%w: %d of %d reported tokens not dealt with: %w",
			fault.ErrUnavailable, len(failures), len(found), errors.Join(failures[:min(len(failures), told)]...))
	}
	return report, nil
}

// reportLatest deals with one token of a report. If the token is rotated meanwhile, it looks at it again.
func (r *Revoker) reportLatest(ctx context.Context, t token.Token, from audit.Origin, source string) (LeakReport, error) {
	const tries = 3 // a token is rotated once
	for try := 1; ; try++ {
		report, err := r.reportToken(ctx, t, from, source)
		if !errors.Is(err, token.ErrSuperseded) || try == tries {
			return report, err
		}
		if t, err = r.parts.Reader.TokenByDigest(ctx, t.Digest); err != nil {
			return LeakReport{}, err
		}
	}
}

// reportToken deals with one token of a report, as it was read.
func (r *Revoker) reportToken(ctx context.Context, t token.Token, from audit.Origin, source string) (report LeakReport, err error) {
	if err := ctx.Err(); err != nil {
		return report, err // an attempt now could not find out whether it was committed
	}
	done, err := r.ender.endLeaked(ctx, t, from, source)
	report.Children = done.Children
	report.Revoked = done.Revoked
	if i := slices.IndexFunc(done.Revoked, func(r token.Token) bool { return r.ID == t.ID }); i >= 0 {
		t.RevokedAt, t.RevokedReason = r.parts.Clock.Now(), token.ReasonLeak
	}
	switch {
	case errors.Is(err, fault.ErrNotFound): // clean-up has taken it meanwhile
		return report, nil
	case err != nil && t.RevokedAt.IsZero():
		return report, err
	case slices.Contains(t.Notices, token.MarkLeaked):
		return report, err
	}
	switch {
	case t.Superseded():
		first, failure := r.parts.Store.ReportToken(ctx, t, leakEvent(r.parts.Clock.Now(), t, from, audit.Reported, source))
		switch {
		case errors.Is(failure, fault.ErrNotFound):
			return report, err
		case failure != nil:
			return report, errors.Join(err, failure)
		case first:
			report.Replaced = []token.Token{t}
		}
	case t.RevokedReason != token.ReasonLeak:
		return report, err // somebody else revoked it earlier
	}
	report.Untold = []token.ID{t.ID}
	return report, err
}

func (r *LeakReport) add(part LeakReport) {
	r.Revoked = append(r.Revoked, part.Revoked...)
	r.Replaced = append(r.Replaced, part.Replaced...)
	r.Untold = append(r.Untold, part.Untold...)
	r.Children += part.Children
}

func (r *LeakReport) sort() {
	for _, tokens := range [][]token.Token{r.Revoked, r.Replaced} {
		slices.SortFunc(tokens, func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.Sort(r.Untold)
}

// leakEvent returns the audit event of a leak of t. It says where t was found, if the report does.
func leakEvent(at time.Time, t token.Token, from audit.Origin, deed audit.Deed, source string) audit.Event {
	event := audit.OfToken(at, from, t, deed)
	if source != "" {
		event.Change, event.To = "found_in", source
	}
	return event
}
