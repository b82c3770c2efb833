package audit

import (
	"fmt"

	"latchkey/pkg/token"
)

// kinds are the kinds of token in words.
var kinds = map[token.Kind]string{
	token.Personal:      "personal access token",
	token.Impersonation: "impersonation token",
	token.Project:       "project access token",
	token.Group:         "group access token",
}

// Text says in a sentence what happened, the first of them in GitLab's words.
// It names things by their ids alone.
func (e Event) Text() string {
	for kind, names := range tokenNames {
		what := kinds[kind]
		switch e.Name {
		case names[Revoked]:
			return fmt.Sprintf("Revoked %s with id %s", what, e.Token) + e.because()
		case names[Issued]:
			return fmt.Sprintf("Created %s with id %s", what, e.Token)
		case names[Rotated]:
			return fmt.Sprintf("Rotated %s with id %s, whose successor has id %s", what, e.Previous, e.Token)
		case names[Reused]:
			return fmt.Sprintf("%s with id %s was presented for rotation after it had ended", capital(what), e.Token)
		case names[Refused]:
			return fmt.Sprintf("Attempted to create %s without the right to", what)
		case names[Strayed]:
			return fmt.Sprintf("Refused %s with id %s, which may not be used from this address", what, e.Token)
		}
	}
	about := fmt.Sprintf("with id %d", e.Entity.ID)
	switch e.Name {
	case TokensRevoked:
		return "Revoked every token of user " + about
	case AccountCreated:
		return "Created user " + about
	case AccountUpdated:
		return fmt.Sprintf("Changed %s of user %s", e.Change, about)
	case AccountDeleted:
		return "Deleted user " + about
	case AccountBlocked:
		return "Blocked user " + about
	case AccountUnblocked:
		return "Unblocked user " + about
	case AccountDeactivated:
		return "Deactivated user " + about
	case AccountActivated:
		return "Activated user " + about
	case ProjectCreated:
		return "Created project " + about
	case GroupCreated:
		return "Created group " + about
	case MemberAdded, MemberUpdated, MemberRemoved:
		verb := map[Name]string{MemberAdded: "Added a member to", MemberUpdated: "Changed a member of", MemberRemoved: "Removed a member from"}[e.Name]
		return fmt.Sprintf("%s %s %s", verb, map[EntityType]string{Project: "project", Group: "group"}[e.Entity.Type], about)
	case SettingsUpdated:
		return "Changed setting " + e.Change
	case FeatureSet:
		return "Set feature flag " + e.Target
	case FeatureDeleted:
		return "Deleted feature flag " + e.Target
	case SudoUsed:
		return "Acted as user " + about + " by sudo"
	case SudoRefused:
		return "Attempted to act as another user by sudo"
	default:
		return string(e.Name)
	}
}

// because says why a token was revoked that nobody asked to.
func (e Event) because() string {
	switch e.Source {
	case Policy:
		return " by a policy on how long tokens and bots live"
	case Reuse:
		return " because one that it took the place of was used again"
	case Leak:
		return " because its value was reported as leaked"
	default:
		return ""
	}
}

func capital(s string) string { return string(s[0]-'a'+'A') + s[1:] }
