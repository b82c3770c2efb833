package notify

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"latchkey/pkg/sweep"
)

// familyOf returns the error of package sweep for a reply of SES, or nil if it is unknown whether
// the mail was sent.
func familyOf(err error) error {
	var (
		badRequest *types.BadRequestException
		rejected   *types.MessageRejected
		limit      *types.LimitExceededException
		mailFrom   *types.MailFromDomainNotVerifiedException
		notFound   *types.NotFoundException
		paused     *types.SendingPausedException
		suspended  *types.AccountSuspendedException
	)
	switch {
	case errors.As(err, &badRequest), errors.As(err, &rejected):
		return sweep.ErrRejected
	case errors.As(err, &limit): // before the throttles, which count it as one
		return sweep.ErrQuota
	case errors.As(err, &mailFrom), errors.As(err, &notFound):
		return sweep.ErrSender
	case errors.As(err, &paused), errors.As(err, &suspended):
		return sweep.ErrPaused
	case throttles.IsErrorThrottle(err) == aws.TrueTernary:
		return sweep.ErrThrottled
	default:
		return nil
	}
}

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// translate turns an error of the SDK into one that may leave the package. It preserves only
// whether the context has ended.
func translate(err error) error {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return fmt.Errorf("%s: %w", operation(err), end)
		}
	}
	return errors.New(describe(err))
}

// describe says which operation failed and how, in words that are safe to log. It repeats neither
// the service's messages nor the URLs of the HTTP client's errors, because both contain addresses.
func describe(err error) string {
	var (
		api     smithy.APIError
		status  *smithyhttp.ResponseError
		network *net.OpError
		unsent  *smithyhttp.RequestSendError
	)
	switch {
	case errors.As(err, &unsent):
		if errors.As(unsent, &network) {
			return fmt.Sprintf("%s: %v", operation(err), network)
		}
		return operation(err) + ": no reply"
	case errors.As(err, &status) && errors.As(err, &api):
		return fmt.Sprintf("%s: %s, status %d", operation(err), api.ErrorCode(), status.HTTPStatusCode())
	case errors.As(err, &status):
		return fmt.Sprintf("%s: reply with status %d not understood", operation(err), status.HTTPStatusCode())
	default:
		return operation(err) + ": no request made"
	}
}

func operation(err error) string {
	var sdk *smithy.OperationError
	if errors.As(err, &sdk) {
		return sdk.Operation()
	}
	return "request"
}
