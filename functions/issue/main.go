// Command issue makes tokens and rotates them: POST .../personal_access_tokens, POST
// .../rotate, and the console payloads that need no token.
package main

import (
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
)

func main() { compose.Main("issue", management.Issue) }
