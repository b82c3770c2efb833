package gateway

import (
	"context"
	"net/http"

	"latchkey/pkg/registry"
)

// A registryKind is a container registry that asks about no tokens itself. What it serves to whom, package
// registry decides.
type registryKind struct{ judge *registry.Judge }

// Scheme is Basic: a client that logs in to a registry sends the token as a password (RFC 7617).
func (registryKind) Scheme() string { return "Basic" }

func (k registryKind) Judge(ctx context.Context, q Question) error {
	request := registry.Request{Method: q.Method, Path: q.Path, Query: q.Query, ContentTypes: q.Header.Values("Content-Type")}
	wanted, err := request.Wanted()
	if err != nil {
		return err
	}
	return k.judge.Check(ctx, q.By, wanted, q.Now)
}

// registryCodes are those of the OCI Distribution Specification 1.1, "Error Codes", by status.
var registryCodes = map[int]string{
	http.StatusBadRequest: "UNSUPPORTED", http.StatusUnauthorized: "UNAUTHORIZED", http.StatusForbidden: "DENIED",
	http.StatusNotFound: "NAME_UNKNOWN", http.StatusTooManyRequests: "TOOMANYREQUESTS",
}

func (registryKind) Body(_ Question, refusal Refusal) (mediaType, text string) {
	code, known := registryCodes[refusal.Status]
	if !known {
		code = "UNAVAILABLE"
	}
	return "application/json", encode(map[string]any{"errors": []map[string]string{{"code": code, "message": refusal.Message}}})
}
