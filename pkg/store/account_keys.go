package store

import (
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/token"
)

// Profile:  USER#<uid> / PROFILE
// Note: USER#<uid> / NOTE, if the profile has noted. It may be long, and every check reads the
// profile.
// Username: USERNAME#<lower> / USERNAME, for uniqueness
// Address:  EMAIL#<lower> / EMAIL, for uniqueness
// Identity: IDENTITY#<issuer>#<subject> / IDENTITY, for uniqueness and look-up
// Counter:  SEQUENCE / USER, the last assigned account id

const profileSort = "PROFILE"

// sessionNumber is absent until the account's sessions are ended for the first time. Every change of the
// state and of tokens_valid_from has to raise it: the filter in infra/events.yaml passes profiles that have it.
const sessionNumber = "session_number"

// These attributes are absent until a mail to the account comes back, and the last one until an
// administrator changes its address or says that it works again.
const (
	unreachable    = "unreachable"
	unreachableAt  = "unreachable_at"
	reachableSince = "reachable_since"
)

const accountPrefix = "USER#"

func accountPartition(id account.ID) string { return accountPrefix + id.String() }

func profileKey(id account.ID) key { return keyOf(accountPartition(id), profileSort) }

func noteKey(id account.ID) key { return keyOf(accountPartition(id), "NOTE") }

func noteItem(id account.ID, note string) item {
	it := noteKey(id)
	it["note"] = text(note)
	return it
}

func usernameKey(username string) key {
	return keyOf("USERNAME#"+strings.ToLower(username), "USERNAME")
}

func emailKey(email string) key { return keyOf("EMAIL#"+strings.ToLower(email), "EMAIL") }

// identityKey is unambiguous, because an issuer has no "#" (OpenID Connect Discovery 1.0 section 2).
func identityKey(identity account.Identity) key {
	return keyOf("IDENTITY#"+identity.Issuer+"#"+identity.Subject, "IDENTITY")
}

func accountSequenceKey() key { return keyOf("SEQUENCE", "USER") }

func profileItem(u account.Account) item {
	it := profileKey(u.ID)
	it["username"] = text(u.Username)
	it["name"] = text(u.Name)
	it["state"] = text(string(u.State))
	it["created_at"] = epoch(u.CreatedAt)
	it["created_by"] = number(int64(u.CreatedBy))
	it["next_number"] = number(u.NextNumber)
	it["tokens_valid_from"] = number(u.TokensValidFrom)
	if u.Email != "" {
		it["email"] = text(u.Email)
	}
	if u.Identity != (account.Identity{}) {
		it["identity_issuer"], it["identity_subject"] = text(u.Identity.Issuer), text(u.Identity.Subject)
	}
	if u.SessionNumber != 0 {
		it[sessionNumber] = number(u.SessionNumber)
	}
	if u.Unreachable != "" {
		it[unreachable], it[unreachableAt] = text(string(u.Unreachable)), epoch(u.UnreachableAt)
	}
	if !u.ReachableSince.IsZero() {
		it[reachableSince] = epoch(u.ReachableSince)
	}
	for name, set := range map[string]bool{"admin": u.Admin, "bot": u.Bot, "external": u.External, "no_groups": u.NoGroups, "noted": u.Note != ""} {
		if set {
			it[name] = boolean(true)
		}
	}
	return it
}

func readProfile(it item) (account.Account, error) {
	r := attributes{item: it}
	pk := r.text("pk")
	id, err := account.ParseID(strings.TrimPrefix(pk, accountPrefix))
	if err != nil {
		r.fault("pk")
	}
	u := account.Account{
		ID:              id,
		Username:        r.text("username"),
		Name:            r.text("name"),
		Email:           r.optionalText("email"),
		State:           account.State(r.text("state")),
		Admin:           r.flag("admin"),
		Bot:             r.flag("bot"),
		External:        r.flag("external"),
		NoGroups:        r.flag("no_groups"),
		Noted:           r.flag("noted"),
		Note:            r.optionalText("note"), // where it was before it had an item of its own
		CreatedAt:       r.instant("created_at"),
		CreatedBy:       account.ID(r.number("created_by")),
		NextNumber:      r.number("next_number"),
		TokensValidFrom: r.number("tokens_valid_from"),
		SessionNumber:   r.optionalNumber(sessionNumber),
		Unreachable:     account.Unreachable(r.optionalText(unreachable)),
		UnreachableAt:   r.optionalInstant(unreachableAt),
		ReachableSince:  r.optionalInstant(reachableSince),
		Identity:        account.Identity{Issuer: r.optionalText("identity_issuer"), Subject: r.optionalText("identity_subject")},
	}
	if (u.Identity.Issuer == "") != (u.Identity.Subject == "") {
		r.fault("identity_subject")
	}
	u.Noted = u.Noted || u.Note != ""
	if u.Username == "" {
		r.fault("username")
	}
	if u.CreatedBy < 0 || u.CreatedBy > account.MaxID {
		r.fault("created_by")
	}
	if (u.Unreachable == "") != u.UnreachableAt.IsZero() {
		r.fault(unreachableAt)
	}
	if u.NextNumber < 1 || u.NextNumber > token.MaxNumber+1 {
		r.fault("next_number")
	}
	if u.TokensValidFrom < 0 || u.TokensValidFrom > u.NextNumber {
		r.fault("tokens_valid_from")
	}
	if r.err != nil {
		return account.Account{}, r.err
	}
	return u, nil
}
