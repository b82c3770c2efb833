package apigateway

import (
	"encoding/base64"
	"net/http"
	"strings"

	"latchkey/pkg/fault"
)

// A Repeated is a parameter or header that must be unique and was given more than once. Picking one
// would be a guess. It wraps fault.ErrInput.
type Repeated struct{ Name string }

func (r *Repeated) Error() string { return r.Name + " is given more than once" }

func (*Repeated) Unwrap() error { return fault.ErrInput }

// OnlyHeader returns the value of a header that may be given once, or "".
func OnlyHeader(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) > 1 {
		return "", &Repeated{"header " + strings.ToUpper(name)}
	}
	return strings.TrimSpace(h.Get(name)), nil
}

// BearerOf returns the token of an Authorization header with the Bearer scheme (RFC 6750 section
// 2.1). The scheme is case-insensitive (RFC 9110 section 11.1).
func BearerOf(authorization string) string {
	scheme, value, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// PasswordOf returns the password of an Authorization header with the Basic scheme (RFC 7617
// section 2).
func PasswordOf(authorization string) string {
	scheme, value, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return ""
	}
	_, password, _ := strings.Cut(string(decoded), ":")
	return password
}
