package gitlabapi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
)

// The words for broken rules, GitLab's where it has the rule. They are a sentence, or by field.

// sentences are the errors that always have a sentence.
var sentences = []struct {
	err  error
	text string
}{
	{lifecycle.ErrAlreadyRevoked, "Token already revoked"},
	{lifecycle.ErrShortLived, "A token made with expires_in cannot be rotated"},
	{lifecycle.ErrOutlives, outlives},
	{lifecycle.ErrLevelAbove, "Not eligible to rotate token with access level higher than the user"},
	{lifecycle.ErrBot, "The account is a bot, whose token has to be revoked by itself"},
}

const outlives = "The token would end after the presented one, which was made with expires_in"

// inSentence words the broken rules of a token, or returns "" for another error.
func inSentence(err error) string {
	for _, row := range sentences {
		if errors.Is(err, row.err) {
			return row.text
		}
	}
	broken, ok := errors.AsType[fault.Breaches](err)
	if !ok || !errors.Is(err, lifecycle.ErrUnfit) {
		return ""
	}
	texts := make([]string, len(broken))
	for i, b := range broken {
		texts[i] = subject(b) + " " + tokenWords(b)
	}
	return enumerate(texts)
}

// explained returns err with a text for an operator, who gets no fields.
func explained(err error) error {
	text := inSentence(err)
	if broken, ok := errors.AsType[fault.Breaches](err); ok && text == "" {
		text = "invalid " + strings.Join(slices.Sorted(maps.Keys(byField(broken, words))), ", ")
	}
	if text == "" {
		return err
	}
	return &explanation{err, text}
}

type explanation struct {
	err  error
	text string
}

func (e *explanation) Error() string { return e.text }
func (e *explanation) Unwrap() error { return e.err }

// byField puts broken rules into words by the fields that clients know.
func byField(broken fault.Breaches, words func(fault.Breach) string) map[string][]string {
	fields := map[string][]string{}
	for _, b := range broken {
		field := wireName(b.Field)
		if b.Field == "visibility" {
			field = "visibility_level" // GitLab's name in errors only
		}
		fields[field] = append(fields[field], words(b))
	}
	return fields
}

// tokenFieldWords words a token's broken rule where GitLab words it by field, as for impersonation
// tokens.
func tokenFieldWords(b fault.Breach) string {
	if b.Rule == fault.AdminsOnly {
		return fmt.Sprintf("%s %s", b.Limit, tokenWords(b))
	}
	return tokenWords(b)
}

// enumerate joins texts as an English sentence does.
func enumerate(texts []string) string {
	last := len(texts) - 1
	if last < 1 {
		return strings.Join(texts, "")
	}
	joint := " and "
	if last > 1 {
		joint = ", and "
	}
	return strings.Join(texts[:last], ", ") + joint + texts[last]
}

// subject returns the subject of a sentence about a token's broken rule.
func subject(b fault.Breach) string {
	switch {
	case b.Rule == fault.AdminsOnly:
		return capital(fmt.Sprint(b.Limit))
	case b.Field == "expires_on":
		return "Expiration date"
	default:
		return capital(b.Field)
	}
}

// tokenWords words a token's broken rule.
func tokenWords(b fault.Breach) string {
	switch b.Rule {
	case fault.NotInList:
		return "can only contain available scopes"
	case fault.AdminsOnly:
		return "can only be enabled for administrators"
	case fault.TooEarly:
		return fmt.Sprintf("must be after %s, because a token is dead from 00:00 UTC of that date", b.Limit)
	default:
		return words(b)
	}
}

// clashWords words why a visibility is not allowed.
func clashWords(c directory.Clash) string {
	switch {
	case c.Above != "" && c.Kind == project.KindGroup:
		return "since the parent group has a " + c.Above + " visibility."
	case c.Above != "":
		return "in a " + c.Above + " group."
	case c.Kind == project.KindGroup:
		return "since there are sub-groups with higher visibility."
	default:
		return "since this group contains projects with higher visibility."
	}
}

// words words a broken rule.
func words(b fault.Breach) string {
	switch b.Rule {
	case fault.Blank:
		return "can't be blank"
	case fault.NotASCII:
		return "cannot get mail: the part before the @ can have ASCII characters only"
	case fault.TooLong:
		return fmt.Sprintf("is too long (maximum is %d characters)", b.Limit)
	case fault.Reserved:
		return "is reserved"
	case fault.Taken:
		return "has already been taken"
	case fault.NotInList:
		return "is not included in the list"
	case fault.NoBots:
		return "project bots cannot be added to other groups / projects"
	case fault.TooEarly:
		return "must be after today"
	case fault.TooLate:
		return fmt.Sprintf("must be before %s", b.Limit)
	case fault.Fixed:
		return "cannot be changed"
	case fault.TooWide, fault.TooNarrow:
		clash, _ := b.Limit.(directory.Clash)
		return clash.Visibility + " is not allowed " + clashWords(clash)
	case fault.StartOf:
		return "is the start of an earlier one, whose tokens would be refused"
	case fault.TooMany:
		return fmt.Sprintf("was changed too often (%d prefixes are in use)", b.Limit)
	case fault.TooDeep:
		if b.Field == "parent" {
			return "has too deep level of nesting"
		}
		return fmt.Sprintf("lies too deep (a full path has at most %d characters)", b.Limit)
	case fault.OutOfRange:
		limit, _ := b.Limit.(fault.Range)
		text := fmt.Sprintf("must be between %d and %d", limit.Least, limit.Most)
		if b.Field == settings.Lifetime {
			text += ", or null for none"
		}
		return text
	case fault.Malformed:
		switch b.Field {
		case "username", "path":
			return "can contain only letters, digits, '_', '-', '.'. Cannot start with '-' or '.', end in '.', '.git' or '.atom', or be digits only"
		case settings.Prefix:
			return fmt.Sprintf("is invalid (up to %d letters, digits and _ + = / @ : . -)", secret.MaxPrefixLength)
		}
	}
	return "is invalid"
}
