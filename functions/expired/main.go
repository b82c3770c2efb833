// Command expired tells owners, at 02:00 UTC, which of their tokens have expired or were revoked.
package main

import "latchkey/pkg/compose/scans"

func main() { scans.Expired() }
