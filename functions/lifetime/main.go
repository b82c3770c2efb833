// Command lifetime revokes tokens that live longer than administrators allow, three hours after the
// limit was lowered, and tells their owners.
package main

import "latchkey/pkg/compose/scans"

func main() { scans.Lifetime() }
