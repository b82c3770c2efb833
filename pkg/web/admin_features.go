package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/administration"
	"latchkey/pkg/fault"
	"latchkey/pkg/feature"
)

// A featuresPage lists the features, and has the form that switches them.
type featuresPage struct {
	Path    string
	Flags   []flagRow
	Form    featureForm
	Broken  []broken
	Refused string
}

// Of returns what is wrong with a field, or "".
func (p featuresPage) Of(field string) string { return textOf(p.Broken, field) }

// A flagRow is a feature in the list.
type flagRow struct {
	Name              string
	State             state
	Everybody         string // "on" or "off"
	Enabled, Disabled []string
	Known, Switched   bool // has a definition, has switches
	Default           string
}

// A featureForm is what the form holds.
type featureForm struct {
	Name                                string
	On, Some, Force                     bool
	Users, Groups, Namespaces, Projects string
}

var flagStates = map[feature.State]state{
	feature.On: {Mark: "good", Words: "On"}, feature.Off: {Mark: "over", Words: "Off"}, feature.Conditional: {Mark: "soon", Words: "On for some"},
}

func onOff(is bool) string {
	if is {
		return "on"
	}
	return "off"
}

func (s *Site) adminFeatures(v *visit) error {
	return s.featuresForm(v, http.StatusOK, featuresPage{Form: featureForm{On: true}})
}

func (s *Site) featuresForm(v *visit, status int, page featuresPage) error {
	flags, err := s.parts.Features.Flags(v.ctx, v.by)
	if err != nil {
		return err
	}
	switched := map[string]bool{}
	for _, flag := range flags {
		switched[flag.Name] = true
	}
	for _, d := range feature.Definitions() {
		if !switched[d.Name] {
			flags = append(flags, feature.FlagOf(d.Name, nil))
		}
	}
	const most = 200
	for _, flag := range flags[:min(most, len(flags))] {
		row := flagRow{
			Name: flag.Name, State: flagStates[flag.State()], Everybody: onOff(flag.On), Known: flag.Definition != nil, Switched: switched[flag.Name],
			Enabled: targetWords(flag.Enabled), Disabled: targetWords(flag.Disabled),
		}
		if flag.Definition != nil {
			row.Default = onOff(flag.Definition.DefaultOn)
		}
		page.Flags = append(page.Flags, row)
	}
	if page.Form.Name == "" && page.Form.On && len(page.Broken) == 0 {
		page.Form.Name = feature.Definitions()[0].Name
	}
	page.Path = v.base + adminFeaturesPath
	return v.render(status, "admin_features", "Features", page)
}

// targetWords names targets by kind and id, and counts those beyond the first twenty.
func targetWords(targets []feature.Target) (words []string) {
	const most = 20
	for _, target := range targets[:min(most, len(targets))] {
		words = append(words, fmt.Sprintf("%s %d", target.Kind, target.ID))
	}
	if more := len(targets) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return words
}

// adminSetFeature switches a feature on or off, for everybody or for the named targets.
func (s *Site) adminSetFeature(v *visit) error {
	given := v.r.PostForm
	form := featureForm{
		Name: strings.TrimSpace(given.Get("name")), On: given.Get("value") == "true", Some: given.Get("for") == "some", Force: given.Get("force") == "true",
		Users: given.Get("user"), Groups: given.Get("group"), Namespaces: given.Get("namespace"), Projects: given.Get("project"),
	}
	page := featuresPage{Form: form}
	names := administration.Names{Accounts: splitList(form.Users), Groups: splitList(form.Groups), Namespaces: splitList(form.Namespaces), Projects: splitList(form.Projects)}
	named := len(names.Accounts)+len(names.Groups)+len(names.Namespaces)+len(names.Projects) > 0
	switch {
	case given.Get("value") != "true" && given.Get("value") != "false":
		page.Broken = append(page.Broken, broken{"value", "Choose on or off."})
	case given.Get("for") != "everybody" && !form.Some:
		page.Broken = append(page.Broken, broken{"for", "Choose for whom."})
	case form.Some && !named: // without names it would be for everybody
		page.Broken = append(page.Broken, broken{"user", "Name at least one user, group, namespace or project."})
	case !form.Some && named:
		page.Broken = append(page.Broken, broken{"for", "You chose everybody, and named some. Choose one of the two."})
	}
	if len(page.Broken) > 0 {
		return s.featuresForm(v, http.StatusUnprocessableEntity, page)
	}
	_, err := s.parts.Features.Set(v.ctx, v.by, form.Name, form.On, names, form.Force)
	missing, isMissing := errors.AsType[*administration.NoTarget](err)
	switch {
	case errors.Is(err, administration.ErrFeatureName):
		page.Broken = []broken{{"name", "A name may have up to 255 letters, digits, _ and -."}}
	case errors.Is(err, administration.ErrUndefined):
		page.Broken = []broken{{"name", "Nothing uses a feature of this name. Tick the box below to store it all the same."}}
	case errors.Is(err, administration.ErrTooManyTargets):
		page.Broken = []broken{{"user", fmt.Sprintf("You may name %d at most in one go.", administration.MaxTargets)}}
	case isMissing:
		page.Broken = []broken{{"user", shown(missing.Name) + " is not there."}}
	case fault.KindOf(err) == fault.Conflict, fault.KindOf(err) == fault.Unavailable:
		v.err = err
		page.Refused = refusalOf(err).Title + ". " + refusalOf(err).Text
		return s.featuresForm(v, refusalOf(err).status, page)
	case err != nil:
		return err
	}
	if len(page.Broken) > 0 {
		v.err = err
		return s.featuresForm(v, http.StatusUnprocessableEntity, page)
	}
	s.parts.Log.Info("feature switched", "request_id", v.request.ID, "on", form.On, "switched_by", int64(v.by.Account.ID))
	return v.redirect(adminFeaturesPath)
}

// adminClearFeature removes all switches of a feature, so that its default applies again.
func (s *Site) adminClearFeature(v *visit) error {
	if err := s.parts.Features.Clear(v.ctx, v.by, v.r.PostForm.Get("name")); err != nil {
		return err
	}
	s.parts.Log.Info("feature cleared", "request_id", v.request.ID, "cleared_by", int64(v.by.Account.ID))
	return v.redirect(adminFeaturesPath)
}
