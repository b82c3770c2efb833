package verify

import (
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// refusalCodes are the codes of refusals. The first error that matches decides.
var refusalCodes = [...]struct {
	err  error
	code string
}{
	{token.ErrMissing, "missing"}, {token.ErrExpired, "expired"}, {token.ErrRevoked, "revoked"},
	{token.ErrAddress, "address"}, {token.ErrInvalid, "unknown"}, {account.ErrInactive, "owner"},
	{scope.ErrInsufficient, "scope"}, {scope.ErrAmbiguousPath, "path"}, {fault.ErrInput, "input"},
}

// RefusalCode returns the code under which refused bearers are counted.
func RefusalCode(err error) string {
	for i := range refusalCodes {
		if errors.Is(err, refusalCodes[i].err) {
			return refusalCodes[i].code
		}
	}
	return "undecided"
}
