package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// An owner is whose tokens a page is about: who is signed in, or a project or group in which they may
// manage tokens. The pages are the same; an owner asks the use cases, which have the rules.
type owner struct {
	place
	v *visit
	// ref is the id of the project, as in the path.
	ref string
	// access is the person's access to the project.
	access principal.Access
}

// A place is what templates say about an owner.
type place struct {
	// Path is the list of tokens, with the base path. The pages about them lie below it.
	Path string
	// Kind is "" for one's own tokens. The others are set for a project or group.
	Kind     project.Kind
	FullPath string
	// Title is the name that somebody chose.
	Title string
	// Around is the path of the project, with the base path, below which its pages lie.
	Around string
	// Closed says that new tokens are switched off.
	Closed bool
}

// Heading is the title of the list.
func (p place) Heading() string {
	if p.Kind == "" {
		return "Access tokens"
	}
	return "Tokens of " + p.FullPath
}

// tokenRoutesOf are the pages about the tokens of a kind of owner, below the list at path.
func (s *Site) tokenRoutesOf(kind project.Kind, path string) []route {
	get := func(path string, h handler) route {
		return route{method: http.MethodGet, path: path, handle: h, kind: kind}
	}
	post := func(path string, h handler) route {
		return route{method: http.MethodPost, path: path, handle: h, kind: kind}
	}
	create := post(path, s.create)
	create.again = func(v *visit) string { return v.r.URL.Path + "?" + v.linkTo(v.r.PostForm).Encode() }
	one := path + "/{id}"
	return []route{
		get(path, s.list),
		get(path+"/new", s.newToken),
		create,
		get(one, s.show),
		get(one+"/created", s.created),
		get(one+"/duplicate", s.duplicate),
		get(one+"/rotate", s.askRotate),
		post(one+"/rotate", s.rotate),
		get(one+"/revoke", s.askRevoke),
		post(one+"/revoke", s.revoke),
	}
}

// ownerOf returns the owner that the path names. Errors are those of lifecycle.Issuer.Opening.
func (s *Site) ownerOf(v *visit) (owner, error) {
	kind := v.route.kind
	if kind == "" {
		return owner{place: place{Path: v.base + tokensPath}, v: v}, nil
	}
	id, err := project.ParseID(v.path("project"))
	if err != nil {
		return owner{}, err
	}
	o := owner{v: v, ref: id.String()}
	o.access, err = s.parts.Issuer.Opening(v.ctx, v.by, kind, o.ref)
	closed := errors.Is(err, fault.ErrSwitchedOff)
	if err != nil && !closed {
		return owner{}, err
	}
	view, err := s.parts.Finder.GetProject(v.ctx, v.by, kind, o.ref)
	if err != nil {
		return owner{}, err
	}
	around := v.base + projectPath(view.Project)
	o.place = place{Path: around + "/access_tokens", Kind: kind, FullPath: view.FullPath(), Title: view.Project.Name, Around: around, Closed: closed}
	return o, nil
}

// projectPath is where the pages of a project or group lie.
func projectPath(proj project.Project) string {
	return projectsPath[proj.Kind] + "/" + proj.ID.String()
}

// projectsPath is GitLab's, with ids for paths: the gateway cannot tell a path from a base path.
var projectsPath = map[project.Kind]string{project.KindProject: "/-/projects", project.KindGroup: "/-/groups"}

// find returns the owner and the token that the path names. A token of another owner is
// fault.ErrNotFound.
func (s *Site) find(v *visit) (owner, lifecycle.View, error) {
	o, err := s.ownerOf(v)
	if err != nil {
		return owner{}, lifecycle.View{}, err
	}
	id, err := token.ParseID(v.path("id"))
	if err != nil {
		return owner{}, lifecycle.View{}, err
	}
	if o.own() {
		view, err := s.parts.Lister.GetOwn(v.ctx, v.by, id)
		return o, view, err
	}
	view, err := s.parts.Lister.GetOfProject(v.ctx, v.by, o.Kind, o.ref, id)
	return o, view, err
}

// tokenKind is the kind of the owner's tokens.
func (o owner) tokenKind() token.Kind {
	if o.own() {
		return token.Personal
	}
	return token.KindIn(o.Kind)
}

func (o owner) own() bool { return o.Kind == "" }

// to redirects to a page below the list.
func (o owner) to(id token.ID, page string) error {
	return o.v.redirectTo(o.Path + "/" + id.String() + page)
}

func (o owner) list(s lifecycle.Selection) (lifecycle.Selected, error) {
	if o.own() {
		return o.v.site.parts.Lister.ListOwn(o.v.ctx, o.v.by, s)
	}
	return o.v.site.parts.Lister.SelectOfProject(o.v.ctx, o.v.by, o.Kind, o.ref, s)
}

func (o owner) chain(family token.ID) ([]lifecycle.View, error) {
	if o.own() {
		return o.v.site.parts.Lister.Chain(o.v.ctx, o.v.by, family)
	}
	return o.v.site.parts.Lister.ChainOfProject(o.v.ctx, o.v.by, o.Kind, o.ref, family)
}

func (o owner) events(q trail.Query) (trail.Page, error) {
	if o.own() {
		return o.v.site.parts.Trail.Own(o.v.ctx, o.v.by, q)
	}
	return o.v.site.parts.Trail.OfProject(o.v.ctx, o.v.by, o.Kind, o.ref, q)
}

func (o owner) create(spec lifecycle.ProjectSpec) (lifecycle.Issued, error) {
	if o.own() {
		return o.v.site.parts.Issuer.CreateForSelf(o.v.ctx, o.v.by, spec.Spec)
	}
	return o.v.site.parts.Issuer.CreateForProject(o.v.ctx, o.v.by, o.Kind, o.ref, spec)
}

func (o owner) rotate(id token.ID, r lifecycle.Rotation) (lifecycle.Issued, error) {
	if o.own() {
		return o.v.site.parts.Issuer.Rotate(o.v.ctx, o.v.by, id, r)
	}
	return o.v.site.parts.Issuer.RotateOfProject(o.v.ctx, o.v.by, o.Kind, o.ref, id, r)
}

func (o owner) revoke(id token.ID, reach lifecycle.Reach) error {
	ctx, cancel := o.v.early()
	defer cancel()
	var err error
	if o.own() {
		_, err = o.v.site.parts.Revoker.Revoke(ctx, o.v.by, id, reach)
	} else {
		_, err = o.v.site.parts.Revoker.RevokeOfProject(ctx, o.v.by, o.Kind, o.ref, id, reach)
	}
	return err
}

// username is the one for programs that want one beside the value. A project's token works with any.
func (o owner) username() string {
	if o.own() {
		return o.v.by.Account.Username
	}
	return o.access.Project.Path
}

// account is who the owner's new tokens act as: who is signed in, or a bot.
func (o owner) account() account.Account {
	if o.own() {
		return o.v.by.Account
	}
	return account.Account{Bot: true, State: account.Active}
}

// mayRotate reports whether a token can have a successor; see lifecycle.Issuer.Rotate and
// RotateOfProject.
func (o owner) mayRotate(view lifecycle.View) bool {
	return !view.Revoked && !view.Token.Superseded() && view.Token.Life == 0 && (o.own() || o.access.AtLeast(view.Token.Level))
}

// maker names who made a token, if its event is on the page.
func (o owner) maker(t token.Token, page trail.Page) string {
	switch {
	case t.CreatedBy == o.v.by.Account.ID:
		return "you"
	case t.CreatedBy == 0:
		return "an operator"
	case o.own():
		return "an administrator"
	}
	i := slices.IndexFunc(page.Events, func(e audit.Event) bool {
		done, known := e.Name.Deed()
		return known && e.Token == t.ID && (done == audit.Issued || done == audit.Rotated)
	})
	if i < 0 {
		return "somebody else"
	}
	return o.v.who(page.Events[i], page)
}

// levelChoices are the levels that a new token may have.
func (o owner) levelChoices(chosen project.Level) (list []levelChoice) {
	for _, level := range project.Levels {
		if !o.own() && o.access.AtLeast(level) {
			list = append(list, levelChoice{Level: level, Words: levelWords(level), Hint: levelHints[level], Checked: level == chosen, As: o.as(level)})
		}
	}
	return list
}

// as says as whom a token acts.
func (o owner) as(level project.Level) string {
	switch {
	case o.own():
		return "As @" + o.v.by.Account.Username
	case level == project.NoLevel:
		return "As a bot of " + o.FullPath
	default:
		return "As a bot of " + o.FullPath + " with the role " + levelWords(level)
	}
}

// A levelChoice is a level that a new token may have.
type levelChoice struct {
	Level       project.Level
	Words, Hint string
	// As is the start of the form's summary with this choice.
	As      string
	Checked bool
}

// levelWords are the levels as people read them.
func levelWords(level project.Level) string {
	switch level {
	case project.Guest:
		return "Guest"
	case project.Planner:
		return "Planner"
	case project.Reporter:
		return "Reporter"
	case project.Developer:
		return "Developer"
	case project.Maintainer:
		return "Maintainer"
	case project.Owner:
		return "Owner"
	default:
		return "No role"
	}
}

// levelHints say what a level is for. What it opens is up to the programs that ask Latchkey.
var levelHints = map[project.Level]string{
	project.Guest:      "sees the least",
	project.Planner:    "plans work",
	project.Reporter:   "reads everything",
	project.Developer:  "changes the content",
	project.Maintainer: "manages settings and project tokens",
	project.Owner:      "may do everything",
}

// levelOfForm reads the level that somebody chose, or returns project.NoLevel.
func levelOfForm(text string) project.Level {
	n, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(project.Levels, project.Level(n)) {
		return project.NoLevel
	}
	return project.Level(n)
}
