package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"latchkey/infra/local/localtest"
)

// A standard client of RFC 7662 asks about tokens, with the client's credentials as it sends them. Breaks
// if a resource server that knows nothing of Latchkey cannot use it.
func TestAStandardIntrospectionClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	server, user := newAccount(t, w, "server", "introspect"), newAccount(t, w, "user", "read_api", "read_user")
	client, err := rs.NewResourceServerClientCredentials(t.Context(), w.URL, "any-name", server.Bearer,
		rs.WithStaticEndpoints(w.URL+"/none", w.URL+"/oauth/introspect"))
	if err != nil {
		t.Fatal(err)
	}
	told, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), client, user.Bearer)
	if err != nil {
		t.Fatal(err)
	}
	if !told.Active || told.Username != "user" || told.Subject != strconv.FormatInt(user.ID, 10) || told.ClientID != strconv.FormatInt(user.TokenID, 10) ||
		told.TokenType != "Bearer" || len(told.Scope) != 2 || told.Scope[0] != "read_api" ||
		!told.Expiration.AsTime().Equal(time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)) || !told.IssuedAt.AsTime().Equal(localtest.Now) {
		t.Errorf("told %+v", told)
	}
	want(t, w, user.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
	if told, err = rs.Introspect[*oidc.IntrospectionResponse](t.Context(), client, user.Bearer); err != nil || told.Active || told.Username != "" {
		t.Errorf("revoked: %+v, %v", told, err)
	}
	stranger, err := rs.NewResourceServerClientCredentials(t.Context(), w.URL, "any-name", root.Bearer,
		rs.WithStaticEndpoints(w.URL+"/none", w.URL+"/oauth/introspect"))
	if err != nil {
		t.Fatal(err)
	}
	if told, err = rs.Introspect[*oidc.IntrospectionResponse](t.Context(), stranger, server.Bearer); err == nil {
		t.Errorf("a caller without the scope is told %+v", told)
	}
}
