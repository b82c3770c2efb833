// Command bounces marks the accounts whose mails come back. It receives the mail service's events.
package main

import "latchkey/pkg/compose/bounces"

func main() { bounces.Main() }
