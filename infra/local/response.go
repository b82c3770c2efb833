package local

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// gatewayFault is a reply that the gateway makes itself. kind is the gateway response type, status
// its status if the template does not set one.
type gatewayFault struct {
	kind    string
	status  int
	message string
}

func (f *gatewayFault) Error() string { return f.kind + ": " + f.message }

// refuse writes a gateway response: the template's for this type, or its default for the class, or
// API Gateway's own.
func (x *exchange) refuse(w http.ResponseWriter, fault *gatewayFault) {
	class := "DEFAULT_4XX"
	if fault.status >= http.StatusInternalServerError {
		class = "DEFAULT_5XX"
	}
	shape, ok := x.g.Responses[fault.kind]
	if !ok {
		shape = x.g.Responses[class]
	}
	template, ok := shape.Templates["application/json"]
	if !ok {
		template = `{"message":$context.error.messageString}`
		if fault.kind == "ACCESS_DENIED" {
			template = `{"Message":$context.error.messageString}`
		}
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range shape.Headers {
		if literal, ok := strings.CutPrefix(value, "'"); ok {
			value = strings.TrimSuffix(literal, "'")
		} else {
			value = x.variable(value, fault)
		}
		w.Header().Set(name, value)
	}
	w.WriteHeader(cmp.Or(shape.StatusCode, fault.status))
	body := contextVariable.ReplaceAllStringFunc(template, func(name string) string { return x.variable(name[1:], fault) })
	_, _ = w.Write([]byte(body)) // the caller has gone; there is nobody to tell
}

var contextVariable = regexp.MustCompile(`\$context(\.[A-Za-z0-9_]+)+`)

// variable is a reference to the request's context; what is unknown is empty.
func (x *exchange) variable(name string, fault *gatewayFault) string {
	switch name {
	case "context.error.message":
		return fault.message
	case "context.error.messageString":
		return string(encode(fault.message))
	case "context.error.responseType":
		return fault.kind
	case "context.requestId":
		return x.requestID
	case "context.stage":
		return x.g.Stage
	case "context.httpMethod":
		return x.request.Method
	case "context.path":
		return "/" + x.g.Stage + x.path
	}
	if key, ok := strings.CutPrefix(name, "context.authorizer."); ok {
		if v, ok := x.authorizer[key]; ok {
			return fmt.Sprint(v)
		}
	}
	return ""
}
