package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/planning"
	deployed "latchkey/pkg/compose/web"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/principal"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
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

// newPage returns the site as the function has it, but for its visitors.
func newPage(l *listing, source store.Source) (*page, error) {
	cfg, err := config.ReadWeb([]string{
		"TABLE_NAME=" + tableName, "PUBLIC_URL=https://tokens.example.test", "PEPPER=" + rand.Text() + rand.Text(), "COOKIE_KEYS=" + rand.Text() + rand.Text(),
		"OIDC_ISSUER=https://login.example.test", "OIDC_CLIENT_ID=bench",
		"SCHEDULE_GROUP=bench", "LIFETIME_RUN_ARN=arn:bench", "LIFETIME_ROLE_ARN=arn:bench", "UNSTARTED_QUEUE_ARN=arn:bench",
	})
	if err != nil {
		return nil, err
	}
	d := compose.New("web", cfg.Common, source)
	d.Log = telemetry.NewLogger(io.Discard, "web")
	signIns, err := directory.NewSignIns(directory.SignInParts{
		Store: l.table, Reader: l.table, Trail: trail.NewNotes(&l.table.Journal), Clock: d.Clock,
	})
	if err != nil {
		return nil, err
	}
	parts := deployed.Parts(d, cfg, planning.Planner(cfg.Plans, planning.Client(cfg.Plans, aws.Config{})))
	parts.Visitors = visitors{signIns, account.NewSession(l.owner, d.Clock.Now())}
	site, err := web.New(parts)
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
