package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/errgroup"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/audit"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// checks measures an authorizer's decision against the bare reads of the same two items on the same
// engine, with the client as the SDK makes it: a slow client of ours must not hide in the yardstick.
func checks(ctx context.Context, r *report) error {
	engine, err := dynamodblocal.Start(ctx)
	if err != nil {
		return err
	}
	defer engine.Stop()
	var requests atomic.Int64
	client := dynamodblocal.Client(engine.Endpoint(), store.Configure(""), countRequests(&requests))

	bare := dynamodblocal.Client(engine.Endpoint())

	d, err := newDecision(ctx, client)
	if err != nil {
		return err
	}
	const turns, calls = 100, 50
	pair, err := alternate(turns, calls,
		func() error { return d.allowed(ctx, d.event) },
		func() error { return oneBatch(ctx, bare, d.keys) },
		func() error { return oneBatch(ctx, client, d.keys) },
	)
	if err != nil {
		return err
	}
	decision, batch, ours := pair[0], pair[1], pair[2]
	others, err := alternate(turns/4, calls,
		func() error { return twoGets(ctx, bare, d.keys) },
		func() error { return oneBatch(ctx, bare, d.keys) },
		func() error { return oneGet(ctx, bare, d.keys[0]) },
	)
	if err != nil {
		return err
	}
	gets, again, get := others[0], others[1], others[2]
	r.note("decision: p50 %v, cpu %v", decision.p50(), decision.cpuPerCall())
	r.note("one BatchGetItem: p50 %v, cpu %v; with our client ÷ with the SDK's: p50 %.3f, cpu %.3f", batch.p50(), batch.cpuPerCall(),
		ours.against(batch, turn.wall), ours.against(batch, turn.processor))
	r.note("two GetItems side by side ÷ one BatchGetItem: p50 %.3f, cpu %.3f",
		gets.against(again, turn.wall), gets.against(again, turn.processor))
	r.atMost("check_p50_ratio", decision.against(batch, turn.wall), 1.10)
	r.atMost("check_cpu_ratio", decision.against(batch, turn.processor), 1.15)

	allocs, err := d.allocs(ctx)
	if err != nil {
		return err
	}
	r.atMost("decision_allocs", allocs, 80)

	before := requests.Load()
	garbage, err := alternate(turns, calls, func() error { return d.denied(ctx, d.garbage) })
	if err != nil {
		return err
	}
	r.atMost("garbage_ratio", float64(garbage[0].p50())/float64(get.p50()), 0.01)
	refusal, err := flood(ctx)
	if err != nil {
		return err
	}
	const floodCalls = 5000 // cheap calls need many for a processor time
	refused, err := alternate(turns/4, floodCalls, refusal)
	if err != nil {
		return err
	}
	r.note("one GetItem: cpu %v; refusing a malformed bearer: cpu %v, and with the authorizer's answer and log line %v",
		get.cpuPerCall(), refused[0].cpuPerCall(), garbage[0].cpuPerCall())
	r.atMost("garbage_flood_ratio", float64(refused[0].cpuPerCall())/float64(get.cpuPerCall()), 0.01)
	r.atMost("garbage_requests", float64(requests.Load()-before), 0)
	return nil
}

// flood returns a call that refuses another malformed bearer each time, from all networks of an IPv6
// /48 in turn, with the verifier and the throttle of the functions behind the API.
func flood(ctx context.Context) (func() error, error) {
	pepper, err := secret.NewPepper(rand.Text() + rand.Text())
	if err != nil {
		return nil, err
	}
	verifier, err := verify.New(verify.Parts{
		Store: memory{}, Pepper: pepper, Format: secret.Format{Prefixes: config.DefaultPrefixes}, Scopes: scope.GitLab(), Clock: clock.System{}, Kept: &verify.Kept{},
	})
	if err != nil {
		return nil, err
	}
	const networks = 1 << 16
	limited, bearers, n := throttle.New(throttle.Limits{WrongBearers: 1}), make([]string, 1<<12), 0
	for i := range bearers {
		bearers[i] = fmt.Sprintf("%s%036x", config.DefaultPrefixes[0], i)
	}
	return func() error {
		n = (n + 1) % networks
		from := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 6: byte(n >> 8), 7: byte(n)})
		_, err := verifier.Verify(ctx, bearers[n%len(bearers)], from)
		if err = limited.WrongBearer(err, from, verifier.Now()); !errors.Is(err, secret.ErrMalformed) {
			return fmt.Errorf("a malformed bearer is answered with %w", err)
		}
		return nil
	}, nil
}

// A decision is an authorizer on a table with one token in it.
type decision struct {
	authorizer *authorizer.Authorizer
	offline    *authorizer.Authorizer // both items are in memory
	event      authorizer.Event       // with a good bearer
	garbage    authorizer.Event       // with a wrong checksum
	keys       []map[string]types.AttributeValue

	bearer   string
	pepper   string
	table    *store.Table
	verifier *verify.Verifier // on the table
}

func newDecision(ctx context.Context, client *dynamodb.Client) (*decision, error) {
	b, err := newBase(ctx, client)
	if err != nil {
		return nil, err
	}
	table, accounts, pepper, format := b.table, b.accounts, b.pepper, b.format
	acct, err := accounts.CreateByConsole(ctx, "", directory.Candidate{Username: "bench", Name: "Bench", Email: "bench@example.test"})
	if err != nil {
		return nil, err
	}
	issuer, err := issuerOn(table, pepper, format)
	if err != nil {
		return nil, err
	}
	networks, err := token.ParseNetworks([]string{"192.0.2.0/24", "2001:db8::/32"})
	if err != nil {
		return nil, err
	}
	issued, err := issuer.CreateByConsole(ctx, "", acct, lifecycle.Spec{
		Name: "bench", Scopes: scope.Set{scope.ReadAPI, scope.ReadUser}, Networks: networks,
	}, "")
	if err != nil {
		return nil, err
	}
	digest := pepper.Digest(issued.Bearer)
	issued.Token.LastUsedAt, issued.Token.LastUsedIPs = clock.System{}.Now(), []netip.Addr{netip.MustParseAddr(address)}
	d := &decision{bearer: issued.Bearer.Reveal(), pepper: b.secret, table: table}
	if d.verifier, err = verifierOn(table, pepper, format); err != nil {
		return nil, err
	}
	if d.authorizer, err = authorizerOn(table, table, pepper, format); err != nil {
		return nil, err
	}
	if d.offline, err = authorizerOn(memory{issued.Token, acct, b.defaults}, table, pepper, format); err != nil {
		return nil, err
	}
	d.event = event(issued.Bearer.Reveal())
	d.garbage = event(issued.Bearer.Reveal()[:41] + "!")
	d.keys = []map[string]types.AttributeValue{
		itemKey("TOKEN#"+digest.Key(), "TOKEN"), itemKey("USER#"+acct.ID.String(), "PROFILE"),
	}
	return d, nil
}

func issuerOn(table *store.Table, pepper secret.Pepper, format secret.Format) (*lifecycle.Issuer, error) {
	gate, err := administration.NewGate(table)
	if err != nil {
		return nil, err
	}
	return lifecycle.NewIssuer(lifecycle.IssuerParts{
		Store: table, Reader: table, Projects: table, Bots: table, Gate: gate, Scopes: scope.GitLab(), Pepper: pepper, Format: format,
		Settings: table, ImpersonationPrefix: config.ImpersonationPrefix, ProjectPrefix: config.ProjectPrefix,
		Clock: clock.System{}, Random: rand.Reader,
	})
}

func authorizerOn(s verify.Store, table *store.Table, pepper secret.Pepper, format secret.Format) (*authorizer.Authorizer, error) {
	verifier, err := verifierOn(s, pepper, format)
	if err != nil {
		return nil, err
	}
	return authorizer.New(authorizer.Parts{
		Log: telemetry.NewLogger(io.Discard, "authorizer"), Scopes: scope.GitLab(), Clock: clock.System{},
		Count: func(string, string) {}, Trail: trail.NewNotes(table),
		Verifier: verifier,
	})
}

func verifierOn(s verify.Store, pepper secret.Pepper, format secret.Format) (*verify.Verifier, error) {
	return verify.New(verify.Parts{Store: s, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: clock.System{}, Kept: &verify.Kept{}})
}

const address = "192.0.2.7"

// event returns the event of a REST API's REQUEST authorizer, decoded as the Lambda runtime does
// it.
func event(bearer string) authorizer.Event {
	e := authorizer.Event{
		Type: "REQUEST", Path: "/orders/42",
		Headers:   map[string]string{"Authorization": "Bearer " + bearer},
		MethodARN: "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/prod/GET/orders/42",
	}
	e.RequestContext.Identity.SourceIP = address
	return e
}

func (d *decision) allowed(ctx context.Context, event authorizer.Event) error {
	return d.decide(ctx, event, "Allow")
}

func (d *decision) denied(ctx context.Context, event authorizer.Event) error {
	return d.decide(ctx, event, "Deny")
}

func (d *decision) decide(ctx context.Context, event authorizer.Event, want string) error {
	answer, err := d.authorizer.Authorize(ctx, event)
	if err != nil {
		return err
	}
	policy := answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument
	if got := policy.Statement[0].Effect; got != want {
		return fmt.Errorf("decision is %q, not %q", got, want)
	}
	return nil
}

// allocs counts the allocations of a decision whose two items are in memory.
func (d *decision) allocs(ctx context.Context) (float64, error) {
	var failure error
	const runs = 1000
	count := testing.AllocsPerRun(runs, func() {
		if _, err := d.offline.Authorize(ctx, d.event); err != nil {
			failure = err
		}
	})
	return count, failure
}

// memory is a store that holds one token.
type memory struct {
	token token.Token
	acct  account.Account
	set   settings.Settings
}

func (m memory) Check(_ context.Context, _ []secret.Digest, _ account.ID, set *settings.Settings) (token.Token, account.Account, error) {
	if set != nil {
		*set = m.set
	}
	return m.token, m.acct, nil
}

func (memory) EndOverlap(context.Context, token.Token, time.Time, audit.Event) error { return nil }

func (memory) MarkUsed(context.Context, secret.Digest, time.Time, time.Time, []netip.Addr) error {
	return nil
}

func itemKey(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
	}
}

func oneGet(ctx context.Context, client *dynamodb.Client, key map[string]types.AttributeValue) error {
	out, err := client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(tableName), Key: key, ConsistentRead: aws.Bool(true),
	})
	if err == nil && len(out.Item) == 0 {
		return errors.New("item is not there")
	}
	return err
}

func twoGets(ctx context.Context, client *dynamodb.Client, keys []map[string]types.AttributeValue) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, key := range keys {
		group.Go(func() error { return oneGet(ctx, client, key) })
	}
	return group.Wait()
}

func oneBatch(ctx context.Context, client *dynamodb.Client, keys []map[string]types.AttributeValue) error {
	out, err := client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{tableName: {Keys: keys, ConsistentRead: aws.Bool(true)}},
	})
	if err == nil && len(out.Responses[tableName]) != len(keys) {
		return errors.New("items are not there")
	}
	return err
}

// countRequests counts every attempt that leaves the client.
func countRequests(n *atomic.Int64) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("CountRequests",
				func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
					n.Add(1)
					return next.HandleFinalize(ctx, in)
				}), middleware.After)
		})
	}
}
