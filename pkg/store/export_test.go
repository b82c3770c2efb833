package store

import "time"

// WriteAt makes t write at an instant, for the ids of events.
func WriteAt(t *Table, instant time.Time) { t.instant = func() time.Time { return instant } }
