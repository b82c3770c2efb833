package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// A settingsPage is the form for the settings.
type settingsPage struct {
	Path     string
	Revision int64
	Fields   []settingField
	Broken   []broken
	// Refused says why nothing was saved although the form is right, or is "".
	Refused string
	// Saved says that the last form was.
	Saved bool
	// Run is the planned lifetime run, or a moment without an instant.
	Run moment
	// Confirm asks before a limit is changed, or is nil.
	Confirm *lifetimeChange
}

// Of returns what is wrong with a field, or "".
func (p settingsPage) Of(field string) string { return textOf(p.Broken, field) }

// A settingField is one setting of the form.
type settingField struct {
	Name, Label, Hint, Unit string
	Switch                  bool // else Value is a text or a number
	Number                  bool
	Least, Most             int
	Value                   string
	// Was is the value that the form showed at first, so that a form which was open while somebody else
	// changed another setting does not change that back.
	Was string
	// Now is the stored value if it differs from what the form showed, or "".
	Now string
}

// Checked reports whether a switch is on.
func (f settingField) Checked() bool { return f.Value == on }

// on is the value of a checkbox, and what it is otherwise.
const on, off = "true", ""

// A lifetimeChange says what a change of the limit on lifetimes will do.
type lifetimeChange struct {
	Days int // 0 for no limit
	// Run is when tokens are revoked, or a moment without an instant; Latest is the last day on which
	// a token may then end.
	Run    moment
	Latest clock.Day
	// Back is the limit that calls the run off, in days, or 0 for none.
	Back int
	// CallsOff says that a planned run is called off.
	CallsOff bool
	// Ignored says that expiry is not enforced, so that the run will do nothing.
	Ignored bool
	// Revokes says how many tokens the run would revoke if it started now, such as "3 tokens".
	Revokes string
	// Kinds are the numbers of each kind in words, of those that there are.
	Kinds []string
}

// settingFields are all settings, with their values as the form shows them.
func settingFields(s settings.Application) []settingField {
	number := func(n int) string { return strconv.Itoa(n) }
	seconds := func(d time.Duration) int { return int(d / time.Second) }
	is := func(set bool) string {
		if set {
			return on
		}
		return off
	}
	lifetime := ""
	if s.LifetimeDays > 0 {
		lifetime = number(s.LifetimeDays)
	}
	return []settingField{
		{Name: settings.Lifetime, Label: "Longest lifetime of a token", Unit: "days", Number: true, Least: 1, Most: settings.MaxLifetimeDays, Value: lifetime,
			Hint: "Empty is no limit. A lower limit also ends tokens that exist, three hours later. You see what it will do before it is saved."},
		{Name: settings.ExpiryRequired, Label: "New tokens must end", Switch: true, Value: is(!s.ExpiryOptional),
			Hint: "Without this, and without a limit, new tokens may work until somebody revokes them."},
		{Name: settings.ExpiryEnforced, Label: "Expired tokens are refused", Switch: true, Value: is(!s.ExpiryIgnored),
			Hint: "Without this, expired tokens go on working until somebody revokes them. Mails still go out. A change holds everywhere within 10 seconds."},
		{Name: settings.Impersonation, Label: "Impersonation tokens work", Switch: true, Value: is(!s.ImpersonationOff),
			Hint: "Without this, they are refused and no new ones are made. A change holds everywhere within 10 seconds."},
		{Name: settings.Prefix, Label: "Start of new personal tokens", Value: s.Prefix, Most: secret.MaxPrefixLength,
			Hint: fmt.Sprintf("Up to %d characters: letters, digits and _ + = / @ : . -. Secret scanners look for it. Tokens with earlier starts go on working.", secret.MaxPrefixLength)},
		{Name: settings.LastUsedInterval, Label: "How often a last use is written", Unit: "seconds", Number: true,
			Least: seconds(settings.MinLastUsedInterval), Most: seconds(settings.MaxLastUsedInterval), Value: number(seconds(s.LastUsedInterval)),
			Hint: "Shorter is more exact and costs more writes."},
		{Name: settings.Retention, Label: "How long ended tokens are kept", Unit: "days", Number: true, Least: 1, Most: settings.MaxRetentionDays, Value: number(s.RetentionDays),
			Hint: "Revoked tokens, and the bots of expired ones. It holds for tokens that end from now on."},
		{Name: settings.RotationWindow, Label: "How long a second rotation ends nothing", Unit: "seconds", Number: true, Most: seconds(settings.MaxRotationWindow),
			Value: number(seconds(s.RotationWindow)),
			Hint:  "Longer helps slow clients, and gives a thief who rotates a token that much time unnoticed."},
		{Name: settings.RotationOverlap, Label: "How long a rotated token still works", Unit: "seconds", Number: true, Most: seconds(settings.MaxRotationOverlap),
			Value: number(seconds(s.RotationOverlap)),
			Hint:  "For rotations at the API that do not say. Clients that cannot ask for an overlap need it, and a stolen token works that much longer."},
		{Name: settings.RotationLifetime, Label: "A rotated token keeps its lifetime", Switch: true, Value: is(s.RotationKeepsLife),
			Hint: "For rotations at the API that name no day: the new token lasts as many days as the old one was made for. Without this, it lasts a week."},
	}
}

func (s *Site) adminSettings(v *visit) error {
	stored, err := s.parts.Settings.Settings(v.ctx, v.by)
	if err != nil {
		return err
	}
	page := s.settingsForm(v, stored)
	page.Saved = v.r.URL.Query().Get("saved") == strconv.FormatInt(stored.Revision, 10)
	return v.render(http.StatusOK, "admin_settings", settingsTitle, page)
}

const settingsTitle = "Settings"

func (s *Site) settingsForm(v *visit, stored settings.Application) settingsPage {
	page := settingsPage{Path: v.base + adminSettingsPath, Revision: stored.Revision, Fields: settingFields(stored)}
	for i := range page.Fields {
		page.Fields[i].Was = page.Fields[i].Value
	}
	if stored.Run.At.After(v.now) {
		page.Run = until(stored.Run.At, v.now)
	}
	return page
}

// adminSaveSettings saves what the form has changed. It asks first if that changes the limit on
// lifetimes, and shows the form again if somebody else has changed the settings meanwhile.
func (s *Site) adminSaveSettings(v *visit) error {
	stored, err := s.parts.Settings.Settings(v.ctx, v.by)
	if err != nil {
		return err
	}
	given := v.r.PostForm
	page := s.settingsForm(v, stored)
	change := settings.Change{Revision: new(int64)}
	if *change.Revision, err = strconv.ParseInt(given.Get("revision"), 10, 64); err != nil {
		return errUnreadable
	}
	for i := range page.Fields {
		f := &page.Fields[i]
		value, was := strings.TrimSpace(given.Get(f.Name)), given.Get("was_"+f.Name)
		if value == was {
			continue // what the form does not change keeps what somebody else has made of it
		}
		if was != f.Value {
			f.Now = nowWords(*f)
		}
		if f.Value = value; !setField(&change, *f) {
			page.Broken = append(page.Broken, broken{f.Name, f.Label + ": this is no whole number."})
		}
	}
	again := func(status int) error { return v.render(status, "admin_settings", settingsTitle, page) }
	if len(page.Broken) > 0 {
		return again(http.StatusUnprocessableEntity)
	}
	effect, err := s.parts.Settings.Preview(v.ctx, v.by, change)
	after := effect.After
	limited := err == nil && effect.Before.LifetimeDays != after.LifetimeDays
	if limited && given.Get("confirmed") != strconv.Itoa(after.LifetimeDays) {
		page.Confirm = lifetimeChangeOf(effect, v.now)
		page.Fields = settingFieldsFor(page.Fields, given)
		return v.render(http.StatusOK, "admin_settings_confirm", "Change the longest lifetime?", page)
	}
	if err == nil {
		after, err = s.parts.Settings.Update(v.ctx, v.by, change)
	}
	switch {
	case errors.Is(err, administration.ErrChanged):
		v.err = err
		page.Refused = "Somebody else has changed the settings since you opened this page. Nothing was saved. " +
			"The form has your changes, and for everything else what holds now. Save again if that is right."
		return again(refusalOf(err).status)
	case len(brokenOf(err)) > 0:
		v.err = err
		page.Broken = settingsBroken(err, page.Fields)
		return again(http.StatusUnprocessableEntity)
	case fault.KindOf(err) == fault.Conflict, fault.KindOf(err) == fault.Unavailable:
		v.err = err
		page.Refused = refusalOf(err).Title + ". " + refusalOf(err).Text
		return again(refusalOf(err).status)
	case err != nil:
		return err
	}
	s.parts.Log.Info("settings changed", "request_id", v.request.ID, "revision", after.Revision, "changed_by", int64(v.by.Account.ID))
	return v.redirect(adminSettingsPath + "?saved=" + strconv.FormatInt(after.Revision, 10))
}

// settingFieldsFor keeps, for the form behind the question, what the first form held.
func settingFieldsFor(fields []settingField, given map[string][]string) []settingField {
	for i := range fields {
		fields[i].Was = strings.Join(given["was_"+fields[i].Name], "")
		fields[i].Value = strings.TrimSpace(strings.Join(given[fields[i].Name], ""))
	}
	return fields
}

// nowWords is the stored value of a setting in words.
func nowWords(f settingField) string {
	switch {
	case f.Switch && f.Value == on:
		return "on"
	case f.Switch:
		return "off"
	case f.Value == "":
		return "empty"
	case f.Number:
		return f.Value + " " + f.Unit
	default:
		return f.Value
	}
}

// setField adds the value of a field to a change. It reports false for what is no number.
func setField(c *settings.Change, f settingField) bool {
	set := f.Value == on
	n, err := strconv.Atoi(f.Value)
	length := time.Duration(n) * time.Second
	switch f.Name {
	case settings.Lifetime:
		if f.Value == "" {
			n, err = 0, nil
		} else if n == 0 {
			n = -1 // the API's 0 is no limit; whoever writes 0 into this form may mean the opposite
		}
		c.LifetimeDays = &n
	case settings.ExpiryRequired:
		c.ExpiryRequired, err = &set, nil
	case settings.ExpiryEnforced:
		c.ExpiryEnforced, err = &set, nil
	case settings.Impersonation:
		c.Impersonation, err = &set, nil
	case settings.Prefix:
		c.Prefix, err = &f.Value, nil
	case settings.LastUsedInterval:
		c.LastUsedInterval = &length
	case settings.Retention:
		c.RetentionDays = &n
	case settings.RotationWindow:
		c.RotationWindow = &length
	case settings.RotationOverlap:
		c.RotationOverlap = &length
	case settings.RotationLifetime:
		lifetime := settings.Week
		if set {
			lifetime = settings.Same
		}
		c.RotationLifetime, err = &lifetime, nil
	}
	return err == nil && n <= 1<<31-1 && n >= -1<<31
}

func lifetimeChangeOf(effect administration.Effect, now time.Time) *lifetimeChange {
	before, after := effect.Before, effect.After
	c := &lifetimeChange{Days: after.LifetimeDays, Back: after.Run.Before, CallsOff: before.Run.At.After(now), Ignored: after.ExpiryIgnored}
	if !after.Run.At.IsZero() {
		c.Run = until(after.Run.At, now)
		c.Latest, _ = after.Latest(clock.DayOf(after.Run.At))
	}
	switch total := effect.Total(); {
	case effect.More:
		c.Revokes = "at least " + count(total, "token")
	case total == 0:
		c.Revokes = "no token"
	default:
		c.Revokes = count(total, "token")
	}
	for _, kind := range []struct {
		kind  token.Kind
		words string
	}{{token.Personal, "personal"}, {token.Impersonation, "for impersonation"}, {token.Project, "of projects"}, {token.Group, "of groups"}} {
		if n := effect.Revokes[kind.kind]; n > 0 {
			c.Kinds = append(c.Kinds, fmt.Sprintf("%d %s", n, kind.words))
		}
	}
	return c
}

// settingsBroken words the rules that a change breaks, with the label of the field.
func settingsBroken(err error, fields []settingField) (list []broken) {
	breaches, _ := errors.AsType[fault.Breaches](err)
	for _, b := range breaches {
		label := ""
		for _, f := range fields {
			if f.Name == b.Field {
				label = f.Label + ": "
			}
		}
		limit, ranged := b.Limit.(fault.Range)
		switch {
		case ranged:
			list = append(list, broken{b.Field, fmt.Sprintf("%sit must be between %d and %d.", label, limit.Least, limit.Most)})
		case b.Rule == fault.StartOf:
			list = append(list, broken{b.Field, label + "it is the start of an earlier one, whose tokens would be refused."})
		case b.Rule == fault.TooMany:
			list = append(list, broken{b.Field, fmt.Sprintf("%sit was changed too often. %v starts are in use.", label, b.Limit)})
		default:
			list = append(list, broken{b.Field, fmt.Sprintf("%sit may have up to %d letters, digits and _ + = / @ : . -.", label, secret.MaxPrefixLength)})
		}
	}
	return list
}
