package store

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
)

// SetAccountState changes an account's state and ends its sessions. Every check that starts after the
// write sees it.
func (t *Table) SetAccountState(ctx context.Context, id account.ID, from, to account.State, moved audit.Event) error {
	return t.updateAccount(ctx, id, "SET #state = :to ADD session_number :one", "#state = :from",
		map[string]string{"#state": "state"},
		item{":from": text(string(from)), ":to": text(string(to)), ":one": number(1)},
		moved, func(u account.Account) bool { return u.State == to })
}

// RevokeEverything revokes every token of an account and ends its sessions in one write of its
// profile: the next token's number becomes the first valid one. It reads the profile first, so that after a lost reply it can
// tell whether the write was committed, even if a token was made since.
func (t *Table) RevokeEverything(ctx context.Context, owner account.ID, revoked audit.Event) error {
	if err := checkEvents(revoked); err != nil {
		return err
	}
	before, err := t.Account(ctx, owner)
	if err != nil {
		return err
	}
	return t.updateAccount(ctx, owner, "SET tokens_valid_from = next_number ADD session_number :one", "attribute_exists(pk)", nil,
		item{":one": number(1)}, revoked, func(u account.Account) bool {
			return u.TokensValidFrom >= before.NextNumber && u.SessionNumber > before.SessionNumber
		})
}

// EndSessions ends the sessions with the number before of an account. If they have ended already, it
// writes nothing.
func (t *Table) EndSessions(ctx context.Context, id account.ID, before int64, ended audit.Event) error {
	condition, values := "session_number = :before", item{":before": number(before), ":one": number(1)}
	if before == 0 {
		condition, values = "attribute_exists(pk) AND attribute_not_exists(session_number)", item{":one": number(1)}
	}
	return t.updateAccount(ctx, id, "ADD session_number :one", condition, nil, values,
		ended, func(u account.Account) bool { return u.SessionNumber > before })
}

// MarkUnreachable marks an account as one that mails do not reach. It names no attributes but those of
// the mark and the address, to which the function's permission is limited.
func (t *Table) MarkUnreachable(ctx context.Context, before, after account.Account, marked audit.Event) error {
	condition := "email = :email AND attribute_not_exists(unreachable) AND "
	values := item{":email": text(before.Email), ":reason": text(string(after.Unreachable)), ":at": epoch(after.UnreachableAt)}
	if before.ReachableSince.IsZero() {
		condition += "attribute_not_exists(reachable_since)"
	} else {
		condition += "reachable_since = :since"
		values[":since"] = epoch(before.ReachableSince)
	}
	return t.updateAccount(ctx, before.ID, "SET unreachable = :reason, unreachable_at = :at", condition, nil, values,
		marked, func(u account.Account) bool { return u.Unreachable != "" && u.Email == before.Email })
}

// updateAccount changes a profile. A failed condition is fault.ErrNotFound without a profile, and
// fault.ErrMoved if the profile equals neither the expected nor the wanted one.
func (t *Table) updateAccount(ctx context.Context, id account.ID, expression, condition string,
	names map[string]string, values item, event audit.Event, wanted func(account.Account) bool) error {
	isWanted := func(ctx context.Context) (bool, error) {
		u, err := t.Account(ctx, id)
		return wanted(u), err
	}
	update := t.update(profileKey(id), expression, condition, values)
	update.Update.ExpressionAttributeNames = names
	reasons, err := t.transact(ctx, []types.TransactWriteItem{update}, []audit.Event{event}, isWanted)
	if err != nil || reasons == nil {
		return err
	}
	done, err := isWanted(ctx)
	switch {
	case err != nil:
		return err
	case done:
		return nil
	default:
		return fault.ErrMoved
	}
}

// UpdateAccount changes a profile together with its names and its note. It writes only differences,
// so that concurrent changes of different attributes both take effect.
func (t *Table) UpdateAccount(ctx context.Context, before, after account.Account, updated []audit.Event) error {
	if err := checkEvents(updated...); err != nil {
		return err
	}
	set := accountChange{values: item{":username": text(before.Username)}, names: map[string]string{}}
	set.text("username", before.Username, after.Username)
	set.text("name", before.Name, after.Name)
	set.text("email", before.Email, after.Email)
	set.note(before.Note, after.Note)
	set.flag("admin", before.Admin, after.Admin)
	set.flag("external", before.External, after.External)
	set.flag("no_groups", before.NoGroups, after.NoGroups)
	if before.Email != after.Email || before.Unreachable != after.Unreachable {
		// Whatever was read: a mail may have come back in the meantime.
		set.put(unreachable, nil)
		set.put(unreachableAt, nil)
		if after.ReachableSince.IsZero() {
			set.put(reachableSince, nil)
		} else {
			set.put(reachableSince, epoch(after.ReachableSince))
		}
	}
	if len(set.sets) == 0 && len(set.removes) == 0 {
		return nil
	}
	condition := "username = :username"
	if before.Email != after.Email {
		condition += " AND " + set.was("email", before.Email)
	}
	items := []types.TransactWriteItem{t.update(profileKey(before.ID), set.expression(), condition, set.values)}
	items[0].Update.ExpressionAttributeNames = set.names
	own := item{":uid": number(int64(before.ID))}
	usernamePosition, emailPosition, pathPosition := -1, -1, -1
	move := func(from, to key) int {
		items = append(items, t.put(owned(to, before.ID), absent, nil), t.remove(from, "attribute_not_exists(pk) OR uid = :uid", own))
		return len(items) - 2
	}
	if !strings.EqualFold(before.Username, after.Username) {
		usernamePosition = move(usernameKey(before.Username), usernameKey(after.Username))
		// Usernames and groups at the root share one name space.
		pathPosition = len(items)
		items = append(items, t.lacks(pathKey(after.Username)))
	}
	switch {
	case strings.EqualFold(before.Email, after.Email):
	case before.Email == "":
		emailPosition = len(items)
		items = append(items, t.put(owned(emailKey(after.Email), before.ID), absent, nil))
	default:
		emailPosition = move(emailKey(before.Email), emailKey(after.Email))
	}
	switch {
	case before.Note == after.Note:
	case after.Note == "":
		items = append(items, t.remove(noteKey(before.ID), "", nil))
	default:
		items = append(items, t.put(noteItem(before.ID, after.Note), "", nil))
	}
	reasons, err := t.transact(ctx, items, updated, func(ctx context.Context) (bool, error) {
		stored, err := t.Account(ctx, before.ID)
		if err != nil || !sameAccount(stored, after) || before.Note == after.Note {
			return sameAccount(stored, after), err
		}
		note := ""
		err = t.Notes(ctx, []account.ID{before.ID}, func(_ account.ID, text string) { note = text })
		return note == after.Note, err
	})
	refused := func(position int) bool { return position >= 0 && failed(reasons, position) }
	switch {
	case err != nil || reasons == nil:
		return err
	case refused(emailPosition):
		return account.ErrEmailTaken
	case refused(usernamePosition), refused(pathPosition):
		return account.ErrUsernameTaken
	case failed(reasons, 0) && len(reasons[0].Item) == 0:
		return fault.ErrNotFound
	default:
		return fault.ErrMoved
	}
}

// An accountChange collects the attributes of a profile to set and remove.
type accountChange struct {
	sets, removes []string
	names         map[string]string
	values        item
}

func (c *accountChange) put(name string, value types.AttributeValue) {
	c.names["#"+name] = name // several are reserved words
	if value == nil {
		c.removes = append(c.removes, "#"+name)
		return
	}
	c.sets = append(c.sets, "#"+name+" = :new_"+name)
	c.values[":new_"+name] = value
}

func (c *accountChange) text(name, before, after string) {
	switch {
	case before == after:
	case after == "":
		c.put(name, nil)
	default:
		c.put(name, text(after))
	}
}

// note marks a profile as having a note, or not, and removes the text that profiles once held.
func (c *accountChange) note(before, after string) {
	switch {
	case before == after:
		return
	case after == "":
		c.put("noted", nil)
	default:
		c.put("noted", boolean(true))
	}
	c.put("note", nil)
}

func (c *accountChange) flag(name string, before, after bool) {
	switch {
	case before == after:
	case !after:
		c.put(name, nil)
	default:
		c.put(name, boolean(true))
	}
}

// was is the condition that an attribute still has its earlier value.
func (c *accountChange) was(name, before string) string {
	if before == "" {
		return "attribute_not_exists(#" + name + ")"
	}
	c.values[":old_"+name] = text(before)
	return "#" + name + " = :old_" + name
}

func (c *accountChange) expression() string {
	var parts []string
	if len(c.sets) > 0 {
		parts = append(parts, "SET "+strings.Join(c.sets, ", "))
	}
	if len(c.removes) > 0 {
		parts = append(parts, "REMOVE "+strings.Join(c.removes, ", "))
	}
	return strings.Join(parts, " ")
}
