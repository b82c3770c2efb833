package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/web"
)

// rowsShown is how many tokens a page of the list shows.
const rowsShown = 100

// A page is the site for a listing's owner, who is signed in.
type page struct {
	site    *web.Site
	session []map[string]types.AttributeValue // what a visit reads to know its person
}

// visitors resume the session of one person, as the cookie does, which costs no request.
type visitors struct {
	signIns *directory.SignIns
	session account.Session
}

func (v visitors) Visitor(ctx context.Context, _ http.ResponseWriter, _ *http.Request, request principal.Request) (principal.Principal, error) {
	return v.signIns.Resume(ctx, v.session, request)
}

// unplanned stands for the scheduler of lifetime runs, which a list does not need.
type unplanned struct{}

func (unplanned) Plan(context.Context, time.Time) error   { return nil }
func (unplanned) Cancel(context.Context, time.Time) error { return nil }

func newPage(l *listing) (*page, error) {
	log, system := telemetry.NewLogger(io.Discard, "web"), clock.System{}
	count := func(string, string) {}
	signIns, err := directory.NewSignIns(directory.SignInParts{
		Store: l.table, Reader: l.table, Trail: trail.NewNotes(&l.table.Journal), Clock: system,
	})
	if err != nil {
		return nil, err
	}
	sealer, err := web.NewSealer(rand.Text() + rand.Text())
	if err != nil {
		return nil, err
	}
	entrance, err := web.NewEntrance(web.EntranceParts{
		Provider: web.NewProvider(web.ProviderSettings{Issuer: "https://login.example.test", ClientID: "bench"}, system),
		SignIns:  signIns, Sealer: sealer, Clock: system, Throttles: throttle.Unlimited(), Log: log, Count: count,
	})
	if err != nil {
		return nil, err
	}
	revoker, err := lifecycle.NewRevoker(lifecycle.RevokerParts{
		Store: l.table, Reader: l.table, Projects: l.table, Pepper: l.pepper, Format: l.format, Clock: system,
	})
	if err != nil {
		return nil, err
	}
	events, err := trail.New(trail.Parts{Store: l.table, Reader: l.table, Projects: l.table, Clock: system})
	if err != nil {
		return nil, err
	}
	features, err := administration.NewFeatures(administration.FeaturesParts{Store: l.table, Reader: l.table, Finder: l.table, Clock: system})
	if err != nil {
		return nil, err
	}
	application, err := administration.New(administration.Parts{Store: l.table, Planner: unplanned{}, Clock: system, Reserved: l.format.Prefixes})
	if err != nil {
		return nil, err
	}
	site, err := web.New(web.Parts{
		Log: log, Clock: system, PublicURL: "https://tokens.example.test", Door: entrance, Sealer: sealer,
		Visitors: visitors{signIns, account.NewSession(l.owner, system.Now())},
		Issuer:   l.issuer, Revoker: revoker, Lister: l.lister, Trail: events, Verifier: l.verifier, Throttles: throttle.Unlimited(), Count: count,
		Finder: l.accounts.Finder, Directory: l.accounts, Features: features, Settings: application,
	})
	if err != nil {
		return nil, err
	}
	// There are no settings, so the engine finds the profile alone.
	return &page{site, []map[string]types.AttributeValue{itemKey("USER#"+l.owner.ID.String(), "PROFILE")}}, nil
}

// list requests the list of tokens through the HTTP handler.
func (p *page) list(ctx context.Context) error {
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://tokens.example.test/-/user_settings/personal_access_tokens", http.NoBody)
	reply := httptest.NewRecorder()
	p.site.Handler()(reply, request, proxy.Origin{RequestID: "bench"})
	if n := strings.Count(reply.Body.String(), `<th scope="row">`); reply.Code != http.StatusOK || n != rowsShown {
		return fmt.Errorf("page answers %d with %d tokens", reply.Code, n)
	}
	return nil
}
