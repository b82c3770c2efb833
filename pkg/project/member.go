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
	// ExpiresOn is the UTC day with whose first second the membership ends; no day is never.
	ExpiresOn clock.Day
	CreatedAt time.Time
	CreatedBy account.ID
}

// LevelAt returns the member's level at now, or NoLevel after the membership has ended.
func (m Member) LevelAt(now time.Time) Level {
	if !m.ExpiresOn.IsZero() && !now.Before(m.ExpiresOn.Start()) {
		return NoLevel
	}
	return m.Level
}

// A Standing is one account's memberships in a project and in the groups above it.
type Standing struct {
	Direct    Member // the zero Member without one
	Inherited []Member
}

// LevelAt returns the highest level of the memberships at now.
func (s Standing) LevelAt(now time.Time) Level {
	level := s.Direct.LevelAt(now)
	for _, m := range s.Inherited {
		level = max(level, m.LevelAt(now))
	}
	return level
}
