package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Made is a working token that the chain of another one made or rotated.
type Made struct {
	Token token.Token
	// Seen says that the caller may see the token. Otherwise only its id and kind may be shown.
	Seen bool
	// Ends says that it ends when the other token is revoked.
	Ends bool
	// Rotated says that the other chain only rotated it.
	Rotated bool
}

// maxMade is how many chains Made looks at.
const maxMade = 100

// Made returns the working tokens below the chain of t that end with it, and those that the ended ones
// made and that live on, by ascending id. more says that there are others. by may see t.
func (l *Lister) Made(ctx context.Context, by principal.Principal, t token.Token) (made []Made, more bool, err error) {
	seen := map[token.ID]bool{t.Family: true}
	for level := []token.ID{t.Family}; len(level) > 0; {
		var found []token.Child
		for _, family := range level {
			children, err := l.parts.Store.Children(ctx, family)
			if err != nil {
				return nil, false, err
			}
			for _, c := range children {
				switch {
				case seen[c.Family]:
				case len(seen) > maxMade:
					more = true
				default:
					seen[c.Family] = true
					found = append(found, c)
				}
			}
		}
		level = nil
		part, err := l.working(ctx, by, found)
		if err != nil {
			return nil, false, err
		}
		made = append(made, part...)
		for _, c := range found {
			if c.Own {
				level = append(level, c.Family)
			}
		}
	}
	slices.SortFunc(made, func(a, b Made) int { return cmp.Compare(a.Token.ID, b.Token.ID) })
	return made, more, nil
}

// working returns the newest tokens of the chains that work.
func (l *Lister) working(ctx context.Context, by principal.Principal, children []token.Child) ([]Made, error) {
	byDigest := map[secret.Digest]token.Child{}
	var digests []secret.Digest
	for _, c := range children {
		if _, twice := byDigest[c.Digest]; !twice {
			digests = append(digests, c.Digest)
		}
		byDigest[c.Digest] = c
	}
	if len(digests) == 0 {
		return nil, nil
	}
	tokens, err := l.parts.Store.TokensByDigest(ctx, digests)
	if err != nil {
		return nil, err
	}
	var working []Made
	for _, t := range tokens {
		c := byDigest[t.Digest]
		if t.Superseded() {
			newest, err := l.parts.Store.Newest(ctx, t.Family)
			if errors.Is(err, fault.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			t = newest
		}
		var validFrom int64
		if t.Owner == by.Account.ID {
			validFrom = by.Account.TokensValidFrom
		}
		if t.StateAt(l.parts.Clock.Now(), validFrom, by.Settings) == token.Active {
			working = append(working, Made{Token: t, Seen: by.MayManage(t), Ends: c.Own, Rotated: c.Rotated})
		}
	}
	return working, nil
}
