// Command leaks takes reports of leaked bearers, POST /api/v4/token_leaks. It revokes the tokens
// and tells their owners.
package main

import "latchkey/pkg/compose/leaks"

func main() { leaks.Main() }
