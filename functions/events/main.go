// Command events tells other systems what becomes of tokens and accounts. It receives the records of the table's
// stream.
package main

import "latchkey/pkg/compose/events"

func main() { events.Main() }
