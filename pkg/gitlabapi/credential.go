package gitlabapi

import (
	"fmt"
	"net/http"

	"latchkey/pkg/apigateway"
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

// paramError is a parameter error whose whole text is given.
func paramError(text string) error { return fmt.Errorf("%w: %w", fault.ErrInput, &paramFault{text}) }
