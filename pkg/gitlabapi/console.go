package gitlabapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// An issuePayload is a console payload of issue. Action decides which fields count.
type issuePayload struct {
	Action   string `json:"action"`
	Username string `json:"username"`

	// create_administrator
	Email       string `json:"email"`
	DisplayName string `json:"display_name"`

	// create_token, and the optional token of create_administrator
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	Scopes       []string `json:"scopes"`
	ExpiresAt    string   `json:"expires_at"`
	ExpiresIn    *int64   `json:"expires_in"` // in seconds, instead of ExpiresAt
	Value        string   `json:"value"`
	AllowedCIDRs []string `json:"allowed_cidrs"`

	// link_identity; unlink_identity takes only the username
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

type linkedJSON struct {
	Linked bool  `json:"linked"`
	UserID int64 `json:"user_id"`
}

type unlinkedJSON struct {
	Unlinked bool  `json:"unlinked"`
	UserID   int64 `json:"user_id"`
}

type administratorJSON struct {
	User  userJSON  `json:"user"`
	Token tokenJSON `json:"token"`
}

// IssueConsole returns the console of issue. create_administrator makes an administrator's account
// and a token for it, with all scopes that an administrator's script needs by default. create_token
// makes a token for a username, with an optional value of the operator's choice. link_identity lets an
// identity of the page's provider sign in as a username, and unlink_identity undoes that. fill_directory enters
// the tokens of an earlier release into the lists of administrators.
func IssueConsole(api *API, issuer *lifecycle.Issuer, accounts *directory.Directory, signIns *directory.SignIns, filler *lifecycle.Filler) Console {
	return func(ctx context.Context, by principal.Principal, raw json.RawMessage) (any, error) {
		var fill fillPayload
		if err := strict(raw, &fill); err == nil && fill.Action == "fill_directory" {
			return api.fillByConsole(ctx, filler, fill)
		}
		var p issuePayload
		if err := strict(raw, &p); err != nil {
			return nil, err
		}
		switch p.Action {
		case "create_administrator":
			return api.createAdministrator(ctx, by, issuer, accounts, p)
		case "create_token":
			acct, err := accounts.ByName(ctx, p.Username)
			if err != nil {
				return nil, consoleError(p.Action, fmt.Errorf("username: %w", err))
			}
			wire, err := api.createByConsole(ctx, by, issuer, acct, p)
			return wire, consoleError(p.Action, err)
		case "link_identity":
			return api.linkByConsole(ctx, by, signIns, p)
		case "unlink_identity":
			return api.unlinkByConsole(ctx, by, signIns, p)
		default:
			return nil, fmt.Errorf("%w (action is create_administrator, create_token, link_identity, unlink_identity or fill_directory)", ErrEvent)
		}
	}
}

// A fillPayload is the console payload fill_directory of issue. Check only asks whether there is anything to do,
// and After is the number that the call before has answered.
type fillPayload struct {
	Action string `json:"action"`
	Check  bool   `json:"check"`
	After  int64  `json:"after"`
}

type filledJSON struct {
	Entered int `json:"entered"`
	// After is for the next call. It is absent once the directory is complete.
	After int64 `json:"after,omitempty"`
	Done  bool  `json:"done"`
}

func (api *API) fillByConsole(ctx context.Context, filler *lifecycle.Filler, p fillPayload) (any, error) {
	if p.After < 0 || p.After > int64(account.MaxID)<<22+token.MaxNumber || p.Check && p.After != 0 {
		return nil, fmt.Errorf("%w (fill_directory takes either check or after, the number that the call before has answered)", ErrEvent)
	}
	if p.Check {
		complete, err := filler.Complete(ctx)
		return filledJSON{Done: complete}, consoleError(p.Action, err)
	}
	filled, err := filler.Fill(ctx, token.ID(p.After))
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	api.Log.Info("directory filled", "count", filled.Entered, "last", int64(filled.Last), "done", filled.Done, "source", "console")
	told := filledJSON{Entered: filled.Entered, After: int64(filled.Last), Done: filled.Done}
	if filled.Done {
		told.After = 0
	}
	return told, nil
}

// linkByConsole lets an identity of a provider sign in as the account of a username.
func (api *API) linkByConsole(ctx context.Context, by principal.Principal, signIns *directory.SignIns, p issuePayload) (any, error) {
	acct, err := signIns.LinkByConsole(ctx, by.Request.ID, p.Username, account.Identity{Issuer: p.Issuer, Subject: p.Subject})
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	api.Log.Info("identity linked", "owner", int64(acct.ID), "source", "console")
	return linkedJSON{Linked: true, UserID: int64(acct.ID)}, nil
}

// unlinkByConsole takes its identity from the account of a username.
func (api *API) unlinkByConsole(ctx context.Context, by principal.Principal, signIns *directory.SignIns, p issuePayload) (any, error) {
	if p.Issuer != "" || p.Subject != "" { // somebody who names an identity expects that only this one goes
		return nil, consoleError(p.Action, fmt.Errorf("%w: unlink_identity takes only a username", fault.ErrInput))
	}
	acct, err := signIns.UnlinkByConsole(ctx, by.Request.ID, p.Username)
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	api.Log.Info("identity unlinked", "owner", int64(acct.ID), "source", "console")
	return unlinkedJSON{Unlinked: true, UserID: int64(acct.ID)}, nil
}

func (api *API) createAdministrator(ctx context.Context, by principal.Principal, issuer *lifecycle.Issuer, accounts *directory.Directory, p issuePayload) (any, error) {
	if p.Name == "" {
		p.Name = "first token"
	}
	if p.Scopes == nil {
		p.Scopes = []string{string(scope.API), string(scope.Sudo)}
	}
	if p.DisplayName == "" {
		p.DisplayName = p.Username
	}
	// Check the token before making the account.
	candidate := directory.Candidate{Username: p.Username, Name: p.DisplayName, Email: p.Email, Admin: true}
	spec, err := consoleSpec(issuer, p)
	if err == nil {
		err = issuer.Check(ctx, account.Account{Admin: true}, spec)
	}
	if err == nil && p.Value != "" {
		err = valueTaken(issuer.CheckValue(ctx, p.Value))
	}
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	acct, err := accounts.CreateByConsole(ctx, by.Request.ID, candidate)
	if err != nil {
		return nil, consoleError(p.Action, err)
	}
	api.Log.Info("user created", "owner", int64(acct.ID), "source", "console")
	wire, err := api.createByConsole(ctx, by, issuer, acct, p)
	if err != nil {
		return nil, consoleError(p.Action, fmt.Errorf("the account was made, its token was not: %w", err))
	}
	return administratorJSON{User: site(api.PublicURL).userWire(acct, true), Token: wire}, nil
}

func (api *API) createByConsole(ctx context.Context, by principal.Principal, issuer *lifecycle.Issuer, owner account.Account, p issuePayload) (tokenJSON, error) {
	spec, err := consoleSpec(issuer, p)
	if err != nil {
		return tokenJSON{}, err
	}
	issued, err := issuer.CreateByConsole(ctx, by.Request.ID, owner, spec, p.Value)
	if err != nil {
		return tokenJSON{}, valueTaken(err)
	}
	api.Count("TokensIssued", "console")
	api.Log.Info("token issued", "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner),
		"source", "console", "scopes", issued.Token.Scopes)
	return issuedWire(issued), nil
}

// valueTaken names the field whose value is in use.
func valueTaken(err error) error {
	if errors.Is(err, fault.ErrTaken) {
		return fmt.Errorf("value: %w", err)
	}
	return err
}

// badInput gives an error in a payload the kind of its fault, and keeps its text.
type badInput struct{ error }

func (b badInput) Unwrap() []error { return []error{fault.ErrInput, b.error} }

// consoleSpec returns the token that a payload asks for. Its errors are of the kind fault.Invalid.
func consoleSpec(issuer *lifecycle.Issuer, p issuePayload) (lifecycle.Spec, error) {
	spec, err := readSpec(issuer, p)
	if err != nil {
		err = badInput{err}
	}
	return spec, err
}

func readSpec(issuer *lifecycle.Issuer, p issuePayload) (lifecycle.Spec, error) {
	spec := lifecycle.Spec{Name: p.Name, Description: p.Description}
	var err error
	if spec.Scopes, err = issuer.Scopes().Parse(p.Scopes); err != nil {
		return spec, fmt.Errorf("scopes: %w", err)
	}
	if spec.Networks, err = networksOf(p.AllowedCIDRs); err != nil {
		if typo, some := errors.AsType[*token.HostBits](err); some {
			return spec, fmt.Errorf("allowed_cidrs: %s", hostBits(typo))
		}
		return spec, fmt.Errorf("allowed_cidrs: %w", err)
	}
	if p.ExpiresAt != "" {
		if spec.ExpiresOn, err = clock.ParseDay(p.ExpiresAt); err != nil {
			return spec, fmt.Errorf("expires_at: %w", err)
		}
	}
	if p.ExpiresIn != nil {
		if p.ExpiresAt != "" {
			return spec, errors.New("expires_in and expires_at are mutually exclusive")
		}
		if spec.Life, err = lifeOf(*p.ExpiresIn); err != nil {
			return spec, fmt.Errorf("expires_in: %w", err)
		}
	}
	if p.Value != "" {
		if err = issuer.CheckChosen(p.Value); err != nil {
			return spec, fmt.Errorf("value: %w (%d to %d printable ASCII characters without spaces, and no prefix of generated ones)",
				err, secret.MinLength, secret.MaxLength)
		}
	}
	if !printable(p.Name) || !printable(p.Description) {
		return spec, errors.New("name or description holds control characters or broken UTF-8")
	}
	return spec, nil
}

// consoleError names the failed action. The use cases' errors hold no values.
func consoleError(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", action, explained(err))
}

// A revokePayload is a console payload of revoke: action and exactly one other field.
type revokePayload struct {
	Action   string `json:"action"`
	Value    string `json:"value"`
	ID       int64  `json:"id"`
	Username string `json:"username"`
}

type revokedJSON struct {
	Revoked bool  `json:"revoked"`
	ID      int64 `json:"id,omitempty"`
	UserID  int64 `json:"user_id,omitempty"`
	// Successor is the newest token of the chain, if the token was rotated before.
	Successor int64 `json:"successor_id,omitempty"`
	// Children counts the working tokens that ended because the revoked one had made them.
	Children int `json:"children_ended,omitempty"`
}

func revokedWire(r lifecycle.Revocation) revokedJSON {
	return revokedJSON{Revoked: true, ID: int64(r.Token.ID), UserID: int64(r.Token.Owner), Successor: int64(r.Successor), Children: r.Children}
}

// RevokeConsole returns the console of revoke. revoke_token revokes a token by value or by id;
// revoke_everything revokes all tokens of a username.
func RevokeConsole(api *API, revoker *lifecycle.Revoker, accounts *directory.Finder) Console {
	return func(ctx context.Context, by principal.Principal, raw json.RawMessage) (any, error) {
		var p revokePayload
		if err := strict(raw, &p); err != nil {
			return nil, err
		}
		var done revokedJSON
		var err error
		switch {
		case p == (revokePayload{Action: "revoke_token", Value: p.Value}) && p.Value != "":
			var r lifecycle.Revocation
			r, err = revoker.RevokeValueByConsole(ctx, by.Request.ID, p.Value)
			done = revokedWire(r)
		case p == (revokePayload{Action: "revoke_token", ID: p.ID}) && p.ID != 0:
			var r lifecycle.Revocation
			r, err = revoker.RevokeByConsole(ctx, by.Request.ID, token.ID(p.ID))
			done = revokedWire(r)
		case p == (revokePayload{Action: "revoke_everything", Username: p.Username}) && p.Username != "":
			var acct account.Account
			if acct, err = accounts.ByName(ctx, p.Username); err == nil {
				err = revoker.RevokeEverythingByConsole(ctx, by.Request.ID, acct)
			}
			done = revokedJSON{Revoked: true, UserID: int64(acct.ID)}
		default:
			return nil, fmt.Errorf("%w (action is revoke_token with value or id, or revoke_everything with username)", ErrEvent)
		}
		if err != nil {
			return nil, consoleError(p.Action, err)
		}
		api.Count("TokensRevoked", "console")
		if done.ID == 0 {
			api.Log.Info("all tokens revoked", "owner", done.UserID, "source", "console")
		} else {
			api.Log.Info("token revoked", "token_id", done.ID, "owner", done.UserID, "source", "console")
		}
		return done, nil
	}
}

// A settingsPayload is a console payload of settings. Action decides which fields count.
type settingsPayload struct {
	Action string `json:"action"`

	// set_feature, for everybody or for one project or group; clear_feature takes only the feature.
	// An empty path is not an absent one: a script whose variable is unset must not switch for everybody.
	Feature string  `json:"feature"`
	Value   *bool   `json:"value"`
	Project *string `json:"project"`
	Group   *string `json:"group"`

	// change_settings: an object of the parameters of PUT /application/settings
	Settings *json.RawMessage `json:"settings"`
}

type clearedJSON struct {
	Cleared bool   `json:"cleared"`
	Feature string `json:"feature"`
}

// SettingsConsole returns the console of settings. set_feature switches a feature for everybody or for
// one project or group, clear_feature lets its default apply again, and change_settings changes
// settings, with the names and values of the API.
func SettingsConsole(api *API, features *administration.Features, admin *administration.Administration) Console {
	return func(ctx context.Context, by principal.Principal, raw json.RawMessage) (any, error) {
		var p settingsPayload
		if err := strict(raw, &p); err != nil {
			return nil, err
		}
		for _, path := range []*string{p.Project, p.Group} {
			if path != nil && *path == "" {
				return nil, fmt.Errorf("%w (project or group is empty)", ErrEvent)
			}
		}
		var done any
		var err error
		switch {
		case p == (settingsPayload{Action: "set_feature", Feature: p.Feature, Value: p.Value}) && p.Value != nil:
			done, err = setByConsole(ctx, by, features, p, administration.Names{})
		case p == (settingsPayload{Action: "set_feature", Feature: p.Feature, Value: p.Value, Project: p.Project}) && p.Value != nil:
			done, err = setByConsole(ctx, by, features, p, administration.Names{Projects: []string{*p.Project}})
		case p == (settingsPayload{Action: "set_feature", Feature: p.Feature, Value: p.Value, Group: p.Group}) && p.Value != nil:
			done, err = setByConsole(ctx, by, features, p, administration.Names{Groups: []string{*p.Group}})
		case p == (settingsPayload{Action: "clear_feature", Feature: p.Feature}):
			done, err = clearedJSON{true, p.Feature}, features.ClearByConsole(ctx, by.Request.ID, p.Feature)
		case p == (settingsPayload{Action: "change_settings", Settings: p.Settings}) && p.Settings != nil:
			done, err = api.changeByConsole(ctx, by, admin, *p.Settings)
		default:
			return nil, fmt.Errorf("%w (action is set_feature with feature, value and optionally project or group, clear_feature with feature, or change_settings with settings)", ErrEvent)
		}
		if err != nil {
			return nil, consoleError(p.Action, err)
		}
		api.Log.Info("settings changed", "action", p.Action, "source", "console")
		return done, nil
	}
}

func setByConsole(ctx context.Context, by principal.Principal, features *administration.Features, p settingsPayload, names administration.Names) (flagJSON, error) {
	flag, err := features.SetByConsole(ctx, by.Request.ID, p.Feature, *p.Value, names)
	return flagWire(flag), err
}

func (api *API) changeByConsole(ctx context.Context, by principal.Principal, admin *administration.Administration, given json.RawMessage) (any, error) {
	b := binder{params: params{}}
	if err := b.params.addJSON(given); err != nil {
		return nil, badInput{err}
	}
	for name := range b.params {
		if !strings.HasPrefix(name, noted) && !slices.Contains(settingNames, name) { // a misspelt setting must not be ignored
			return nil, badInput{errors.New("settings has a name that is no setting")}
		}
	}
	change, err := b.settingsChange()
	if err != nil {
		return nil, badInput{err}
	}
	s, err := admin.UpdateByConsole(ctx, by.Request.ID, change)
	if err != nil {
		return nil, err
	}
	return applicationSettingsWire(s, api.Clock.Now()), nil
}
