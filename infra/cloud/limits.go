package cloud

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"golang.org/x/time/rate"
)

// leastUnreserved is how many executions of an account cannot be reserved (Lambda quotas, reserved
// concurrency). An account with the starting quota of 10 can therefore reserve none.
const leastUnreserved = 100

// errConcurrency is Lambda's answer to an invocation beyond a limit.
var errConcurrency = &functionError{"Rate Exceeded.", "TooManyRequestsException"}

// limitConcurrency returns handlers that run at most quota at a time together. A function with a
// reservation has its own share, which the others cannot use, and never more. It fails for
// reservations that the account would refuse.
func limitConcurrency(handlers map[string]lambda.Handler, functions map[string]Function, quota int) (map[string]lambda.Handler, error) {
	unreserved, reserving := quota, false
	for _, f := range functions {
		unreserved -= f.Reserved
		reserving = reserving || f.Reserved > 0
	}
	if reserving && unreserved < leastUnreserved {
		return nil, fmt.Errorf("specified ReservedConcurrentExecutions decreases the account's UnreservedConcurrentExecution below its minimum value of %d", leastUnreserved)
	}
	shared := make(chan struct{}, max(unreserved, 0))
	limited := maps.Clone(handlers)
	for name, handler := range handlers {
		slots := shared
		if reserved := functions[name].Reserved; reserved > 0 {
			slots = make(chan struct{}, reserved)
		}
		limited[name] = limitedHandler{handler, slots}
	}
	return limited, nil
}

type limitedHandler struct {
	next  lambda.Handler
	slots chan struct{}
}

func (h limitedHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
		return h.next.Invoke(ctx, payload)
	default:
		return nil, errConcurrency
	}
}

// admits counts a request to a method of a path, unless its throttle is exhausted. A throttle of its
// own comes before the one for all, as in API Gateway ("Throttle requests to your REST APIs").
func (g *gateway) admits(method, path string) bool {
	own := slices.IndexFunc(g.Throttles, func(t MethodThrottle) bool {
		return t.Path == path && (t.Method == "*" || strings.EqualFold(t.Method, method))
	})
	if own < 0 {
		own = slices.IndexFunc(g.Throttles, func(t MethodThrottle) bool { return t.Path == "/*" && t.Method == "*" })
	}
	if own < 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	bucket := g.buckets[method+" "+path]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(g.Throttles[own].Rate), g.Throttles[own].Burst)
		g.buckets[method+" "+path] = bucket
	}
	return bucket.AllowN(g.Clock.Now(), 1)
}

var _ http.Handler = (*gateway)(nil)
