package gateway

import (
	"context"
	"errors"
	"net/http"

	"latchkey/pkg/graphql"
	"latchkey/pkg/scope"
)

// An apiKind is an API whose paths the scope table knows.
type apiKind struct{ scopes *scope.Catalog }

func (apiKind) Scheme() string { return "Bearer" }

func (k apiKind) Judge(_ context.Context, q Question) error {
	if err := k.scopes.CheckPath(q.Path); err != nil {
		return err
	}
	set, reach := q.By.Scopes, q.By.Token.Reach()
	if k.scopes.Allows(set, reach, q.Method, q.Path) {
		return nil
	}
	missing := &Insufficient{Required: k.scopes.Require(q.Method, q.Path).Listed}
	if !k.scopes.IsGraphQL(q.Path) || !k.scopes.OpensReading(set, reach, q.Path) {
		return missing
	}
	// The token may read here. Whether this request only reads stands in its document.
	missing.Required = k.scopes.Require(http.MethodPost, q.Path).Listed
	err := graphql.Reads(graphql.Request{Method: q.Method, Query: q.Query, Header: q.Header, Body: q.Body, Cut: q.Cut})
	if errors.Is(err, graphql.ErrUnseen) {
		return &Refusal{
			Status: http.StatusForbidden, Reason: "graphql_not_seen", Required: missing.Required, Err: errors.Join(missing, err),
			Message: "The proxy does not show GraphQL requests, so a token that may only read cannot make them.",
		}
	}
	if err != nil {
		return errors.Join(missing, err)
	}
	return nil
}

func (k apiKind) Body(q Question, refusal Refusal) (mediaType, text string) {
	if k.scopes.IsGraphQL(q.Path) {
		return "application/json", encode(map[string]any{"errors": []any{map[string]string{"message": refusal.Message}}})
	}
	return "application/json", refusal.json()
}
