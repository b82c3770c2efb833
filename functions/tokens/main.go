// Command tokens lists tokens and shows single ones: GET /api/v4/personal_access_tokens
// and its siblings.
package main

import (
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
)

func main() { compose.Main("tokens", management.Tokens) }
