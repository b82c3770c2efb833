package directory

import (
	"context"
	"errors"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
)

// A MailStore keeps what becomes of mails. Absence is fault.ErrNotFound.
type MailStore interface {
	Account(ctx context.Context, id account.ID) (account.Account, error)
	// MarkUnreachable writes the Unreachable and UnreachableAt of after. The error is fault.ErrMoved if the
	// account is marked, or has another address, or was said to be reachable, since it was read. A second
	// call is safe.
	MarkUnreachable(ctx context.Context, before, after account.Account, marked audit.Event) error
}

// Returns marks accounts whose mails came back. It is safe for concurrent use.
type Returns struct{ parts ReturnParts }

// ReturnParts hold the dependencies of Returns. All are required.
type ReturnParts struct {
	Store MailStore
	Clock clock.Clock
}

// NewReturns returns Returns, or an error that names a missing part.
func NewReturns(parts ReturnParts) (*Returns, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Returns{parts}, nil
}

// A Return is a mail that came back.
type Return struct {
	// Account is the account that the mail was for, and Address where it was sent. Both must agree: a
	// mail to an earlier address says nothing about the present one.
	Account account.ID
	Address string // never logged
	SentAt  time.Time
	Reason  account.Unreachable
	// RequestID is that of the invocation, for the audit event.
	RequestID string
}

// Mark marks the account as unreachable, and reports whether it did. It changes nothing for an account
// that is gone, has another address, is marked already, or was said to be reachable after the mail. So
// it may be called again, and in any order.
func (r *Returns) Mark(ctx context.Context, back Return) (marked bool, err error) {
	for range changeTries {
		var before account.Account
		before, err = r.parts.Store.Account(ctx, back.Account)
		if errors.Is(err, fault.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		after, changed := before.Returned(back.Address, back.SentAt, back.Reason)
		if !changed {
			return false, nil
		}
		event := audit.OfAccount(r.parts.Clock.Now(), audit.Origin{Source: audit.Mail, RequestID: back.RequestID}, audit.AccountUpdated, before)
		event.Change, event.To = "unreachable", string(after.Unreachable)
		if err = r.parts.Store.MarkUnreachable(ctx, before, after, event); !errors.Is(err, fault.ErrMoved) {
			return err == nil, err
		}
	}
	return false, err
}
