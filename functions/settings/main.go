// Command settings serves the settings, /api/v4/features, audit events, /api/v4/version and
// /api/v4/metadata. It also answers every path that no other function serves.
package main

import "latchkey/pkg/compose/settings"

func main() { settings.Main() }
