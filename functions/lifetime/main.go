// Command lifetime ends, three hours after the limit was changed, tokens that
// live longer than administrators allow, and tells their owners.
package main

import "latchkey/pkg/compose/scans"

func main() { scans.Lifetime() }
