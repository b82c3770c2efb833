// Package planner plans lifetime runs with EventBridge Scheduler.
//
// Start with Planner. A plan is a schedule that fires once and then deletes itself. Planning the
// same instant twice makes one plan. The package is separate from the other adapters, so that only
// the functions that plan link the scheduler's client.
package planner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"

	"latchkey/pkg/administration"
	"latchkey/pkg/fault"
)

// A Planner plans lifetime runs. It holds two methods of a client and not the client: templates call
// methods by name, so the linker keeps every method of what hangs on an interface.
type Planner struct {
	create func(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	remove func(context.Context, *scheduler.DeleteScheduleInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error)
	// Group is the deployment's own schedule group for plans.
	Group string
	// Target is the ARN of the state machine to start, and Role the ARN of the role for the
	// scheduler.
	Target, Role string
	// Queue is the ARN of the queue for the inputs of failed starts.
	Queue string
}

// New returns p with a client.
func New(client *scheduler.Client, p Planner) *Planner {
	p.create, p.remove = client.CreateSchedule, client.DeleteSchedule
	return &p
}

var _ administration.Planner = (*Planner)(nil)

// The scheduler retries a start for up to a day, so that an outage does not lose a run.
const (
	maxRetries = 185   // EventBridge Scheduler: 0 to 185
	maxAge     = 86400 // seconds; 60 to 86,400
)

// Configure returns the options of a client. endpoint overrides the region's scheduler, or is "".
func Configure(endpoint string) func(*scheduler.Options) {
	return func(o *scheduler.Options) {
		if client, ours := o.HTTPClient.(*awshttp.BuildableClient); ours {
			o.HTTPClient = client.WithTimeout(attemptTimeout)
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}
}

// attemptTimeout lets the SDK's three attempts finish within the function's ten seconds.
const attemptTimeout = 2 * time.Second

// Plan plans a lifetime run for an instant.
func (p *Planner) Plan(ctx context.Context, at time.Time) error {
	at = at.UTC()
	_, err := p.create(ctx, &scheduler.CreateScheduleInput{
		Name:                       aws.String(name(at)),
		GroupName:                  &p.Group,
		Description:                aws.String("Revokes the tokens beyond a changed limit on lifetimes."),
		ScheduleExpression:         aws.String("at(" + at.Format("2006-01-02T15:04:05") + ")"),
		ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow:         &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		ActionAfterCompletion:      types.ActionAfterCompletionDelete,
		Target: &types.Target{
			Arn: &p.Target, RoleArn: &p.Role,
			// The input has the planned instant, not the actual start, because it identifies the
			// run.
			Input:            aws.String(`{"time":"` + at.Format(time.RFC3339) + `"}`),
			RetryPolicy:      &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(maxRetries), MaximumEventAgeInSeconds: aws.Int32(maxAge)},
			DeadLetterConfig: &types.DeadLetterConfig{Arn: &p.Queue},
		},
	})
	var there *types.ConflictException
	if errors.As(err, &there) {
		return nil // an earlier try succeeded, and its reply was lost
	}
	return translate(err)
}

// Cancel cancels a plan. A run that was not planned or has started is no error.
func (p *Planner) Cancel(ctx context.Context, at time.Time) error {
	_, err := p.remove(ctx, &scheduler.DeleteScheduleInput{Name: aws.String(name(at.UTC())), GroupName: &p.Group})
	var gone *types.ResourceNotFoundException
	if errors.As(err, &gone) {
		return nil
	}
	return translate(err)
}

// name is the same for the same instant, so that a second plan is recognized.
func name(at time.Time) string { return "lifetime-" + at.Format("20060102T150405Z") }

// translate keeps only the kind of an SDK error.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%w: scheduler: %s", fault.ErrUnavailable, api.ErrorCode())
	}
	return fmt.Errorf("%w: scheduler: not sent, or the answer was lost", fault.ErrUnavailable)
}
