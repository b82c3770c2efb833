package stream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// decide returns what a write of a token record means to other systems; kind is "" for nothing. before is
// nil for a new record. A write of Latchkey never means two things.
func decide(before *token.Token, after token.Token) (kind Type, noticeDays int) {
	if before == nil {
		if after.Previous != 0 {
			return Rotated, 0
		}
		return Created, 0
	}
	if before.RevokedReason != after.RevokedReason {
		switch after.RevokedReason {
		case token.ReasonReuse:
			return Reused, 0
		case token.ReasonLeak:
			return Leaked, 0
		case token.ReasonExpired: // the bot of an expired token was removed, which nobody waits for
			return "", 0
		}
		return Revoked, 0
	}
	if !after.RevokedFrom().Equal(before.RevokedFrom()) { // an overlap begins, or ends early
		return Revoked, 0
	}
	for _, mark := range after.Notices {
		if slices.Contains(before.Notices, mark) {
			continue
		}
		if days, expiring := strings.CutPrefix(mark, string(sweep.Expiring)+"-"); expiring {
			n, err := strconv.Atoi(days)
			if err == nil {
				return Expiring, n
			}
		}
		switch mark {
		case string(sweep.Expired):
			return Expired, 0
		case token.MarkReported:
			return Leaked, 0
		}
	}
	return "", 0
}

// decideAccount returns what a write of a profile means to other systems; kind is "" for nothing. A new
// state comes first: whoever writes past Latchkey could change both, and the event has both. An unknown
// state is fault.ErrCorrupt.
func decideAccount(before, after account.Account) (kind Type, err error) {
	if before.State != after.State {
		switch after.State {
		case account.Blocked:
			return AccountBlocked, nil
		case account.Deactivated:
			return AccountDeactivated, nil
		case account.Active:
			if before.State == account.Blocked {
				return AccountUnblocked, nil
			}
			return AccountActivated, nil
		}
		return "", fmt.Errorf("%w: attribute state", fault.ErrCorrupt)
	}
	if before.TokensValidFrom != after.TokensValidFrom {
		return AccountRevoked, nil
	}
	return "", nil
}

// decideDeletion returns what the deletion of an account means. A bot goes with its newest token, which
// has an event of its own. Only a bot that had several can have an earlier one in its overlap, which ends
// without a change of its record.
func decideDeletion(deleted account.Account) Type {
	if deleted.Bot && deleted.NextNumber <= 2 {
		return ""
	}
	return AccountDeleted
}
