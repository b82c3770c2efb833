package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/fault"
)

// credential returns the bearer that a request presents, "" for none. The
// parameter private_token comes before the header PRIVATE-TOKEN, that before
// the forms of RFC 6750. Basic credentials are for Git and packages and count
// as none here. A place that is filled twice is refused: it is not ours to
// pick one.
func credential(r *http.Request, p params) (string, error) {
	if value, err := p.secret("private_token"); value != "" || err != nil {
		return value, err
	}
	header, err := onlyHeader(r.Header, "Private-Token")
	if header != "" || err != nil {
		return header, err
	}
	authorization, err := onlyHeader(r.Header, "Authorization")
	if err != nil {
		return "", err
	}
	if value := bearerOf(authorization); value != "" {
		return value, nil
	}
	for _, name := range []string{"access_token", "bearer_token"} {
		if value, err := p.secret(name); value != "" || err != nil {
			return value, err
		}
	}
	return "", nil
}

func onlyHeader(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) > 1 {
		return "", paramError("header " + strings.ToUpper(name) + " is given more than once")
	}
	return strings.TrimSpace(h.Get(name)), nil
}

// bearerOf returns the token of an Authorization header of the Bearer scheme
// (RFC 6750 section 2.1), whose name has no case (RFC 9110 section 11.1).
func bearerOf(authorization string) string {
	scheme, value, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// passwordOf returns the password of an Authorization header of the Basic
// scheme (RFC 7617 section 2).
func passwordOf(authorization string) string {
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

// paramError is a parameter error whose whole text is given.
func paramError(text string) error { return fmt.Errorf("%w: %w", fault.ErrInput, &paramFault{text}) }
