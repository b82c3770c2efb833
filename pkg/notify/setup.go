package notify

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
)

// A setup remembers whether the account can send to anybody at all. If it cannot, SES rejects every
// mail with the same errors as for a bad address. Treating them as bad addresses would lose the
// day's notices.
type setup struct {
	mu       sync.Mutex
	examined bool
	good     bool
}

// ready reports whether a rejection is about the mail itself: the account is out of the sandbox,
// the sender is verified, and the configuration set exists. It asks SES once and remembers the
// answer. A failed question is asked again.
func (a *setup) ready(ctx context.Context, s *SES) (bool, error) {
	a.mu.Lock() // concurrent rejected Sends ask only once
	defer a.mu.Unlock()
	if a.examined {
		return a.good, nil
	}
	good, err := s.examine(ctx)
	if err != nil {
		return false, err
	}
	a.examined, a.good = true, good
	return good, nil
}

// reconsider forgets a bad answer and keeps a good one.
func (a *setup) reconsider() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.examined = a.good
}

func (s *SES) examine(ctx context.Context) (bool, error) {
	account, err := s.Client.GetAccount(ctx, &sesv2.GetAccountInput{})
	if err != nil {
		return false, translate(err)
	}
	if !account.ProductionAccessEnabled {
		return false, nil
	}
	set, verified, err := s.sender(ctx)
	if err != nil || !verified {
		return false, err
	}
	if s.ConfigurationSet != "" {
		set = s.ConfigurationSet
	}
	if set == "" {
		return true, nil
	}
	// SES may answer "bad request" for a deleted set (Developer Guide, "Assigning a default
	// configuration set").
	_, err = s.Client.GetConfigurationSet(ctx, &sesv2.GetConfigurationSetInput{ConfigurationSetName: &set})
	var missing *types.NotFoundException
	switch {
	case errors.As(err, &missing):
		return false, nil
	case err != nil:
		return false, translate(err)
	}
	return true, nil
}

// sender reports whether the sender is verified, and the first default configuration set of its
// identities, the address's before the domain's.
func (s *SES) sender(ctx context.Context) (set string, verified bool, err error) {
	for _, name := range identities(s.From) {
		identity, err := s.Client.GetEmailIdentity(ctx, &sesv2.GetEmailIdentityInput{EmailIdentity: &name})
		var missing *types.NotFoundException
		switch {
		case errors.As(err, &missing):
			continue
		case err != nil:
			return "", false, translate(err)
		}
		if set == "" {
			set = aws.ToString(identity.ConfigurationSetName)
		}
		if identity.VerifiedForSendingStatus {
			return set, true, nil
		}
	}
	return "", false, nil
}

// identities returns the identities whose verification lets from send: the address, its domain, and
// the domains above, because a verified domain covers its subdomains (SES Developer Guide,
// "Creating and verifying identities"). An invalid address has none.
func identities(from string) []string {
	parsed, err := mail.ParseAddress(from)
	if err != nil {
		return nil
	}
	names := []string{parsed.Address}
	domain := parsed.Address[strings.LastIndexByte(parsed.Address, '@')+1:]
	for strings.Contains(domain, ".") {
		names = append(names, domain)
		_, domain, _ = strings.Cut(domain, ".")
	}
	return names
}
