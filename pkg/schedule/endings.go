package schedule

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/clock"
	"latchkey/pkg/invocation"
	"latchkey/pkg/lifecycle"
)

// A Finisher finishes endings; see lifecycle.Ender.Finish.
type Finisher interface {
	Finish(ctx context.Context) (finished int, err error)
}

var _ Finisher = (*lifecycle.Ender)(nil)

// endingReserve is how long before its deadline the function ends no other token, for the read that
// finds out whether an interrupted write was committed.
const endingReserve = 6 * time.Second

// Endings returns the handler of functions/endings, which takes any event. It logs runs that had
// something to do. Its error has the type EndingsUnfinished; the next run goes on.
func Endings(log *slog.Logger, metrics Metrics, finisher Finisher) lambda.Handler {
	return invocation.Handler(func(ctx context.Context, _ json.RawMessage) (any, error) {
		ctx, cancel := clock.Early(ctx, endingReserve)
		defer cancel()
		finished, err := finisher.Finish(ctx)
		failed := 0
		if err != nil {
			failed = 1
			log.Error("endings not finished", "count", finished, "reason", err.Error())
		} else if finished > 0 {
			log.Warn("endings finished", "count", finished)
		}
		metrics.Put(map[string]float64{"EndingsFinished": float64(finished), "EndingsFailed": float64(failed)})
		if err != nil {
			return nil, messages.InvokeResponse_Error{Type: "EndingsUnfinished", Message: err.Error()}
		}
		return map[string]int{"finished": finished}, nil
	})
}
