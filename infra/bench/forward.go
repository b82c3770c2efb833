package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/gateway"
	"latchkey/pkg/scope"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
)

// forwardAuths measures the answer to a proxy against the bare reads of the same two items on the same
// engine, with the client as the SDK makes it, and with the token's networks, which need the client's address.
func forwardAuths(ctx context.Context, r *report) error {
	engine, err := dynamodblocal.Start(ctx)
	if err != nil {
		return err
	}
	defer engine.Stop()
	client, bare := dynamodblocal.Client(engine.Endpoint(), store.Configure("")), dynamodblocal.Client(engine.Endpoint())
	d, err := newDecision(ctx, client)
	if err != nil {
		return err
	}
	doors, err := gateway.New(gateway.Parts{
		Log: telemetry.NewLogger(io.Discard, "introspect"), Verifier: d.verifier, Scopes: scope.GitLab(), Projects: &d.table.Reader,
		Trail: trail.NewNotes(d.table), Clock: clock.System{}, Throttles: throttle.Unlimited(), Count: func(string, string) {},
		Proxies: gateway.Proxies{Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Header: "X-Real-Ip"},
	})
	if err != nil {
		return err
	}
	reads := func() error { return oneBatch(ctx, bare, d.keys) }
	const turns, calls = 100, 50
	pair, err := alternate(turns, calls,
		func() error { return passes(ctx, doors.Handler(), question(d.bearer)) },
		reads,
	)
	if err != nil {
		return err
	}
	r.note("forward-auth: p50 %v, cpu %v", pair[0].p50(), pair[0].cpuPerCall())
	r.atMost("forward_auth_p50_ratio", pair[0].against(pair[1], turn.wall), 1.15)
	return behindNginx(ctx, r, doors.Handler(), d.bearer, reads)
}

// question returns the event of a proxy's question, decoded as the Lambda runtime does it.
func question(bearer string) events.APIGatewayProxyRequest {
	return events.APIGatewayProxyRequest{
		HTTPMethod: http.MethodGet, Path: "/auth/nginx",
		MultiValueHeaders: map[string][]string{
			"Authorization": {"Bearer " + bearer}, "X-Original-Method": {http.MethodGet}, "X-Original-URI": {"/orders/42?page=2"},
			"X-Real-Ip": {address}, "User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"},
		},
		RequestContext: events.APIGatewayProxyRequestContext{
			RequestID: "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", DomainName: "tokens.example.test",
			Identity: events.APIGatewayRequestIdentity{SourceIP: "203.0.113.9"},
		},
	}
}

func passes(ctx context.Context, handler proxy.Handler, event events.APIGatewayProxyRequest) error {
	answer, err := handler.Serve(ctx, event)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("forward-auth answers %d", answer.StatusCode)
	}
	return nil
}
