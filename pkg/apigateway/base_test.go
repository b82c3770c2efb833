package apigateway_test

import (
	"testing"

	"latchkey/pkg/apigateway"
)

// Breaks if an API behind a custom domain with a base path answers 404, or if a path can name a
// route that it does not lead to.
func TestCutBase(t *testing.T) {
	for _, test := range []struct{ path, base, rest string }{
		{"/api/v4/user", "", "/api/v4/user"},
		{"/api/v4", "", "/api/v4"},
		{"/keys/api/v4/user", "/keys", "/api/v4/user"},
		{"/keys/api/v4", "/keys", "/api/v4"},
		{"/keys/v1/api/v4/user", "/keys/v1", "/api/v4/user"},
		{"/keys/-/profile", "/keys", "/-/profile"},
		{"/keys/-", "/keys", "/-"},
		{"/keys/auth/envoy", "/keys", "/auth/envoy"},
		{"/keys/oauth/introspect", "/keys", "/oauth/introspect"},
		{"/keys/jwt/auth", "/keys", "/jwt/auth"},
		{"/auth/envoy/api/v4/user", "", "/auth/envoy/api/v4/user"},
		{"/api/v4/projects/-/x", "", "/api/v4/projects/-/x"},
		{"/-/api/v4/user", "", "/-/api/v4/user"},
		{"/api/v4/api/v4/user", "", "/api/v4/api/v4/user"},
		{"/keys/api/v4/auth/x", "/keys", "/api/v4/auth/x"},
		{"/keysapi/v4/user", "", "/keysapi/v4/user"},
		{"/keys/api/v40/user", "", "/keys/api/v40/user"},
		{"/keys%2Fapi/v4/user", "", "/keys%2Fapi/v4/user"},
		{"/keys/api%2Fv4/user", "", "/keys/api%2Fv4/user"},
		{"/keys", "", "/keys"},
		{"/", "", "/"},
		{"", "", ""},
	} {
		if base, rest := apigateway.CutBase(test.path); base != test.base || rest != test.rest {
			t.Errorf("CutBase(%q) = %q, %q, want %q, %q", test.path, base, rest, test.base, test.rest)
		}
	}
}
