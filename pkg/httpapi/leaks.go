package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

const (
	leaksPath = "/token_leaks"
	// maxLeaks is how many values a report may have.
	maxLeaks = 1000
	// maxLeakBody holds that many of the longest bearers as JSON, in which a
	// character may need two bytes.
	maxLeakBody = 512 << 10
	// maxLeakSource is the longest description of a place, in bytes.
	maxLeakSource = 255
)

// LeakStep returns how long the reply to a report of so many values takes: as
// long as ending and announcing this many tokens usually does, or a multiple of
// it. A report of which nothing is ours takes just as long as one of which
// everything is, so the time tells nothing.
func LeakStep(values int) time.Duration {
	const (
		least = time.Second           // the first mail after a while sets up a connection
		each  = 10 * time.Millisecond // of which several are in the making at a time
	)
	return least + time.Duration(values)*each
}

// A LeakMessenger tells people of tokens that were ended because of a leak, once.
// publicURL is where they reach the service. It returns how many mails went out,
// also beside an error about the others.
type LeakMessenger interface {
	Leaked(ctx context.Context, tokens []token.Token, publicURL string) (mails int, err error)
}

type leaksAPI struct {
	*API
	revoker   *lifecycle.Revoker
	messenger LeakMessenger // nil where no mails are sent
	step      func(values int) time.Duration
}

// Leaks returns the route on which anybody reports values that were found where
// they should not be. Those that are bearers end; the reply is the same
// whatever they are, and takes a multiple of step; use LeakStep. Without a
// messenger nobody is told.
func Leaks(api *API, revoker *lifecycle.Revoker, messenger LeakMessenger, step func(values int) time.Duration) http.Handler {
	return api.serve((&leaksAPI{api, revoker, messenger, step}).routes())
}

func (api *leaksAPI) routes() []route {
	return []route{{method: "POST", path: leaksPath, handle: api.report, open: true}}
}

// report answers 204 for a report that was dealt with. What could not be looked
// up or ended is answered 503, although somebody who knows that the lookup went
// well could conclude that a token was found: they hold it anyway, and only a
// report that is made again ends it.
func (api *leaksAPI) report(w http.ResponseWriter, r *http.Request) error {
	watch := clock.StartStopwatch()
	if err := api.Throttles.reportLeak(r.Context(), api.Clock.Now()); err != nil {
		return err
	}
	values, source, err := readReport(w, r)
	if err != nil {
		return err
	}
	by := principal.Principal{Request: requestOf(r.Context())}
	report, failure := api.revoker.ReportLeaked(r.Context(), by, values, source)
	for _, t := range report.Revoked {
		api.Count("TokensRevoked", string(token.ReasonLeak))
		api.Log.Warn("leaked token revoked", facts(r, "token_id", int64(t.ID), "owner", int64(t.Owner))...)
	}
	api.Log.Info("leak reported", facts(r, "count", len(values))...)
	api.tell(r, report.Leaked)
	pad(r.Context(), watch, api.step(len(values)))
	if failure != nil {
		return failure
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tell announces what has ended. A mail that fails changes nothing about the
// reply: the tokens have ended. The same report made again makes up for it.
func (api *leaksAPI) tell(r *http.Request, leaked []token.Token) {
	if api.messenger == nil || len(leaked) == 0 {
		return
	}
	mails, err := api.messenger.Leaked(r.Context(), leaked, api.publicURL(r.Context()))
	for range mails {
		api.Count("LeakMails", "sent")
	}
	if err != nil {
		api.Count("LeakMails", "failed")
		api.Log.Error("leak not announced", facts(r, "count", mails, "reason", err.Error())...)
	}
}

// readReport returns the values of a report, and where they were found. How
// many they are and what the source looks like may be complained of; of what
// form they are is not ours to say.
func readReport(w http.ResponseWriter, r *http.Request) (values []string, source string, err error) {
	p, err := readParams(w, r, maxLeakBody)
	if err != nil {
		return nil, "", err
	}
	b := &binder{params: p}
	before := len(b.faults)
	values = b.values("tokens")
	switch {
	case len(b.faults) > before:
	case len(values) == 0:
		b.reject("tokens", "is missing")
	case len(values) > maxLeaks:
		b.reject("tokens", fmt.Sprintf("is too long (maximum is %d values)", maxLeaks))
	}
	if source = b.line("source", b.text("source")); len(source) > maxLeakSource {
		b.reject("source", fmt.Sprintf("is too long (maximum is %d bytes)", maxLeakSource))
	}
	return values, source, b.fault()
}

// pad waits until the stopwatch shows a whole number of steps, or the request's
// time is up.
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
