// Command endings finishes what requests to revoke tokens began and did not finish: it ends what the
// tokens made. It starts every minute.
package main

import "latchkey/pkg/compose/endings"

func main() { endings.Main() }
