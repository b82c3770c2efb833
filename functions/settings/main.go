// Command settings changes how the service works and describes it: the settings,
// /api/v4/features, /api/v4/version and /api/v4/metadata, and every path that no
// other function serves.
package main

import "latchkey/pkg/compose/settings"

func main() { settings.Main() }
