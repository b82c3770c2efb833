package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/verify"
)

const (
	fewListed  = 2_000
	manyListed = 200_000
	// tokensOfEach is how many tokens each of the owners has; the other accounts have none.
	tokensOfEach = 100
)

// adminPages measures the first page of an administrator's lists of all tokens and of all accounts, with 200,000 of
// each. The yardstick is the same page with 2,000. The engine is the embedded one, because DynamoDB Local takes many
// minutes to load. The requests of a page are the same on both.
func adminPages(ctx context.Context, r *report) error {
	start := time.Now()
	small, err := newOffice(ctx, fewListed)
	if err != nil {
		return err
	}
	large, err := newOffice(ctx, manyListed)
	if err != nil {
		return err
	}
	r.note("loading took %v", time.Since(start).Round(time.Second))
	for name, list := range map[string]func(*office) func() error{
		"admin_page": func(o *office) func() error {
			return func() error { return o.page(ctx, o.tokens, "/api/v4/personal_access_tokens") }
		},
		"users_page": func(o *office) func() error {
			return func() error { return o.page(ctx, o.accounts, "/api/v4/users") }
		},
	} {
		pair := []func() error{list(large), list(small)}
		var requests [2]int64
		for i, o := range []*office{large, small} {
			if err := pair[i](); err != nil { // it records the use of the bearer
				return err
			}
			before := o.requests.Load()
			if err := pair[i](); err != nil {
				return err
			}
			requests[i] = o.requests.Load() - before
		}
		r.note("%s: %d requests with %d, %d with %d", name, requests[0], manyListed, requests[1], fewListed)
		r.atMost(name+"_requests_ratio", float64(requests[0])/float64(requests[1]), 1.05)
		const turns, calls = 20, 10
		samples, err := alternate(turns, calls, pair...)
		if err != nil {
			return err
		}
		r.note("%s: p50 %v and %v", name, samples[0].p50(), samples[1].p50())
		r.atMost(name+"_p50_ratio", samples[0].against(samples[1], turn.wall), 1.2)
	}
	return nil
}

// An office is a table with many tokens and accounts, and an administrator who lists them.
type office struct {
	tokens, accounts http.Handler
	bearer           string
	requests         *atomic.Int64 // to the engine
}

func newOffice(ctx context.Context, size int) (*office, error) {
	o := &office{requests: new(atomic.Int64)}
	count := middleware.InitializeMiddlewareFunc("count", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		o.requests.Add(1)
		return next.HandleInitialize(ctx, in)
	})
	client := engine.New().Client(store.Configure(""), func(options *dynamodb.Options) {
		options.APIOptions = append(options.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(count, middleware.Before) })
	})
	b, err := newBase(ctx, client)
	if err != nil {
		return nil, err
	}
	table, accounts, pepper, format := b.table, b.accounts, b.pepper, b.format
	if err := o.admit(ctx, table, accounts, pepper, format); err != nil {
		return nil, err
	}
	if err := fill(ctx, client, size); err != nil {
		return nil, err
	}
	verifier, err := verify.New(verify.Parts{Store: table, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: clock.System{}})
	if err != nil {
		return nil, err
	}
	lister, err := lifecycle.NewLister(lifecycle.ListerParts{Store: table, Reader: table, Projects: table, Scopes: scope.GitLab(), Pepper: pepper, Format: format, Clock: clock.System{}})
	if err != nil {
		return nil, err
	}
	api := &gitlabapi.API{
		Log: telemetry.NewLogger(io.Discard, "bench"), Accounts: table, Clock: clock.System{}, PublicURL: "https://tokens.example.test",
		Count: func(string, string) {}, Throttles: throttle.Unlimited(), Verifier: verifier,
	}
	o.tokens, o.accounts = gitlabapi.Tokens(api, lister, nil), gitlabapi.Directory(api, accounts)
	return o, nil
}

// admit makes the administrator, who has the id 1.
func (o *office) admit(ctx context.Context, table *store.Table, accounts *directory.Directory, pepper secret.Pepper, format secret.Format) error {
	acct, err := accounts.CreateByConsole(ctx, "", directory.Candidate{Username: "admin", Name: "Admin", Email: "admin@example.test", Admin: true})
	if err != nil {
		return err
	}
	issuer, err := issuerOn(table, pepper, format)
	if err != nil {
		return err
	}
	issued, err := issuer.CreateByConsole(ctx, "", acct, lifecycle.Spec{Name: "bench", Scopes: scope.Set{scope.API}}, "")
	if err == nil {
		o.bearer = issued.Bearer.Reveal()
	}
	return err
}

// fill adds accounts up to the id size, and as many tokens.
func fill(ctx context.Context, client *dynamodb.Client, size int) error {
	loader, err := storetest.NewLoader(ctx, client, tableName, store.DefaultShards)
	if err != nil {
		return err
	}
	const firstAccount account.ID = 2
	on := func(owner account.ID, n int) clock.Day {
		return clock.DayOf(storetest.Now).AddDays(1 + int(owner)%300 + n)
	}
	owners := storetest.Crowd{Owners: size / tokensOfEach, TokensEach: tokensOfEach, First: firstAccount, On: on}
	everybody := storetest.Crowd{Owners: size - int(firstAccount) + 1, First: firstAccount}
	if err := loader.Accounts(ctx, everybody.Accounts()); err != nil {
		return err
	}
	if err := loader.Tokens(ctx, owners.Tokens()); err != nil {
		return err
	}
	if err := loader.Listed(ctx, owners); err != nil {
		return err
	}
	return loader.Counted(ctx, account.ID(size), 0)
}

// page requests the first page of a list.
func (o *office) page(ctx context.Context, handler http.Handler, path string) error {
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	request.Header.Set("PRIVATE-TOKEN", o.bearer)
	reply := httptest.NewRecorder()
	handler.ServeHTTP(reply, request)
	if n := strings.Count(reply.Body.String(), `"created_at":`); reply.Code != http.StatusOK || n != perPage {
		return fmt.Errorf("%s answers %d with %d entries", path, reply.Code, n)
	}
	return nil
}
