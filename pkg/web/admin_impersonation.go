package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
)

// An impersonationsPage lists the impersonation tokens of one account.
type impersonationsPage struct {
	userRow
	Query *query
	Rows  []ownedRow
	Total int
	around
	// Off says that administrators have switched impersonation off.
	Off bool
}

func (s *Site) adminImpersonations(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	q := v.query()
	filter := lifecycle.Filter{Owner: acct.ID, Kind: token.Impersonation, Active: activeOf(q.choice("state", "active", "inactive"))}
	want, order := v.want(q), lifecycle.Sort{Descending: true}
	page := impersonationsPage{userRow: userRowOf(acct, v), Query: q, Off: v.by.Settings.ImpersonationOff}
	if len(q.Broken) == 0 {
		part, err := s.parts.Lister.List(v.ctx, v.by, filter, order, want)
		if err != nil {
			return err
		}
		if page.Rows, err = s.owned(v, part.Entries); err != nil {
			return err
		}
		page.Total = part.Total
		page.around = aroundOf(v, q, want, order, part)
	}
	return v.render(listStatus(q), "admin_impersonations", "Impersonation tokens", page)
}

// An impersonatePage is the form for an impersonation token.
type impersonatePage struct {
	tokenForm
	Owner string
}

const impersonateTitle = "New impersonation token"

func (s *Site) impersonateForm(v *visit, acct account.Account) impersonatePage {
	return impersonatePage{tokenForm{
		place: place{Path: v.base + adminUserPath(acct.ID, "/impersonation_tokens")}, As: "As @" + acct.Username, Expiry: v.expiryChoices("", ""),
		Groups: s.scopeGroups(acct, nil),
	}, acct.Username}
}

func (s *Site) adminNewImpersonation(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "admin_impersonate", impersonateTitle, s.impersonateForm(v, acct))
}

// adminImpersonate makes an impersonation token, and hands its value over to the page that shows it
// once.
func (s *Site) adminImpersonate(v *visit) error {
	acct, err := v.account()
	if err != nil {
		return err
	}
	given := v.r.PostForm
	page := s.impersonateForm(v, acct)
	page.Name, page.Description, page.Networks = given.Get("name"), given.Get("description"), given.Get("networks")
	page.Expiry = v.expiryChoices(given.Get("expires"), given.Get("expires_on"))
	spec := lifecycle.Spec{Name: strings.TrimSpace(page.Name), Description: strings.TrimSpace(page.Description), Scopes: chosenScopes(given)}
	page.Groups = s.scopeGroups(acct, spec.Scopes)
	again := func(list []broken, refused string) any {
		page.Broken, page.Refused = list, refused
		return page
	}
	if spec.Networks, err = token.ParseNetworks(splitList(page.Networks)); err != nil {
		page.Broken = append(page.Broken, broken{"networks", fmt.Sprintf("The networks must be up to %d IPv4 or IPv6 addresses or blocks, such as 192.0.2.0/24.", token.MaxNetworks)})
	}
	if spec.ExpiresOn, err = v.expiryOf(); err != nil {
		page.Broken = append(page.Broken, broken{"expires", "Choose when the token ends. A day of your own has the form YYYY-MM-DD."})
	}
	if len(page.Broken) > 0 {
		return v.render(http.StatusUnprocessableEntity, "admin_impersonate", impersonateTitle, page)
	}
	issued := lifecycle.Issued{}
	if err = s.parts.Throttles.Create(v.by.Account.ID, v.now); err == nil {
		issued, err = s.parts.Issuer.CreateImpersonation(v.ctx, v.by, acct.ID, spec)
	}
	for _, refusal := range []struct {
		err  error
		text string
	}{
		{lifecycle.ErrImpersonationOff, "Impersonation is switched off in the settings. Nothing was made."},
		{lifecycle.ErrForBot, "A bot has exactly one token. Nothing was made."},
		{account.ErrInactive, "The account is not active. Nothing was made."},
	} {
		if errors.Is(err, refusal.err) {
			v.err = err
			return v.render(refusalOf(err).status, "admin_impersonate", impersonateTitle, again(nil, refusal.text))
		}
	}
	if err != nil {
		return v.formAgain(err, "admin_impersonate", impersonateTitle, again)
	}
	s.parts.Log.Info("token issued", "request_id", v.request.ID, "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner), "scopes", issued.Token.Scopes.String(), "issued_by", int64(v.by.Account.ID))
	s.parts.Count("TokensIssued", "")
	return owner{place: page.place, v: v}.handOver(issued)
}

// An adminCreatedPage shows a new bearer, once.
type adminCreatedPage struct {
	ownedRow
	Bearer string
}

// adminCreated shows the value of a new impersonation token once. Later it goes to the token's page.
func (s *Site) adminCreated(v *visit) error {
	acct, err := account.ParseID(v.path("user"))
	if err != nil {
		return err
	}
	id, err := token.ParseID(v.path("id"))
	if err != nil {
		return err
	}
	view, err := s.parts.Lister.GetImpersonation(v.ctx, v.by, acct, id)
	if err != nil {
		return err
	}
	bearer := v.takeOver(id)
	if bearer == "" {
		return v.redirect(adminTokensPath + "/" + id.String())
	}
	rows, err := s.owned(v, []lifecycle.View{view})
	if err != nil { // the value has left the cookie, so it must be shown now
		v.err = err
	}
	return v.render(http.StatusOK, "admin_created", "Copy the new token", adminCreatedPage{rows[0], bearer})
}
