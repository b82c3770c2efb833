// Package sender adds reported tokens to the queue of package queue. Start with Sender. It promises
// that the queue holds the tokens once Add returns, and that nothing but their ids leaves the function.
package sender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"latchkey/pkg/fault"
	"latchkey/pkg/queue"
	"latchkey/pkg/token"
)

// A Sender adds messages to a FIFO queue with deduplication by content.
type Sender struct {
	Client *sqs.Client
	// URL is the address of the queue.
	URL string
}

// group is the message group of all messages: they are delivered one after the other, so that two
// reports of a token at the same time cannot both be mailed.
const group = "leaks"

// attemptTimeout lets the SDK's three attempts finish within the time that the caller has kept.
const attemptTimeout = time.Second

// Configure returns the options of a client. endpoint overrides the region's queues, or is "".
func Configure(endpoint string) func(*sqs.Options) {
	return func(o *sqs.Options) {
		if client, ours := o.HTTPClient.(*awshttp.BuildableClient); ours {
			o.HTTPClient = client.WithTimeout(attemptTimeout)
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}
}

// Add adds the tokens of one report. A repeated message within five minutes counts once (SQS,
// MessageDeduplicationId). It returns fault.ErrUnavailable if the queue may not hold them.
func (s *Sender) Add(ctx context.Context, ids []token.ID) error {
	_, err := s.Client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &s.URL, MessageBody: aws.String(queue.Body(ids)), MessageGroupId: aws.String(group),
	})
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%w: queue: %s", fault.ErrUnavailable, api.ErrorCode())
	}
	return fmt.Errorf("%w: queue: not sent, or the answer was lost", fault.ErrUnavailable)
}
