// Package seed makes a few accounts, projects and tokens for people who try Latchkey: two accounts,
// a group with a project, memberships and tokens.
//
// Start with Make. It uses only the API of a running Latchkey, with an administrator's bearer.
// Calling it again keeps what exists and makes only new bearers, because the old ones cannot be
// read.
package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	Group      = "acme"
	Project    = "acme/web"
	Developer  = "developer"  // has that level in the group, and so in the project
	Maintainer = "maintainer" // has that level in the project
	// TokenName is the name of the tokens.
	TokenName = "make run"
)

// The levels of members (GitLab's numbers).
const (
	developerLevel  = 30
	maintainerLevel = 40
)

// Bearers are the bearers of the tokens that Make makes.
type Bearers struct {
	Developer, Maintainer string // personal, with every right of the account
	Project               string // of the project, with the level Developer
}

// Make makes the accounts, projects and tokens in the Latchkey at baseURL, an address without a
// trailing slash. The tokens last until the UTC day expiresOn, YYYY-MM-DD; a rotation without a day
// would give them a week. It stops at the first step that fails. The error names the step and the
// reply.
func Make(ctx context.Context, baseURL, bearer, expiresOn string) (Bearers, error) {
	api := &api{url: baseURL + "/api/v4", bearer: bearer, expiresOn: expiresOn, client: &http.Client{Timeout: stepTimeout}}
	developer, err := api.account(ctx, Developer)
	if err != nil {
		return Bearers{}, err
	}
	maintainer, err := api.account(ctx, Maintainer)
	if err != nil {
		return Bearers{}, err
	}
	group, err := api.findOrCreate(ctx, "group "+Group, "/groups/"+url.PathEscape(Group), "/groups",
		fields{"name": "Acme", "path": Group, "visibility": "private"})
	if err != nil {
		return Bearers{}, err
	}
	_, path, _ := strings.Cut(Project, "/")
	project, err := api.findOrCreate(ctx, "project "+Project, "/projects/"+url.PathEscape(Project), "/projects",
		fields{"name": "Web", "path": path, "namespace_id": group.ID, "visibility": "private"})
	if err != nil {
		return Bearers{}, err
	}
	if err := api.member(ctx, fmt.Sprintf("/groups/%d", group.ID), Developer, developer.ID, developerLevel); err != nil {
		return Bearers{}, err
	}
	if err := api.member(ctx, fmt.Sprintf("/projects/%d", project.ID), Maintainer, maintainer.ID, maintainerLevel); err != nil {
		return Bearers{}, err
	}

	var bearers Bearers
	personal := func(owner object) (string, error) {
		return api.token(ctx, "token of "+owner.Username,
			fmt.Sprintf("/personal_access_tokens?state=active&user_id=%d&per_page=100&search=%s", owner.ID, url.QueryEscape(TokenName)),
			fmt.Sprintf("/users/%d/personal_access_tokens", owner.ID), "/personal_access_tokens", fields{})
	}
	if bearers.Developer, err = personal(developer); err != nil {
		return Bearers{}, err
	}
	if bearers.Maintainer, err = personal(maintainer); err != nil {
		return Bearers{}, err
	}
	ofProject := fmt.Sprintf("/projects/%d/access_tokens", project.ID)
	bearers.Project, err = api.token(ctx, "token of "+Project, ofProject+"?state=active&per_page=100", ofProject, ofProject,
		fields{"access_level": developerLevel})
	if err != nil {
		return Bearers{}, err
	}
	return bearers, nil
}

// stepTimeout is how long one request may take.
const stepTimeout = 30 * time.Second

type api struct {
	url, bearer, expiresOn string
	client                 *http.Client
}

type fields map[string]any

// An object holds the fields that are read from any reply.
type object struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username"`
	Token    string `json:"token"`
}

// account finds or makes an account.
func (a *api) account(ctx context.Context, username string) (object, error) {
	what := "user " + username
	var found []object
	if err := a.do(ctx, "find "+what, http.MethodGet, "/users?username="+url.QueryEscape(username), nil, &found); err != nil {
		return object{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	var made object
	err := a.do(ctx, "create "+what, http.MethodPost, "/users", fields{
		"username": username, "name": "The " + username, "email": username + "@example.test", "force_random_password": true,
	}, &made)
	return made, err
}

func (a *api) findOrCreate(ctx context.Context, what, one, all string, wanted fields) (object, error) {
	var got object
	err := a.do(ctx, "find "+what, http.MethodGet, one, nil, &got)
	if isMissing(err) {
		err = a.do(ctx, "create "+what, http.MethodPost, all, wanted, &got)
	}
	return got, err
}

// member adds an account to a project unless it is already a member, at any level.
func (a *api) member(ctx context.Context, project, username string, account int64, level int) error {
	_, err := a.findOrCreate(ctx, "member "+username+" of "+project, fmt.Sprintf("%s/members/%d", project, account), project+"/members",
		fields{"user_id": account, "access_level": level})
	return err
}

// token makes a token with create, or rotates the token that list finds with rotate, because a new
// token for each start would pile up.
func (a *api) token(ctx context.Context, what, list, create, rotate string, wanted fields) (string, error) {
	var there []object
	if err := a.do(ctx, "find "+what, http.MethodGet, list, nil, &there); err != nil {
		return "", err
	}
	var made object
	for _, t := range there {
		if t.Name == TokenName {
			err := a.do(ctx, "rotate "+what, http.MethodPost, fmt.Sprintf("%s/%d/rotate", rotate, t.ID), fields{"expires_at": a.expiresOn}, &made)
			return made.Token, err
		}
	}
	wanted["name"], wanted["scopes"], wanted["expires_at"] = TokenName, []string{"api"}, a.expiresOn
	err := a.do(ctx, "create "+what, http.MethodPost, create, wanted, &made)
	return made.Token, err
}

// A refusal is a reply with an error status.
type refusal struct {
	step, body string
	status     int
}

func (r *refusal) Error() string {
	return fmt.Sprintf("seed: %s: answered %d %s", r.step, r.status, r.body)
}

func isMissing(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && refused.status == http.StatusNotFound
}

// do sends a request and reads its reply. It returns a refusal for a step that is refused.
func (a *api) do(ctx context.Context, step, method, target string, body fields, reply any) error {
	encoded, err := json.Marshal(body) // null means no parameters
	if err != nil {
		return fmt.Errorf("seed: %s: %w", step, err)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+target, bytes.NewReader(encoded))
	if err != nil {
		return fmt.Errorf("seed: %s: %w", step, err)
	}
	request.Header.Set("PRIVATE-TOKEN", a.bearer)
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("seed: %s: %w", step, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("seed: %s: %w", step, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return &refusal{step, strings.TrimSpace(string(content)), response.StatusCode}
	}
	if err := json.Unmarshal(content, reply); err != nil {
		return fmt.Errorf("seed: %s: reply is not understood: %w", step, err)
	}
	return nil
}
