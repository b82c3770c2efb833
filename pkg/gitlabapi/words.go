package gitlabapi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
)

// What is wrong with what a client wants, in words: GitLab's, where it has the
// rule. They are told in a sentence, or by field.

// inSentence is a refusal in a sentence. It wraps why.
type inSentence struct {
	err  error
	text string
}

func (s *inSentence) Error() string { return s.text }
func (s *inSentence) Unwrap() error { return s.err }

// inFields is a refusal by field. It wraps why.
type inFields struct {
	err    error
	fields map[string][]string
}

func (f *inFields) Error() string {
	return "invalid " + strings.Join(slices.Sorted(maps.Keys(f.fields)), ", ")
}
func (f *inFields) Unwrap() error { return f.err }

// errNotPermitted is for an owner who may not have a token: the words for
// account.ErrInactive are about the caller's own account.
var errNotPermitted = fmt.Errorf("%w: owner may not have a token", fault.ErrInput)

// sentences are the refusals that have one, whatever they are about.
var sentences = []struct {
	err  error
	text string
}{
	{errNotPermitted, "Not permitted to create"},
	{lifecycle.ErrAlreadyRevoked, "Token already revoked"},
	{lifecycle.ErrAlreadyRotated, "Token already rotated, its successor is to be used instead"},
	{lifecycle.ErrLevelAbove, "Not eligible to rotate token with access level higher than the user"},
	{lifecycle.ErrBot, "The account is a bot, whose token has to be revoked by itself"},
}

// inWords puts broken rules into words, those of tokens in a sentence and all
// others by field. Other errors, and what is in words already, stay as they are.
func inWords(err error) error {
	var (
		sentence *inSentence
		fields   *inFields
		broken   fault.Breaches
	)
	if errors.As(err, &sentence) || errors.As(err, &fields) {
		return err
	}
	for _, row := range sentences {
		if errors.Is(err, row.err) {
			return &inSentence{err, row.text}
		}
	}
	switch {
	case !errors.As(err, &broken):
		return err
	case errors.Is(err, lifecycle.ErrUnfit):
		texts := make([]string, len(broken))
		for i, b := range broken {
			texts[i] = subject(b) + " " + tokenWords(b)
		}
		return &inSentence{err, enumerate(texts)}
	default:
		return &inFields{err, byField(broken, words)}
	}
}

func byField(broken fault.Breaches, words func(fault.Breach) string) map[string][]string {
	fields := map[string][]string{}
	for _, b := range broken {
		field := wireName(b.Field)
		fields[field] = append(fields[field], words(b))
	}
	return fields
}

// tokenFields puts the broken rules of a token into words by field, as GitLab
// does for impersonation tokens.
func tokenFields(err error) error {
	var broken fault.Breaches
	if !errors.As(err, &broken) {
		return err
	}
	return &inFields{err, byField(broken, func(b fault.Breach) string {
		if b.Rule == fault.AdminsOnly {
			return fmt.Sprintf("%s %s", b.Limit, tokenWords(b))
		}
		return tokenWords(b)
	})}
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

// subject is what a sentence about a token's rule is about.
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

// tokenWords are those of a token's rule.
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

// words are those of a rule.
func words(b fault.Breach) string {
	switch b.Rule {
	case fault.Blank:
		return "can't be blank"
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
