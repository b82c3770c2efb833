package gitlabapi

import (
	"fmt"

	"latchkey/pkg/audit"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

// entityTypes are GitLab's types of entities on the wire.
var entityTypes = map[audit.EntityType]string{
	audit.Account: "User", audit.Project: "Project", audit.Group: "Group", audit.Instance: "Gitlab::Audit::InstanceScope",
}

// entityType returns the type for its name on the wire, or "".
func entityType(wire string) audit.EntityType {
	for kind, name := range entityTypes {
		if name == wire {
			return kind
		}
	}
	return ""
}

// wireNames are the names on the wire of fields and settings that have another name here. Most are
// GitLab's.
var wireNames = map[string]string{
	"expires_on": "expires_at", "level": "access_level", "account": "user", "parent": "parent_id",
	"group_creation":        "can_create_group",
	settings.Lifetime:       "max_personal_access_token_lifetime",
	settings.ExpiryRequired: "require_personal_access_token_expiry",
	settings.ExpiryEnforced: "enforce_pat_expiration",
	settings.Impersonation:  "impersonation_enabled",
	settings.Prefix:         "personal_access_token_prefix",
	settings.Retention:      "inactive_resource_access_tokens_delete_after_days",
}

// wireName returns the name of a field or setting on the wire. Older events already hold the wire's
// name.
func wireName(name string) string {
	if wire, other := wireNames[name]; other {
		return wire
	}
	return name
}

// tokenKinds are the kinds of token in words.
var tokenKinds = map[token.Kind]string{
	token.Personal:      "personal access token",
	token.Impersonation: "impersonation token",
	token.Project:       "project access token",
	token.Group:         "group access token",
}

// auditText describes an event in a sentence, in GitLab's words for the first ones. It names things
// only by their ids.
func auditText(e audit.Event) string {
	for kind, what := range tokenKinds {
		switch e.Name {
		case audit.NameOf(kind, audit.Revoked):
			return fmt.Sprintf("Revoked %s with id %s", what, e.Token) + because(e.Source)
		case audit.NameOf(kind, audit.Issued):
			return fmt.Sprintf("Created %s with id %s", what, e.Token)
		case audit.NameOf(kind, audit.Rotated):
			return fmt.Sprintf("Rotated %s with id %s, whose successor has id %s", what, e.Previous, e.Token)
		case audit.NameOf(kind, audit.Reused):
			return fmt.Sprintf("%s with id %s was presented for rotation after it had ended", capital(what), e.Token)
		case audit.NameOf(kind, audit.Refused):
			return fmt.Sprintf("Attempted to create %s without the right to", what)
		case audit.NameOf(kind, audit.Strayed):
			return fmt.Sprintf("Refused %s with id %s, which may not be used from this address", what, e.Token)
		case audit.NameOf(kind, audit.Reported):
			return fmt.Sprintf("%s with id %s was reported as leaked after its rotation", capital(what), e.Token)
		}
	}
	about := fmt.Sprintf("with id %d", e.Entity.ID)
	switch e.Name {
	case audit.TokensRevoked:
		return "Revoked every token of user " + about
	case audit.AccountCreated:
		return "Created user " + about
	case audit.AccountUpdated:
		return fmt.Sprintf("Changed %s of user %s", wireName(e.Change), about)
	case audit.AccountDeleted:
		return "Deleted user " + about
	case audit.AccountBlocked:
		return "Blocked user " + about
	case audit.AccountUnblocked:
		return "Unblocked user " + about
	case audit.AccountDeactivated:
		return "Deactivated user " + about
	case audit.AccountActivated:
		return "Activated user " + about
	case audit.ProjectCreated:
		return "Created project " + about
	case audit.GroupCreated:
		return "Created group " + about
	case audit.ProjectUpdated, audit.GroupUpdated:
		return fmt.Sprintf("Changed %s of %s %s", e.Change, e.Entity.Type, about)
	case audit.ProjectClosed, audit.GroupClosed:
		return fmt.Sprintf("Started to delete %s %s", e.Entity.Type, about)
	case audit.ProjectDeleted, audit.GroupDeleted:
		return fmt.Sprintf("Deleted %s %s", e.Entity.Type, about)
	case audit.MemberAdded:
		return fmt.Sprintf("Added a member to %s %s", e.Entity.Type, about)
	case audit.MemberUpdated:
		return fmt.Sprintf("Changed a member of %s %s", e.Entity.Type, about)
	case audit.MemberRemoved:
		return fmt.Sprintf("Removed a member from %s %s", e.Entity.Type, about)
	case audit.SettingsUpdated:
		return "Changed setting " + wireName(e.Change)
	case audit.FeatureSet:
		return "Set feature flag " + e.Target
	case audit.FeatureDeleted:
		return "Deleted feature flag " + e.Target
	case audit.SudoUsed:
		return "Acted as user " + about + " by sudo"
	case audit.SudoRefused:
		return "Attempted to act as another user by sudo"
	case audit.SignedIn:
		return "Signed in as user " + about
	case audit.SignInRefused:
		return "Refused to sign somebody in as user " + about
	case audit.SignedOut:
		return "Signed out user " + about
	case audit.IdentityLinked:
		return "Linked an identity to user " + about
	case audit.IdentityUnlinked:
		return "Took the identity from user " + about
	default:
		return string(e.Name)
	}
}

// because says why a token was revoked when nobody asked for it.
func because(source audit.Source) string {
	switch source {
	case audit.Policy:
		return " by a policy on how long tokens and bots live"
	case audit.Reuse:
		return " because one that it took the place of was used again"
	case audit.Leak:
		return " because its value was reported as leaked"
	default:
		return ""
	}
}
