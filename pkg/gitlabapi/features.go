package gitlabapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"latchkey/pkg/administration"
	"latchkey/pkg/feature"
	"latchkey/pkg/secret"
)

// flagJSON is a feature on the wire.
type flagJSON struct {
	Name       string          `json:"name"`
	State      string          `json:"state"`
	Gates      []gateJSON      `json:"gates"`
	Definition *definitionJSON `json:"definition"`
}

type gateJSON struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

type definitionJSON struct {
	Name            string  `json:"name"`
	IntroducedByURL *string `json:"introduced_by_url"`
	RolloutIssueURL *string `json:"rollout_issue_url"`
	Milestone       *string `json:"milestone"`
	LogStateChanges *bool   `json:"log_state_changes"`
	Type            string  `json:"type"`
	Group           *string `json:"group"`
	DefaultEnabled  bool    `json:"default_enabled"`
}

func definitionWire(d feature.Definition) definitionJSON {
	return definitionJSON{Name: d.Name, Type: "ops", DefaultEnabled: d.DefaultOn}
}

// flagWire shows for whom a feature is on. GitLab cannot switch a target off, so disabled_actors is
// our own name; clients ignore unknown gates.
func flagWire(f feature.Flag) flagJSON {
	wire := flagJSON{Name: f.Name, State: string(f.State()), Gates: []gateJSON{{"boolean", f.On}}}
	for _, gate := range []struct {
		key     string
		targets []feature.Target
	}{{"actors", f.Enabled}, {"disabled_actors", f.Disabled}} {
		if len(gate.targets) > 0 {
			wire.Gates = append(wire.Gates, gateJSON{gate.key, actors(gate.targets)})
		}
	}
	if f.Definition != nil {
		definition := definitionWire(*f.Definition)
		wire.Definition = &definition
	}
	return wire
}

// actors writes targets as GitLab does: Project:90.
func actors(targets []feature.Target) []string {
	names := make([]string, len(targets))
	for i, target := range targets {
		kind := map[feature.TargetKind]string{
			feature.ProjectOnly: "Project", feature.GroupOnly: "Group", feature.AccountOnly: "User",
		}[target.Kind]
		names[i] = fmt.Sprintf("%s:%d", kind, target.ID)
	}
	return names
}

func (api *settingsAPI) listFeatures(c *call) error {
	flags, err := api.features.Flags(c.ctx, c.by)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, each(flags, flagWire))
}

func (api *settingsAPI) listDefinitions(c *call) error {
	return c.json(http.StatusOK, each(feature.Definitions(), definitionWire))
}

func (api *settingsAPI) setFeature(c *call) error {
	on, percentage := c.featureValue()
	percentage = c.oneOf("key", "percentage_of_actors", "percentage_of_time") != "" || percentage
	unsupported := c.unsupportedTarget()
	names := administration.Names{
		Accounts: c.names("user"), Groups: c.names("group"),
		Namespaces: c.names("namespace"), Projects: c.names("project"),
	}
	c.exclusive("key", targetParameters...)
	c.emptyTarget()
	force := c.truth("force")
	if err := c.fault(); err != nil {
		return err
	}
	switch {
	case percentage:
		return errPercentage
	case unsupported != "":
		return errBadRequest(unsupported + " is not supported as a target, only user, group, namespace and project are")
	}
	name := c.path("name")
	flag, err := api.features.Set(c.ctx, c.by, name, on, names, force)
	if err != nil {
		return fmt.Errorf("set feature: %w", err)
	}
	targets := len(names.Accounts) + len(names.Groups) + len(names.Namespaces) + len(names.Projects)
	api.Log.Info("feature switched", c.facts("feature", loggedFeature(name), "on", on, "targets", targets,
		"switched_by", int64(c.by.Account.ID))...)
	return c.json(http.StatusCreated, flagWire(flag))
}

var errPercentage = errBadRequest("percentages are not supported, only true and false")

func (api *settingsAPI) clearFeature(c *call) error {
	name := c.path("name")
	if err := api.features.Clear(c.ctx, c.by, name); err != nil {
		return fmt.Errorf("clear feature: %w", err)
	}
	api.Log.Info("feature cleared", c.facts("feature", loggedFeature(name), "cleared_by", int64(c.by.Account.ID))...)
	return c.noContent()
}

// loggedFeature returns a defined feature's name. Other names are the client's
// words and may be a misplaced bearer.
func loggedFeature(name string) string {
	for _, definition := range feature.Definitions() {
		if definition.Name == name {
			return name
		}
	}
	return "undefined"
}

// targetParameters are all of GitLab's targets, in the order of GitLab's faults. Latchkey has only
// some.
var targetParameters = []string{
	"feature_group", "user", "group", "namespace", "project", "organization", "repository", "runner", "endpoint",
}

// unsupportedTarget returns the first given target that Latchkey does not have, or "".
func (b *binder) unsupportedTarget() string {
	for _, name := range targetParameters {
		switch name {
		case "user", "group", "namespace", "project":
		default:
			if b.text(name) != "" {
				return name
			}
		}
	}
	return ""
}

// clientTargets are the targets that the Go client sends always, most of them empty.
var clientTargets = []string{"feature_group", "user", "group", "namespace", "project", "repository"}

// emptyTarget rejects an empty target if nothing else is named: a script whose variable is unset must not
// switch for everybody.
func (b *binder) emptyTarget() {
	missing := func(name string) bool { return !b.params.given(name) }
	if len(b.faults) > 0 || slices.ContainsFunc(targetParameters, b.params.has) || !slices.ContainsFunc(clientTargets, missing) {
		return
	}
	if i := slices.IndexFunc(targetParameters, b.params.given); i >= 0 {
		b.reject(targetParameters[i], "is empty")
	}
}

// featureValue returns the value of a feature. A number is a percentage, except 0, which means off.
func (b *binder) featureValue() (on, percentage bool) {
	value, given := b.scalar("value")
	switch {
	case !b.params.has("value"):
		b.reject("value", "is missing")
	case !given: // scalar has reported why
	case value == "0":
	case strings.Trim(value, "0123456789.+-") == "":
		return false, true
	default:
		on = b.truth("value")
	}
	return on, false
}

// names splits a list at its commas. A list without a name is a fault, because a
// change without names is for everybody.
func (b *binder) names(name string) []string {
	text := b.text(name)
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			names = append(names, part)
		}
	}
	if len(names) == 0 && text != "" {
		b.reject(name, "is invalid")
	}
	return names
}

// exclusive rejects others that are given together with name. Empty ones count as
// absent, because the Go client sends every parameter.
func (b *binder) exclusive(name string, others ...string) {
	for _, other := range others {
		if b.params.has(name) && b.params.has(other) {
			b.reject(name+", "+other, "are mutually exclusive")
		}
	}
}

// noTarget repeats the name of a missing target only while it cannot be a
// misplaced bearer.
func noTarget(_ *call, err error) *reply {
	target, ok := errors.AsType[*administration.NoTarget](err)
	switch {
	case !ok:
		return nil
	case len(target.Name) >= secret.MinLength && !strings.Contains(target.Name, "/"):
		return badRequest("The target is not found!")
	default:
		return badRequest(target.Name + " is not found!")
	}
}
