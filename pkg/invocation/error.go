package invocation

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/fault"
)

// An Error is the error of a function, with a type that state machines and operators can compare.
type Error struct{ Type, Message string }

func (e *Error) Error() string { return e.Message }

// types are the types of errors that have no type of their own.
var types = map[fault.Kind]string{
	fault.Internal: "Internal", fault.Invalid: "InputInvalid", fault.Unauthenticated: "Unauthenticated", fault.Forbidden: "Forbidden",
	fault.NotFound: "NotFound", fault.Conflict: "Conflict", fault.Throttled: "Throttled", fault.Unavailable: "Unavailable",
}

// typed returns err in the form of which the Lambda runtime takes the type. Of any other error it
// takes the name of the Go type, such as wrapError.
func typed(err error) error {
	if reported, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		return reported
	}
	kind := types[fault.KindOf(err)]
	if own, ok := errors.AsType[*Error](err); ok {
		kind = own.Type
	}
	return messages.InvokeResponse_Error{Type: kind, Message: err.Error()}
}

// Panicked returns the error of a recovered panic. It leaves the value out because it may quote the
// request.
func Panicked(value any) error {
	return &Error{"Panic", fmt.Sprintf("handler panicked with a %T at %s", value, panicSite(debug.Stack()))}
}

// panicSite returns the file and line of a panic. The arguments that a stack
// trace also prints may be secret.
func panicSite(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+3 < len(lines) {
			position, _, _ := strings.Cut(strings.TrimSpace(lines[i+3]), " ")
			return position
		}
	}
	return "unknown"
}
