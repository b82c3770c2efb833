package gitlabapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
)

const (
	leaksPath = "/token_leaks"
	// maxLeaks is the most values of a report.
	maxLeaks = 1000
	// maxLeakBody is room for maxLeaks of the longest bearers in JSON, with up to two bytes for a
	// character.
	maxLeakBody = 512 << 10
	// maxLeakSource is the longest source, in bytes.
	maxLeakSource = 255
)

// endMargin is the part of the function's time that is left after ending many tokens: for the read that
// finds out whether an interrupted write was committed, and for the queue of leaks.
const endMargin = 6 * time.Second

// early returns the context of a call until endMargin before the function's time is up. Without the time
// of a function it has no end.
func (c *call) early() (context.Context, context.CancelFunc) {
	return clock.Early(c.ctx, endMargin)
}

// A LeakQueue passes the ids of reported tokens to the function that tells people. It holds them
// until they are told, and may be called again with the same ids.
type LeakQueue interface {
	Add(ctx context.Context, ids []token.ID) error
}

type leaksAPI struct {
	*API
	revoker *lifecycle.Revoker
	queue   LeakQueue // nil without mails
}

// Leaks returns the route on which anybody may report leaked values. It revokes the tokens among
// them before it answers, and leaves only the mails to others. Without a queue nobody is told.
func Leaks(api *API, revoker *lifecycle.Revoker, queue LeakQueue) proxy.Handler {
	return api.serve((&leaksAPI{api, revoker, queue}).routes())
}

func (api *leaksAPI) routes() []route {
	return []route{{method: "POST", path: leaksPath, handle: api.report, open: true}}
}

// report answers 204 when every token among the values is revoked and everybody concerned will be
// told. Otherwise it answers 503, and the same report made again continues. The answer and its time
// may reveal that a value is a token: whoever reports a value could as well present it.
func (api *leaksAPI) report(c *call) error {
	if err := api.Throttles.ReportLeak(c.request.Address, c.now); err != nil {
		return err
	}
	values, source, err := c.leakReport()
	if err != nil {
		return err
	}
	ctx, cancel := c.early()
	defer cancel()
	report, failure := api.revoker.ReportLeaked(ctx, c.by, values, source)
	for _, t := range report.Revoked {
		api.Count("TokensRevoked", string(token.ReasonLeak))
		api.Log.Warn("leaked token revoked", c.facts("token_id", int64(t.ID), "owner", int64(t.Owner))...)
	}
	for _, t := range report.Replaced {
		api.Log.Warn("rotated token reported", c.facts("token_id", int64(t.ID), "owner", int64(t.Owner))...)
	}
	api.Log.Info("leak reported", c.facts("count", len(values), "children", report.Children)...)
	if api.queue != nil && len(report.Untold) > 0 {
		if err := api.queue.Add(c.ctx, report.Untold); err != nil {
			failure = errors.Join(failure, fmt.Errorf("queue %d reported tokens: %w", len(report.Untold), err))
		}
	}
	if failure != nil {
		return failure
	}
	return c.noContent()
}

// leakReport returns the values of a report and where they were found. It refuses an empty value,
// because it comes from a script whose variable is unset, and whose sender would otherwise believe
// that the leak is dead.
func (c *call) leakReport() (values []string, source string, err error) {
	if err := c.read(maxLeakBody); err != nil {
		return nil, "", err
	}
	before := len(c.faults)
	values = c.values("tokens")
	switch {
	case len(c.faults) > before:
	case len(values) == 0:
		c.reject("tokens", "is missing")
	case len(values) > maxLeaks:
		c.reject("tokens", fmt.Sprintf("is too long (maximum is %d values)", maxLeaks))
	case slices.ContainsFunc(values, func(value string) bool { return strings.TrimSpace(value) == "" }):
		c.reject("tokens", "has an empty value")
	}
	if source = c.line("source", c.text("source")); len(source) > maxLeakSource {
		c.reject("source", fmt.Sprintf("is too long (maximum is %d bytes)", maxLeakSource))
	}
	return values, source, c.fault()
}
