// Command directory serves accounts, projects, groups and members.
package main

import (
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/management"
)

func main() { compose.Main("directory", management.Directory) }
