// Command expired tells owners, at 02:00 UTC, which of their tokens have ended.
package main

import "latchkey/pkg/compose/scans"

func main() { scans.Expired() }
