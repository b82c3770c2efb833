// Command revoke revokes tokens, and deletes projects and groups with theirs: DELETE /api/v4/personal_access_tokens/{id} and its siblings, and
// the console payloads that need no token.
package main

import (
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
)

func main() { compose.Main("revoke", management.Revoke) }
