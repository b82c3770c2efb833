package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local"
	"latchkey/pkg/clock"
)

// leaks measures how long the function holds a report of a thousand values, the most that a report can
// have: values that could be bearers, and working tokens, each of which is revoked.
func leaks(ctx context.Context, r *report) error {
	const values, turns = 1000, 5
	foreign, live := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range turns {
		functions, err := leakFunctions(ctx)
		if err != nil {
			return err
		}
		reported := make([]string, values)
		for i := range reported {
			reported[i] = fmt.Sprintf("a-value-that-could-be-a-bearer-%04d", i)
		}
		took, err := reportLeaks(ctx, functions["leaks"], reported)
		if err != nil {
			return err
		}
		foreign = min(foreign, took)
		for i := range reported {
			// The bearers are chosen, so that this costs as little as possible. A report does not care.
			payload := fmt.Sprintf(`{"action":"create_token","username":"root","name":"x","scopes":["api"],"value":%q}`, reported[i])
			if _, err := functions["issue"].Invoke(ctx, []byte(payload)); err != nil {
				return err
			}
		}
		if took, err = reportLeaks(ctx, functions["leaks"], reported); err != nil {
			return err
		}
		live = min(live, took)
	}
	r.note("a report of %d values takes %v, of %d working tokens %v", values, foreign, values, live)
	r.atMost("leak_report_seconds", max(foreign, live).Seconds(), 2)
	return nil
}

// leakFunctions returns the functions on a new table with one account.
func leakFunctions(ctx context.Context) (map[string]lambda.Handler, error) {
	table, err := tabledef.Path()
	if err != nil {
		return nil, err
	}
	template, err := cloud.ReadTemplate(filepath.Join(filepath.Dir(table), "..", "template.yaml"), map[string]string{"SenderAddress": local.Sender})
	if err != nil {
		return nil, err
	}
	product := local.Product{
		Template: template, Client: engine.New().Client, Table: "bench", Mail: mailbox.New(clock.System{}, 1).Client,
		Plans: cloud.NewPlans(template.Machines()), Queues: cloud.NewQueues(template, clock.System{}),
		Pepper: rand.Text() + rand.Text(), PublicURL: "https://tokens.example.test", Clock: clock.System{}, Random: rand.Reader,
		Log: func(string) *slog.Logger { return slog.New(slog.DiscardHandler) },
	}
	if err := product.CreateTable(ctx); err != nil {
		return nil, err
	}
	functions, err := product.Functions()
	if err != nil {
		return nil, err
	}
	_, err = functions["issue"].Invoke(ctx, []byte(`{"action":"create_administrator","username":"root","email":"root@example.test"}`))
	return functions, err
}

// reportLeaks reports values in an event of the gateway, and returns how long that took.
func reportLeaks(ctx context.Context, function lambda.Handler, values []string) (time.Duration, error) {
	body, err := json.Marshal(map[string]any{"tokens": values})
	if err != nil {
		return 0, err
	}
	event, err := json.Marshal(map[string]any{
		"httpMethod": "POST", "path": "/api/v4/token_leaks", "body": string(body),
		"headers": map[string]string{"Content-Type": "application/json"}, "multiValueHeaders": map[string][]string{"Content-Type": {"application/json"}},
		"requestContext": map[string]any{"domainName": "tokens.example.test", "path": "/prod/api/v4/token_leaks"}, // no address, so no throttle
	})
	if err != nil {
		return 0, err
	}
	watch := clock.StartStopwatch()
	out, err := function.Invoke(ctx, event)
	took := watch.Elapsed()
	var reply struct{ StatusCode int }
	if err == nil {
		err = json.Unmarshal(out, &reply)
	}
	if err == nil && reply.StatusCode != 204 {
		err = fmt.Errorf("a report is answered %d: %s", reply.StatusCode, out)
	}
	return took, err
}
