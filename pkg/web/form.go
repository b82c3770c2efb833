package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// scopesField is the name of the checkboxes. HTML checkers take brackets for a list.
const scopesField = "scopes[]"

// A tokenForm is the form for a new token.
type tokenForm struct {
	place
	Name, Description, Networks string
	Expiry                      expiryField
	Groups                      []scopeGroup
	// Levels are the roles to choose from, for the token of a project.
	Levels []levelChoice
	// As says as whom the token acts, if no level says it.
	As string
	// Linked says that a link or another token filled the form in.
	Linked string
	// Ignored names what of the link was not applied.
	Ignored []string
	Broken  []broken
	// Refused says why nothing was made although the form is right, or is "".
	Refused string
}

// Summary says what the token will be able to do, and until when. The script keeps it up to date.
func (f tokenForm) Summary() string {
	var names []string
	for _, g := range f.Groups {
		for _, c := range g.Scopes {
			if c.Checked {
				names = append(names, string(c.Name))
			}
		}
	}
	may := "what you tick above"
	if len(names) > 0 {
		may = strings.Join(names, ", ")
	}
	as := f.As
	for _, l := range f.Levels {
		if l.Checked {
			as = l.As
		}
	}
	return as + ", the token will be able to do this: " + may + ". It works " + f.Expiry.until() + "."
}

// until says until when a token with this choice works.
func (f expiryField) until() string {
	for _, p := range f.Presets {
		if p.Checked && p.Life > 0 {
			return "for " + p.Label
		}
		if p.Checked {
			return "until " + dayWords(p.Day)
		}
	}
	switch {
	case f.NeverChosen:
		return "until somebody revokes it"
	case f.Day != "":
		return "until " + f.Day + " at 00:00 UTC"
	default:
		return "until the day that you choose above"
	}
}

// Of returns what is wrong with a field, or "".
func (f tokenForm) Of(field string) string { return textOf(f.Broken, field) }

func textOf(list []broken, field string) string {
	for _, b := range list {
		if b.Field == field {
			return b.Text
		}
	}
	return ""
}

// A scopeGroup is a group of scopes with a heading.
type scopeGroup struct {
	Title  string
	Scopes []scopeChoice
}

type scopeChoice struct {
	scope.Definition
	Checked bool
}

// An expiryField lets people choose the day on which a token ends.
type expiryField struct {
	Presets []preset
	// OnDay says that a day of one's own is chosen, Day is that day, and the others its limits.
	OnDay               bool
	Day, Earliest, Last string
	// Never says whether a token may have no end, and NeverChosen whether that is chosen.
	Never, NeverChosen bool
}

// A preset is one choice of an expiry.
type preset struct {
	Value, Label string
	Day          clock.Day
	Checked      bool
	// Life is set instead of Day for a short life, which would end at Ends.
	Life time.Duration
	Ends time.Time
}

// At is the instant from which the token is expired.
func (p preset) At() time.Time {
	if p.Life > 0 {
		return p.Ends
	}
	return p.Day.Start()
}

// shortLives are the choices of a short life, for a token that is pasted somewhere once.
var shortLives = []struct {
	value, label string
	life         time.Duration
}{{"1h", "1 hour", time.Hour}, {"8h", "8 hours", 8 * time.Hour}}

// withShort returns the field with the short lives in front, one of them chosen if choice says so.
func (f expiryField) withShort(choice string, now time.Time) expiryField {
	var short []preset
	for _, s := range shortLives {
		short = append(short, preset{Value: s.value, Label: s.label, Life: s.life, Ends: now.Add(s.life).Truncate(time.Second)})
	}
	f.Presets = append(short, f.Presets...)
	if slices.ContainsFunc(short, func(p preset) bool { return p.Value == choice }) {
		f.NeverChosen = false
		for i := range f.Presets {
			f.Presets[i].Checked = f.Presets[i].Value == choice
		}
	}
	return f
}

// lifeOf returns the chosen short life of a form, or 0.
func (v *visit) lifeOf() time.Duration {
	for _, s := range shortLives {
		if v.r.PostForm.Get("expires") == s.value {
			return s.life
		}
	}
	return 0
}

// The values of the choices that are no number of days.
const (
	longest = "longest"
	onDay   = "day"
	noEnd   = "never"
)

// presetDays are the usual lifetimes, in days.
var presetDays = []int{7, 30, 90}

const usualDays = "30"

// mostDays is the longest lifetime that a number of days can say.
const mostDays = 100 * 365

// expiryChoices returns the field with a choice. A choice that the settings do not allow is none.
func (v *visit) expiryChoices(choice, day string) expiryField {
	today := clock.DayOf(v.now)
	latest, limited := v.by.Settings.Latest(today)
	field := expiryField{Earliest: today.AddDays(1).String(), Never: !limited}
	days := slices.DeleteFunc(slices.Clone(presetDays), func(n int) bool { return limited && !latest.After(today.AddDays(n)) })
	if own, err := strconv.Atoi(choice); err == nil && own > 0 && own <= mostDays && !slices.Contains(days, own) && !today.AddDays(own).After(latest) {
		days = append(days, own)
		slices.Sort(days)
	}
	for _, n := range days {
		field.Presets = append(field.Presets, preset{Value: strconv.Itoa(n), Label: count(n, "day"), Day: today.AddDays(n)})
	}
	if limited {
		n := today.DaysUntil(latest)
		field.Last = latest.String()
		field.Presets = append(field.Presets, preset{Value: longest, Label: fmt.Sprintf("%s, the longest allowed", count(n, "day")), Day: latest})
	}
	field.Day = day
	switch {
	case choice == onDay:
		field.OnDay = true
	case choice == noEnd && field.Never:
		field.NeverChosen = true
	default:
		_ = field.check(choice) || field.check(usualDays) || field.check(longest)
	}
	return field
}

func (f *expiryField) check(value string) bool {
	for i := range f.Presets {
		if f.Presets[i].Value == value {
			f.Presets[i].Checked = true
			return true
		}
	}
	return false
}

// expiryOf returns the chosen day of a form; no day is never, if that is allowed.
func (v *visit) expiryOf() (clock.Day, error) {
	today := clock.DayOf(v.now)
	switch choice := v.r.PostForm.Get("expires"); choice {
	case longest:
		latest, _ := v.by.Settings.Latest(today)
		return latest, nil
	case noEnd:
		return clock.Day{}, nil
	case onDay:
		return clock.ParseDay(v.r.PostForm.Get("expires_on"))
	default:
		n, err := strconv.Atoi(choice)
		if err != nil || n < 1 || n > mostDays {
			return clock.Day{}, fmt.Errorf("%w: expiry", fault.ErrInput)
		}
		return today.AddDays(n), nil
	}
}

// scopeGroups are the scopes that an account's tokens may have, in the groups of the catalog.
func (s *Site) scopeGroups(of account.Account, chosen scope.Set) (groups []scopeGroup) {
	for _, d := range s.parts.Issuer.Scopes().Scopes {
		if !s.mayHave(of, d.Name) {
			continue
		}
		title := d.Group
		if title == "" {
			title = "Other"
		}
		i := slices.IndexFunc(groups, func(g scopeGroup) bool { return g.Title == title })
		if i < 0 {
			i = len(groups)
			groups = append(groups, scopeGroup{Title: title})
		}
		groups[i].Scopes = append(groups[i].Scopes, scopeChoice{d, chosen.Has(d.Name)})
	}
	return groups
}

// mayHave reports whether an account's tokens may have a scope.
func (s *Site) mayHave(acct account.Account, name scope.Scope) bool {
	return len(s.parts.Issuer.Scopes().Held(scope.Set{name}, scope.Owner{Admin: acct.Admin, Bot: acct.Bot})) == 1
}

// The parameters of a link that fills the form in. The first three are GitLab's.
var linkParameters = []string{"name", "description", "scopes", "expires_in_days", "allowed_cidrs"}

// levelField is the role of a project's token, in forms and links. It is the API's.
const levelField = "access_level"

func prefills(query url.Values) bool {
	return query.Has(levelField) || slices.ContainsFunc(linkParameters, query.Has)
}

// newToken shows the form, filled in by a link if it has parameters. Nothing is made before somebody
// presses the button.
func (s *Site) newToken(v *visit) error {
	o, err := s.ownerOf(v)
	if err != nil {
		return err
	}
	query := v.r.URL.Query()
	form := tokenForm{place: o.place, Name: query.Get("name"), Description: query.Get("description"), As: o.as(project.NoLevel)}
	if prefills(query) {
		form.Linked = "A link filled this form in. Check every value before you create the token."
	}
	ignore := func(what, value string) { form.Ignored = append(form.Ignored, what+" "+shown(value)) }
	for name := range query {
		if !slices.Contains(linkParameters, name) && (o.own() || name != levelField) {
			ignore("the parameter", name)
		}
	}
	slices.Sort(form.Ignored)
	level := levelOfForm(query.Get(levelField))
	form.Levels = o.levelChoices(level)
	if !o.own() && query.Has(levelField) && !slices.ContainsFunc(form.Levels, func(l levelChoice) bool { return l.Checked }) {
		ignore("the role", query.Get(levelField))
	}
	var chosen scope.Set
	for name := range strings.SplitSeq(query.Get("scopes"), ",") {
		switch name := scope.Scope(strings.TrimSpace(name)); {
		case name == "" || chosen.Has(name):
		case s.mayHave(o.account(), name):
			chosen = append(chosen, name)
		default:
			ignore("the scope", string(name))
		}
	}
	days := query.Get("expires_in_days")
	form.Expiry = v.expiryChoices(days, "").withShort("", v.now)
	if days != "" && !slices.ContainsFunc(form.Expiry.Presets, func(p preset) bool { return p.Value == days && p.Checked }) {
		ignore("the lifetime in days", days)
	}
	if networks, err := token.ParseNetworks(splitList(query.Get("allowed_cidrs"))); err != nil {
		ignore("the networks", query.Get("allowed_cidrs"))
	} else {
		form.Networks = strings.Join(networks.Texts(), "\n")
	}
	const most = 20
	if n := len(form.Ignored); n > most {
		form.Ignored = append(form.Ignored[:most], count(n-most, "further value"))
	}
	form.Groups = s.scopeGroups(o.account(), chosen)
	return v.render(http.StatusOK, "new", "New access token", form)
}

// duplicate shows the form with the values of a token that exists.
func (s *Site) duplicate(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	t := view.Token
	form := tokenForm{
		place: o.place, Name: t.Name, Description: t.Description, Networks: strings.Join(t.Networks.Texts(), "\n"), As: o.as(project.NoLevel),
		Linked: "This is a copy of the token " + shown(t.Name) + ". The new one gets a value of its own, and the old one goes on working.",
		Groups: s.scopeGroups(o.account(), t.Scopes), Levels: o.levelChoices(t.Level),
	}
	lifetime := ""
	if !t.ExpiresOn.IsZero() {
		lifetime = strconv.Itoa(clock.DayOf(t.CreatedAt).DaysUntil(t.ExpiresOn))
	}
	form.Expiry = v.expiryChoices(lifetime, "").withShort("", v.now)
	for _, name := range t.Scopes {
		if !s.mayHave(o.account(), name) {
			form.Ignored = append(form.Ignored, "the scope "+shown(string(name)))
		}
	}
	if !o.own() && !o.access.AtLeast(t.Level) {
		form.Ignored = append(form.Ignored, "the role "+levelWords(t.Level)+", which is above yours")
	}
	return v.render(http.StatusOK, "new", "New access token", form)
}

// chosenScopes are the scopes that a form ticks, each once.
func chosenScopes(form url.Values) (chosen scope.Set) {
	for _, name := range form[scopesField] {
		if !chosen.Has(scope.Scope(name)) {
			chosen = append(chosen, scope.Scope(name))
		}
	}
	return chosen
}

// create makes a token and hands its value over to the page that shows it once.
func (s *Site) create(v *visit) error {
	o, err := s.ownerOf(v)
	if err != nil {
		return err
	}
	given := v.r.PostForm
	form := tokenForm{
		place: o.place, Name: given.Get("name"), Description: given.Get("description"), Networks: given.Get("networks"), As: o.as(project.NoLevel),
		Expiry: v.expiryChoices(given.Get("expires"), given.Get("expires_on")).withShort(given.Get("expires"), v.now),
	}
	spec := lifecycle.ProjectSpec{Level: levelOfForm(given.Get(levelField))}
	spec.Name, spec.Description = strings.TrimSpace(form.Name), strings.TrimSpace(form.Description)
	spec.Scopes = chosenScopes(given)
	form.Groups, form.Levels = s.scopeGroups(o.account(), spec.Scopes), o.levelChoices(spec.Level)
	if !o.own() && spec.Level == project.NoLevel {
		form.Broken = append(form.Broken, broken{levelField, "Choose the role of the token."})
	}
	if spec.Networks, err = token.ParseNetworks(splitList(form.Networks)); err != nil {
		if typo, some := errors.AsType[*token.HostBits](err); some {
			form.Broken = append(form.Broken, broken{"networks", fmt.Sprintf("A block has bits behind its length. Did you mean %s?", typo.Meant)})
		} else {
			form.Broken = append(form.Broken, broken{"networks", fmt.Sprintf("The networks must be up to %d IPv4 or IPv6 addresses or blocks, such as 192.0.2.0/24.", token.MaxNetworks)})
		}
	}
	if spec.Life = v.lifeOf(); spec.Life == 0 {
		if spec.ExpiresOn, err = v.expiryOf(); err != nil {
			form.Broken = append(form.Broken, broken{"expires", "Choose when the token ends. A day of your own has the form YYYY-MM-DD."})
		}
	}
	if len(form.Broken) > 0 { // the other faults too, so that one look is enough
		err = s.parts.Issuer.Check(v.ctx, o.account(), lifecycle.Spec{Name: spec.Name, Description: spec.Description, Scopes: spec.Scopes})
		form.Broken = append(brokenOf(err), form.Broken...)
		return v.render(http.StatusUnprocessableEntity, "new", "New access token", form)
	}
	issued := lifecycle.Issued{}
	if err = s.parts.Throttles.Create(v.by.Account.ID, v.now); err == nil {
		issued, err = o.create(spec)
	}
	if errors.Is(err, fault.ErrSwitchedOff) {
		v.err, form.Closed = err, true
		return v.render(refusalOf(err).status, "new", "New access token", form)
	}
	if errors.Is(err, lifecycle.ErrOwnerLevel) {
		v.err, form.Broken = err, []broken{{levelField, "This role is above yours. Choose another one."}}
		return v.render(refusalOf(err).status, "new", "New access token", form)
	}
	if err != nil {
		return v.formAgain(err, "new", "New access token", func(list []broken, refused string) any {
			form.Broken, form.Refused = list, refused
			return form
		})
	}
	v.site.parts.Log.Info("token issued", "request_id", v.request.ID, "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner), "scopes", issued.Token.Scopes.String())
	v.site.parts.Count("TokensIssued", "")
	return o.handOver(issued)
}

// formAgain shows a form again after an error that its input, or trying again, can cure. Other errors
// get their page.
func (v *visit) formAgain(err error, name, title string, form func([]broken, string) any) error {
	v.err = err
	if list := brokenOf(err); len(list) > 0 {
		return v.render(http.StatusUnprocessableEntity, name, title, form(list, ""))
	}
	switch fault.KindOf(err) {
	case fault.Throttled, fault.Conflict, fault.Unavailable:
		page := refusalOf(err)
		v.wait(err)
		return v.render(page.status, name, title, form(nil, page.Title+". "+page.Text))
	}
	return err
}

// splitList splits a list at what people write between its entries: commas, spaces and lines.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}
