// Command directory keeps accounts: /api/v4/user and /api/v4/users.
package main

import (
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
)

func main() { compose.Main("directory", management.Directory) }
