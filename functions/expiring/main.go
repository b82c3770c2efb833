// Command expiring tells owners, at 01:00 UTC, which of their tokens expire soon.
package main

import "latchkey/pkg/compose/scans"

func main() { scans.Expiring() }
