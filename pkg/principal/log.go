package principal

import "latchkey/pkg/token"

// Behind returns the log attributes that name the administrator behind another account.
func Behind(caller Principal) (attrs []any) {
	if caller.By != nil {
		attrs = append(attrs, "sudo_by", int64(caller.By.ID))
	}
	if caller.Token.Kind == token.Impersonation {
		attrs = append(attrs, "impersonator_id", int64(caller.Token.CreatedBy))
	}
	return attrs
}
