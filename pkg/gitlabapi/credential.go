package gitlabapi

import (
	"fmt"
	"net/http"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/fault"
)

// credential returns the bearer of a request, or "". The parameter private_token takes precedence
// over the header PRIVATE-TOKEN, and that over the forms of RFC 6750. Basic credentials are for Git
// and packages and do not count. Two credentials in one form are refused, because picking one would be a
// guess.
func credential(r *http.Request, p params) (string, error) {
	if value, err := p.secret("private_token"); value != "" || err != nil {
		return value, err
	}
	header, err := apigateway.OnlyHeader(r.Header, "Private-Token")
	if header != "" || err != nil {
		return header, err
	}
	authorization, err := apigateway.OnlyHeader(r.Header, "Authorization")
	if err != nil {
		return "", err
	}
	if value := apigateway.BearerOf(authorization); value != "" {
		return value, nil
	}
	for _, name := range []string{"access_token", "bearer_token"} {
		if value, err := p.secret(name); value != "" || err != nil {
			return value, err
		}
	}
	return "", nil
}

// paramError returns a parameter error with this whole text.
func paramError(text string) error { return fmt.Errorf("%w: %w", fault.ErrInput, &paramFault{text}) }
