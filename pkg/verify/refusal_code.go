package verify

import (
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// RefusalCode is the word that refused bearers are counted under.
func RefusalCode(err error) string {
	for _, row := range []struct {
		err  error
		code string
	}{
		{token.ErrMissing, "missing"}, {token.ErrExpired, "expired"}, {token.ErrRevoked, "revoked"},
		{token.ErrAddress, "address"}, {token.ErrInvalid, "unknown"}, {account.ErrInactive, "owner"},
		{scope.ErrInsufficient, "scope"}, {scope.ErrAmbiguousPath, "path"}, {fault.ErrInput, "input"},
	} {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return "undecided"
}
