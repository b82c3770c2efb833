package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Project, group: PROJECT#<id> / PROFILE
// Path:           PATH#<lower full path> / PATH, for uniqueness. A project in an account's namespace
//                 has PATH#@<uid>/<lower path>, so that the account's username may change.
// Child:          PROJECT#<group id> / CHILD#<id>, what lies directly in a group
//                 USER#<uid> / CHILD#<id>, what lies in an account's namespace
// Member:         PROJECT#<id> / MEMBER#<uid>, the only copy of the level
// Membership:     USER#<uid> / MEMBER#<id>, which names the member item
// Token pointer:  PROJECT#<id> / TOKEN#<tid>, which names the record
// Counter:        SEQUENCE / PROJECT, the last id given out

const (
	memberPrefix = "MEMBER#"
	childPrefix  = "CHILD#"
)

func resourcePartition(id token.ResourceID) string { return "PROJECT#" + id.String() }

func resourceKey(id token.ResourceID) key { return keyOf(resourcePartition(id), profileSort) }

func resourceSequenceKey() key { return keyOf("SEQUENCE", "PROJECT") }

// pathKey is the key of a full path; see ownPath for an account's namespace.
func pathKey(path string) key { return keyOf("PATH#"+strings.ToLower(path), "PATH") }

// ownPath is what stands in the place of the full path of a project in an
// account's namespace. No full path starts with an @.
func ownPath(owner token.OwnerID, path string) string { return "@" + owner.String() + "/" + path }

// pathOf is what a resource's path item is named after.
func pathOf(r principal.Resource) string {
	if r.Owner != 0 {
		return ownPath(r.Owner, r.Path)
	}
	return r.FullPath
}

// paddedResource and paddedUser keep the table's order that of the ids: they
// have 10 digits at the most.
func paddedResource(id token.ResourceID) string { return fmt.Sprintf("%010d", int64(id)) }
func paddedUser(id token.OwnerID) string        { return fmt.Sprintf("%010d", int64(id)) }

func memberKey(resource token.ResourceID, user token.OwnerID) key {
	return keyOf(resourcePartition(resource), memberPrefix+paddedUser(user))
}

func membershipKey(resource token.ResourceID, user token.OwnerID) key {
	return keyOf(userPartition(user), memberPrefix+paddedResource(resource))
}

func resourcePointerKey(resource token.ResourceID, id token.ID) key {
	return keyOf(resourcePartition(resource), pointerSort(id))
}

func resourcePointerItem(tok token.Token) item {
	it := resourcePointerKey(tok.Resource, tok.ID)
	it["digest"] = text(tok.Digest.Key())
	it["kind"] = text(string(tok.Kind))
	return it
}

// childKey is where the namespace of r lists it; ok is false for a group at
// the root.
func childKey(r principal.Resource) (k key, ok bool) {
	sort := childPrefix + paddedResource(r.ID)
	switch {
	case r.Owner != 0:
		return keyOf(userPartition(r.Owner), sort), true
	case r.Parent() != 0:
		return keyOf(resourcePartition(r.Parent()), sort), true
	default:
		return nil, false
	}
}

func resourceItem(res principal.Resource) item {
	ancestors := make([]types.AttributeValue, len(res.Ancestors))
	for i, id := range res.Ancestors {
		ancestors[i] = number(int64(id))
	}
	it := resourceKey(res.ID)
	it["kind"] = text(string(res.Kind))
	it["name"] = text(res.Name)
	it["path"] = text(res.Path)
	it["visibility"] = text(res.Visibility)
	it["ancestors"] = &types.AttributeValueMemberL{Value: ancestors}
	it["created_at"] = epoch(res.CreatedAt)
	it["created_by"] = number(int64(res.CreatedBy))
	if res.FullPath != "" {
		it["full_path"] = text(res.FullPath)
	}
	if res.Description != "" {
		it["description"] = text(res.Description)
	}
	if res.Owner != 0 {
		it["owner"] = number(int64(res.Owner))
	}
	return it
}

func readResource(it item) (principal.Resource, error) {
	r := reader{item: it}
	id, err := token.ParseResourceID(strings.TrimPrefix(r.text("pk"), "PROJECT#"))
	if err != nil {
		r.fault("pk")
	}
	res := principal.Resource{
		ID:          id,
		Kind:        principal.ResourceKind(r.text("kind")),
		Name:        r.text("name"),
		Path:        r.text("path"),
		FullPath:    r.optionalText("full_path"),
		Description: r.optionalText("description"),
		Visibility:  r.text("visibility"),
		Owner:       token.OwnerID(r.optionalNumber("owner")),
		CreatedAt:   r.instant("created_at"),
		CreatedBy:   token.OwnerID(r.number("created_by")),
	}
	for _, n := range r.numbers("ancestors") {
		res.Ancestors = append(res.Ancestors, token.ResourceID(n))
	}
	if res.Kind != principal.Project && res.Kind != principal.Group {
		r.fault("kind")
	}
	if (res.Owner != 0) == (res.FullPath != "") || res.Owner != 0 && (res.Kind != principal.Project || len(res.Ancestors) > 0) {
		r.fault("owner")
	}
	if r.err != nil {
		return principal.Resource{}, r.err
	}
	return res, nil
}

func memberItem(m principal.Member) item {
	it := memberKey(m.Resource, m.User)
	it["level"] = number(int64(m.Level))
	it["expires_on"] = text(m.ExpiresOn.String())
	it["created_at"] = epoch(m.CreatedAt)
	it["created_by"] = number(int64(m.CreatedBy))
	return it
}

func membershipItem(m principal.Member) item { return membershipKey(m.Resource, m.User) }

func readMember(it item) (principal.Member, error) {
	r := reader{item: it}
	resource, err := token.ParseResourceID(strings.TrimPrefix(r.text("pk"), "PROJECT#"))
	if err != nil {
		r.fault("pk")
	}
	user, err := token.ParseOwnerID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), memberPrefix), "0"))
	if err != nil {
		r.fault("sk")
	}
	m := principal.Member{
		Resource: resource, User: user,
		Level:     token.Level(r.number("level")),
		CreatedAt: r.instant("created_at"),
		CreatedBy: token.OwnerID(r.number("created_by")),
	}
	if day := r.text("expires_on"); day != never {
		if m.ExpiresOn, err = token.ParseDay(day); err != nil {
			r.fault("expires_on")
		}
	}
	if !slices.Contains(token.Levels, m.Level) {
		r.fault("level")
	}
	if r.err != nil {
		return principal.Member{}, r.err
	}
	return m, nil
}

// resourceOfMembership returns what a membership item names.
func resourceOfMembership(it item) (token.ResourceID, error) {
	r := reader{item: it}
	id, err := token.ParseResourceID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), memberPrefix), "0"))
	if err != nil {
		r.fault("sk")
	}
	return id, r.err
}
