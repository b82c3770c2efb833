package gitlabapi_test

import (
	"errors"
	"fmt"
	"testing"

	"latchkey/pkg/fault"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/settings"
)

// The official clients show these words to people, and some programs look for them.
func TestWordsOfBrokenRules(t *testing.T) {
	unfit := func(broken ...fault.Breach) error {
		return fmt.Errorf("%w: %w", lifecycle.ErrUnfit, fault.Breaches(broken))
	}
	blank, long := fault.Breach{Field: "name", Rule: fault.Blank}, fault.Breach{Field: "description", Rule: fault.TooLong, Limit: 255}
	sudo := fault.Breach{Field: "scopes", Rule: fault.AdminsOnly, Limit: "sudo"}
	for want, err := range map[string]error{
		"Name can't be blank": unfit(blank),
		"Name can't be blank and Description is too long (maximum is 255 characters)":                                               unfit(blank, long),
		"Name can't be blank, Description is too long (maximum is 255 characters), and Sudo can only be enabled for administrators": unfit(blank, long, sudo),
		"Expiration date must be before 2027-03-04":                                                                                 unfit(fault.Breach{Field: "expires_on", Rule: fault.TooLate, Limit: "2027-03-04"}),
		"Token already revoked":                                                  fmt.Errorf("rotate: %w", lifecycle.ErrAlreadyRevoked),
		"invalid access_level, expires_at, user":                                 fault.Breaches{{Field: "level"}, {Field: "expires_on"}, {Field: "account"}, {Field: "level"}},
		"invalid last_used_interval_seconds, max_personal_access_token_lifetime": fault.Breaches{{Field: settings.Lifetime}, {Field: settings.LastUsedInterval}},
		"input invalid: something else":                                          fmt.Errorf("%w: something else", fault.ErrInput),
	} {
		got := gitlabapi.Explained(err)
		if got.Error() != want || !errors.Is(got, fault.ErrInput) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
