package gitlabapi

import (
	_ "embed"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/settings"
)

// applicationSettingsJSON holds the settings on the wire, under GitLab's names if GitLab has the
// setting.
type applicationSettingsJSON struct {
	ID                    int64   `json:"id"`
	Lifetime              *int    `json:"max_personal_access_token_lifetime"`
	LifetimeAppliesAt     *string `json:"max_personal_access_token_lifetime_applies_at"`
	ExpiryRequired        bool    `json:"require_personal_access_token_expiry"`
	ServiceExpiryRequired bool    `json:"service_access_tokens_expiration_enforced"`
	ExpiryEnforced        bool    `json:"enforce_pat_expiration"`
	Prefix                string  `json:"personal_access_token_prefix"`
	TokensDisabled        bool    `json:"disable_personal_access_tokens"`
	Impersonation         bool    `json:"impersonation_enabled"`
	LastUsedInterval      int     `json:"last_used_interval_seconds"`
	RetentionDays         int     `json:"inactive_resource_access_tokens_delete_after_days"`
	RotationWindow        int     `json:"rotation_window_seconds"`
	RotationOverlap       int     `json:"rotation_overlap_seconds"`
	RotationLifetime      string  `json:"rotation_lifetime"`
}

func applicationSettingsWire(s settings.Application, now time.Time) applicationSettingsJSON {
	wire := applicationSettingsJSON{
		ID:             1,
		ExpiryRequired: !s.ExpiryOptional, ServiceExpiryRequired: !s.ExpiryOptional,
		ExpiryEnforced: !s.ExpiryIgnored, Impersonation: !s.ImpersonationOff,
		Prefix: s.Prefix, LastUsedInterval: int(s.LastUsedInterval.Seconds()), RetentionDays: s.RetentionDays,
		RotationWindow: int(s.RotationWindow.Seconds()), RotationOverlap: int(s.RotationOverlap.Seconds()),
		RotationLifetime: s.LifetimeOfRotation(),
	}
	if s.LifetimeDays != 0 {
		wire.Lifetime = &s.LifetimeDays
	}
	if s.Run.At.After(now) {
		wire.LifetimeAppliesAt = optionalTimestamp(s.Run.At)
	}
	return wire
}

// settingNames are the parameters of a change, in the order of reported faults.
var settingNames = []string{
	"max_personal_access_token_lifetime", "require_personal_access_token_expiry", "enforce_pat_expiration",
	"personal_access_token_prefix", "impersonation_enabled", "last_used_interval_seconds",
	"inactive_resource_access_tokens_delete_after_days", "rotation_window_seconds", "rotation_overlap_seconds", "rotation_lifetime", "service_access_tokens_expiration_enforced", "disable_personal_access_tokens",
}

func (api *settingsAPI) applicationSettings(c *call) error {
	s, err := api.administration.Settings(c.ctx, c.by)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, applicationSettingsWire(s, c.now))
}

func (api *settingsAPI) updateApplicationSettings(c *call) error {
	change, err := c.settingsChange()
	if err != nil {
		return err
	}
	s, err := api.administration.Update(c.ctx, c.by, change)
	if err != nil {
		return err
	}
	api.Log.Info("settings changed", c.facts("revision", s.Revision)...)
	return c.json(http.StatusOK, applicationSettingsWire(s, c.now))
}

// gitlabSettings are the names of GitLab's settings, one in each line. Those that Latchkey does not have
// are ignored, because clients send all that they know.
//
//go:embed gitlab_settings.txt
var gitlabSettings string

// honest are settings of GitLab about accounts, tokens and groups that Latchkey does not have, with
// the only value that is true here. To accept another one would promise what nothing keeps.
var honest = map[string]string{
	"admin_mode": "false", "can_create_group": "true", "deactivate_dormant_users": "false", "deletion_adjourned_period": "0",
	"disable_feed_token": "false", "disable_personal_access_tokens": "false", "domain_allowlist": "", "domain_allowlist_raw": "", "domain_denylist": "", "domain_denylist_raw": "",
	"domain_denylist_enabled": "false", "email_restrictions": "", "email_restrictions_enabled": "false", "instance_token_prefix": "",
	"lock_memberships_to_ldap": "false", "lock_memberships_to_saml": "false", "require_admin_approval_after_user_signup": "false",
	"require_admin_two_factor_authentication": "false", "require_two_factor_authentication": "false", "session_expire_delay": "",
	"unique_ips_limit_enabled": "false", "user_default_external": "false",
}

// pretended returns the refusal of every parameter that is given with another value than the honest one,
// or nil.
func (b *binder) pretended(honest map[string]string) error {
	refused := map[string][]string{}
	for name, only := range honest {
		lie := false
		switch {
		case slices.ContainsFunc(b.params[name], isList):
			elements, _ := b.elements(name)
			lie = len(elements) > 0
		case only == "true" || only == "false":
			truth := b.boolean(name)
			lie = truth != nil && strconv.FormatBool(*truth) != only
		default:
			given := b.text(name)
			lie = given != "" && given != only
		}
		if lie {
			refused[name] = []string{"is not supported" + instead[name]}
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return &wireError{"settings that are not supported", message(http.StatusBadRequest, refused)}
}

// instead says what to do in place of what is not supported.
var instead = map[string]string{"disable_personal_access_tokens": ": block accounts instead"}

func (b *binder) settingsChange() (settings.Change, error) {
	if !slices.ContainsFunc(append(strings.Fields(gitlabSettings), settingNames...), b.params.given) {
		return settings.Change{}, paramError(strings.Join(settingNames, ", ") + " are missing, at least one parameter must be provided")
	}
	change := settings.Change{
		LifetimeDays:   b.days("max_personal_access_token_lifetime"),
		ExpiryRequired: b.boolean("require_personal_access_token_expiry"),
		ExpiryEnforced: b.boolean("enforce_pat_expiration"),
		Impersonation:  b.boolean("impersonation_enabled"),
		RetentionDays:  b.positive("inactive_resource_access_tokens_delete_after_days"),
	}
	if value, present := b.scalar("personal_access_token_prefix"); present {
		change.Prefix = &value
	}
	change.LastUsedInterval = b.seconds("last_used_interval_seconds")
	change.RotationWindow = b.seconds("rotation_window_seconds")
	change.RotationOverlap = b.seconds("rotation_overlap_seconds")
	if value, given := b.scalar("rotation_lifetime"); given && value != "" {
		change.RotationLifetime = &value
	}
	b.boolean("service_access_tokens_expiration_enforced") // there are no service accounts
	refused := b.pretended(honest)
	if err := b.fault(); err != nil {
		return settings.Change{}, err
	}
	return change, refused
}

// days returns an optional number of days. Null, 0 and an empty text all mean
// none, because the official Go client cannot send null.
func (b *binder) days(name string) *int {
	before := len(b.faults)
	n := b.positive(name)
	if n == nil && len(b.params[name]) > 0 && len(b.faults) == before {
		return new(int)
	}
	return n
}

// seconds returns an optional length of time.
func (b *binder) seconds(name string) *time.Duration {
	n := b.positive(name)
	if n == nil {
		return nil
	}
	length := time.Duration(*n) * time.Second
	return &length
}

// positive returns an optional whole number that fits an int on any machine. The
// use case checks its limits.
func (b *binder) positive(name string) *int {
	value, given := b.scalar(name)
	if !given || value == "" {
		return nil
	}
	const largest = 1<<31 - 1
	n := b.integer(name, 0)
	if n < 0 || n > largest {
		b.reject(name, "is invalid")
		n = 0
	}
	short := int(n)
	return &short
}
