// Command leaks takes reports of bearers that were found where they should not be,
// POST /api/v4/token_leaks, ends them and tells their owners.
package main

import "latchkey/pkg/compose/leaks"

func main() { leaks.Main() }
