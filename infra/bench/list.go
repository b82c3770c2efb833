package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/verify"
)

const (
	tokensListed = 500
	perPage      = 20
)

// lists measures the first page of 20 out of an owner's 500 tokens, and the list of 500 tokens that a
// browser gets. The yardstick is the bare SDK reads that each takes: the caller's check or session, the
// owner's pointers, the records. The measurement covers the function's HTTP handler without the Lambda event
// around it.
func lists(ctx context.Context, r *report) error {
	engine, err := dynamodblocal.Start(ctx)
	if err != nil {
		return err
	}
	defer engine.Stop()
	client := dynamodblocal.Client(engine.Endpoint(), store.Configure(""))
	l, err := newListing(ctx, client)
	if err != nil {
		return err
	}
	html, err := newPage(l, store.From(client))
	if err != nil {
		return err
	}
	const turns, calls = 40, 20
	pair, err := alternate(turns, calls,
		func() error { return l.page(ctx) },
		func() error { return l.reads(ctx, client, l.caller, l.records[:perPage]) },
	)
	if err != nil {
		return err
	}
	page, reads := pair[0], pair[1]
	r.note("page 1 (%d of %d tokens): p50 %v, cpu %v", perPage, tokensListed, page.p50(), page.cpuPerCall())
	r.note("its bare reads: p50 %v, cpu %v; cpu ratio %.3f", reads.p50(), reads.cpuPerCall(), page.against(reads, turn.processor))
	r.atMost("list_500_ratio", page.against(reads, turn.wall), 1.25)
	pair, err = alternate(turns/2, calls/2, // of the longer reads
		func() error { return html.list(ctx) },
		func() error { return l.reads(ctx, client, html.session, l.records) },
	)
	if err != nil {
		return err
	}
	page, reads = pair[0], pair[1]
	r.note("the same list for a browser (%d of %d tokens): p50 %v, cpu %v", rowsShown, tokensListed, page.p50(), page.cpuPerCall())
	r.note("its bare reads: p50 %v, cpu %v; cpu ratio %.3f", reads.p50(), reads.cpuPerCall(), page.against(reads, turn.processor))
	r.atMost("page_p50_ratio", page.against(reads, turn.wall), 2)
	return nil
}

// A listing is an owner with many tokens, and the items that are read to list them.
type listing struct {
	tokens  http.Handler
	bearer  string
	caller  []map[string]types.AttributeValue
	owner   account.Account
	records []map[string]types.AttributeValue // of all tokens, by id

	table *store.Table
}

func newListing(ctx context.Context, client *dynamodb.Client) (*listing, error) {
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
	l := &listing{owner: acct, table: table}
	for n := range tokensListed {
		issued, err := issuer.CreateByConsole(ctx, "", acct, lifecycle.Spec{
			Name: fmt.Sprintf("bench %d", n), Description: "one of many", Scopes: scope.Set{scope.ReadAPI, scope.ReadUser},
		}, "")
		if err != nil {
			return nil, err
		}
		acct.NextNumber = issued.Token.ID.Number() + 1
		key := itemKey("TOKEN#"+issued.Token.Digest.Key(), "TOKEN")
		if n == 0 {
			l.bearer = issued.Bearer.Reveal()
			l.caller = []map[string]types.AttributeValue{key, itemKey("USER#"+acct.ID.String(), "PROFILE")}
		}
		l.records = append(l.records, key)
	}
	verifier, err := verify.New(verify.Parts{Store: table, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: clock.System{}})
	if err != nil {
		return nil, err
	}
	lister, err := lifecycle.NewLister(lifecycle.ListerParts{Store: table, Reader: table, Projects: table, Scopes: scope.GitLab(), Pepper: pepper, Format: format, Clock: clock.System{}})
	if err != nil {
		return nil, err
	}
	log := telemetry.NewLogger(io.Discard, "tokens")
	l.tokens = gitlabapi.Tokens(&gitlabapi.API{
		Log: log, Accounts: table, Clock: clock.System{}, PublicURL: "https://tokens.example.test", Count: func(string, string) {},
		Throttles: throttle.Unlimited(), Verifier: verifier,
	}, lister, nil)
	return l, nil
}

// page requests the first page through the HTTP handler.
func (l *listing) page(ctx context.Context) error {
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v4/personal_access_tokens", http.NoBody)
	request.Header.Set("PRIVATE-TOKEN", l.bearer)
	reply := httptest.NewRecorder()
	l.tokens.ServeHTTP(reply, request)
	if n := strings.Count(reply.Body.String(), `"name":"bench `); reply.Code != http.StatusOK || n != perPage || reply.Header().Get("X-Total") != fmt.Sprint(tokensListed) {
		return fmt.Errorf("list answers %d with %d tokens of %s", reply.Code, n, reply.Header().Get("X-Total"))
	}
	return nil
}

// reads asks the engine for the items that a list needs, in the store's requests, and only checks how many came.
func (l *listing) reads(ctx context.Context, client *dynamodb.Client, caller, records []map[string]types.AttributeValue) error {
	if err := oneBatch(ctx, client, caller); err != nil {
		return err
	}
	out, err := client.Query(ctx, &dynamodb.QueryInput{
		TableName:              aws.String(tableName),
		KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :sk)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": &types.AttributeValueMemberS{Value: "USER#" + l.owner.ID.String()}, ":sk": &types.AttributeValueMemberS{Value: "TOKEN#"},
		},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return err
	}
	if out.Count != tokensListed {
		return fmt.Errorf("%d pointers", out.Count)
	}
	const most = 100 // of a BatchGetItem
	for batch := range slices.Chunk(records, most) {
		if err := oneBatch(ctx, client, batch); err != nil {
			return err
		}
	}
	return nil
}
