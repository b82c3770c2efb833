package gitlabapi

import (
	"context"
	"fmt"
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

// LeakStep returns the duration of the reply to a report of this many values: the time that
// revoking and announcing this many tokens usually takes, or a multiple. It does not depend on how
// many values are tokens, so it reveals nothing about them.
func LeakStep(values int) time.Duration {
	const (
		least = time.Second           // the first mail after a while opens a connection
		each  = 10 * time.Millisecond // several mails are sent at a time
	)
	return least + time.Duration(values)*each
}

// A LeakMessenger tells people once that their tokens were revoked because of a leak. publicURL is
// the address of Latchkey. It returns how many mails it sent, even with an error about others.
type LeakMessenger interface {
	Leaked(ctx context.Context, tokens []token.Token, publicURL string) (mails int, err error)
}

type leaksAPI struct {
	*API
	revoker   *lifecycle.Revoker
	messenger LeakMessenger // nil without mails
	step      func(values int) time.Duration
}

// Leaks returns the route on which anybody may report leaked values. It revokes the tokens among
// them. The reply does not depend on the values, and takes a multiple of step, which is LeakStep
// outside of tests. Without a messenger nobody is told.
func Leaks(api *API, revoker *lifecycle.Revoker, messenger LeakMessenger, step func(values int) time.Duration) proxy.Handler {
	return api.serve((&leaksAPI{api, revoker, messenger, step}).routes())
}

func (api *leaksAPI) routes() []route {
	return []route{{method: "POST", path: leaksPath, handle: api.report, open: true}}
}

// report answers 204 when it has dealt with every value, and 503 when it could not look one up or
// revoke it. A 503 after a successful lookup tells the reporter that a token was found. The
// reporter already has the token, and must report it again to have it revoked.
func (api *leaksAPI) report(c *call) error {
	watch := clock.StartStopwatch()
	if err := api.Throttles.ReportLeak(c.request.Address, c.now); err != nil {
		return err
	}
	values, source, err := c.leakReport()
	if err != nil {
		return err
	}
	report, failure := api.revoker.ReportLeaked(c.ctx, c.by, values, source)
	for _, t := range report.Revoked {
		api.Count("TokensRevoked", string(token.ReasonLeak))
		api.Log.Warn("leaked token revoked", c.facts("token_id", int64(t.ID), "owner", int64(t.Owner))...)
	}
	api.Log.Info("leak reported", c.facts("count", len(values))...)
	api.tell(c, report.Leaked)
	pad(c.ctx, watch, api.step(len(values)))
	if failure != nil {
		return failure
	}
	return c.noContent()
}

// tell announces the revoked tokens. A failed mail does not change the reply, because the tokens
// are revoked. Another report sends it again.
func (api *leaksAPI) tell(c *call, leaked []token.Token) {
	if api.messenger == nil || len(leaked) == 0 {
		return
	}
	mails, err := api.messenger.Leaked(c.ctx, leaked, string(c.site))
	for range mails {
		api.Count("LeakMails", "sent")
	}
	if err != nil {
		api.Count("LeakMails", "failed")
		api.Log.Error("leak not announced", c.facts("count", mails, "reason", err.Error())...)
	}
}

// leakReport returns the values of a report and where they were found. It checks the number of
// values and the form of the source, but not the values.
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
	}
	if source = c.line("source", c.text("source")); len(source) > maxLeakSource {
		c.reject("source", fmt.Sprintf("is too long (maximum is %d bytes)", maxLeakSource))
	}
	return values, source, c.fault()
}

// pad waits until a whole number of steps has passed, or until the deadline.
func pad(ctx context.Context, watch clock.Stopwatch, step time.Duration) {
	if step <= 0 {
		return
	}
	timer := time.NewTimer(step - watch.Elapsed()%step)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
