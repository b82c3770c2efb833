package project

import (
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
)

// A Member is an account's membership of one project.
type Member struct {
	Project ID
	Account account.ID
	Level   Level
	// ExpiresOn is the UTC day from whose first second it is over; no day is
	// never.
	ExpiresOn clock.Day
	CreatedAt time.Time
	CreatedBy account.ID
}

// LevelAt returns the member's level at now: none once the membership is over.
func (m Member) LevelAt(now time.Time) Level {
	if !m.ExpiresOn.IsZero() && !now.Before(m.ExpiresOn.Start()) {
		return NoLevel
	}
	return m.Level
}

// A Standing is one account's memberships of a project and of the groups
// above it.
type Standing struct {
	Direct    Member // the zero Member without one
	Inherited []Member
}

// LevelAt returns the highest level of a standing at now.
func (s Standing) LevelAt(now time.Time) Level {
	level := s.Direct.LevelAt(now)
	for _, m := range s.Inherited {
		level = max(level, m.LevelAt(now))
	}
	return level
}
