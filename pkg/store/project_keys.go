package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
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
// Counter:        SEQUENCE / PROJECT, the last assigned id

const (
	memberPrefix = "MEMBER#"
	childPrefix  = "CHILD#"
)

func projectPartition(id project.ID) string { return "PROJECT#" + id.String() }

func projectKey(id project.ID) key { return keyOf(projectPartition(id), profileSort) }

func projectSequenceKey() key { return keyOf("SEQUENCE", "PROJECT") }

// pathKey is the key of a full path; see ownPath for an account's namespace.
func pathKey(path string) key { return keyOf("PATH#"+strings.ToLower(path), "PATH") }

// ownPath replaces the full path for a project in an account's namespace. No full path starts with
// an @.
func ownPath(owner account.ID, path string) string { return "@" + owner.String() + "/" + path }

// pathOf returns the path in the key of a project's path item.
func pathOf(r project.Project) string {
	if r.Owner != 0 {
		return ownPath(r.Owner, r.Path)
	}
	return r.FullPath
}

// paddedProject and paddedAccount pad ids to 10 digits, so that the order of keys is the order of
// ids.
func paddedProject(id project.ID) string { return fmt.Sprintf("%010d", int64(id)) }
func paddedAccount(id account.ID) string { return fmt.Sprintf("%010d", int64(id)) }

func memberKey(pid project.ID, acct account.ID) key {
	return keyOf(projectPartition(pid), memberPrefix+paddedAccount(acct))
}

func membershipKey(pid project.ID, acct account.ID) key {
	return keyOf(accountPartition(acct), memberPrefix+paddedProject(pid))
}

func projectPointerKey(pid project.ID, id token.ID) key {
	return keyOf(projectPartition(pid), pointerSort(id))
}

func projectPointerItem(tok token.Token) item {
	it := projectPointerKey(tok.Project, tok.ID)
	it["digest"] = text(tok.Digest.Key())
	it["kind"] = text(string(tok.Kind))
	return it
}

// childKey is the key under which the namespace of r lists it; ok is false for a group at the root.
func childKey(r project.Project) (k key, ok bool) {
	sort := childPrefix + paddedProject(r.ID)
	switch {
	case r.Owner != 0:
		return keyOf(accountPartition(r.Owner), sort), true
	case r.Parent() != 0:
		return keyOf(projectPartition(r.Parent()), sort), true
	default:
		return nil, false
	}
}

func projectItem(proj project.Project) item {
	ancestors := make([]types.AttributeValue, len(proj.Ancestors))
	for i, id := range proj.Ancestors {
		ancestors[i] = number(int64(id))
	}
	it := projectKey(proj.ID)
	it["kind"] = text(string(proj.Kind))
	it["name"] = text(proj.Name)
	it["path"] = text(proj.Path)
	it["visibility"] = text(proj.Visibility)
	it["ancestors"] = &types.AttributeValueMemberL{Value: ancestors}
	it["created_at"] = epoch(proj.CreatedAt)
	it["created_by"] = number(int64(proj.CreatedBy))
	if proj.FullPath != "" {
		it["full_path"] = text(proj.FullPath)
	}
	if proj.Description != "" {
		it["description"] = text(proj.Description)
	}
	if proj.Owner != 0 {
		it["owner"] = number(int64(proj.Owner))
	}
	if proj.Closing {
		it["closing"] = boolean(true)
	}
	return it
}

func readProject(it item) (project.Project, error) {
	r := attributes{item: it}
	id, err := project.ParseID(strings.TrimPrefix(r.text("pk"), "PROJECT#"))
	if err != nil {
		r.fault("pk")
	}
	proj := project.Project{
		ID:          id,
		Kind:        project.Kind(r.text("kind")),
		Name:        r.text("name"),
		Path:        r.text("path"),
		FullPath:    r.optionalText("full_path"),
		Description: r.optionalText("description"),
		Visibility:  r.text("visibility"),
		Owner:       account.ID(r.optionalNumber("owner")),
		CreatedAt:   r.instant("created_at"),
		CreatedBy:   account.ID(r.number("created_by")),
		Closing:     r.flag("closing"),
	}
	for _, n := range r.numbers("ancestors") {
		proj.Ancestors = append(proj.Ancestors, project.ID(n))
	}
	if proj.Kind != project.KindProject && proj.Kind != project.KindGroup {
		r.fault("kind")
	}
	if (proj.Owner != 0) == (proj.FullPath != "") || proj.Owner != 0 && (proj.Kind != project.KindProject || len(proj.Ancestors) > 0) {
		r.fault("owner")
	}
	if r.err != nil {
		return project.Project{}, r.err
	}
	return proj, nil
}

func memberItem(m project.Member) item {
	it := memberKey(m.Project, m.Account)
	it["level"] = number(int64(m.Level))
	it["expires_on"] = text(m.ExpiresOn.String())
	it["created_at"] = epoch(m.CreatedAt)
	it["created_by"] = number(int64(m.CreatedBy))
	return it
}

func membershipItem(m project.Member) item { return membershipKey(m.Project, m.Account) }

// readMemberKey reads the project and the account of a member.
func readMemberKey(it item) (project.Member, error) {
	r := attributes{item: it}
	pid, err := project.ParseID(strings.TrimPrefix(r.text("pk"), "PROJECT#"))
	if err != nil {
		r.fault("pk")
	}
	acct, err := account.ParseID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), memberPrefix), "0"))
	if err != nil {
		r.fault("sk")
	}
	return project.Member{Project: pid, Account: acct}, r.err
}

func readMember(it item) (project.Member, error) {
	m, err := readMemberKey(it)
	r := attributes{item: it, err: err}
	m.Level, m.CreatedAt, m.CreatedBy = project.Level(r.number("level")), r.instant("created_at"), account.ID(r.number("created_by"))
	if day := r.text("expires_on"); day != never {
		if m.ExpiresOn, err = clock.ParseDay(day); err != nil {
			r.fault("expires_on")
		}
	}
	if !slices.Contains(project.Levels, m.Level) {
		r.fault("level")
	}
	if r.err != nil {
		return project.Member{}, r.err
	}
	return m, nil
}

// projectOfMembership returns the project of a membership item.
func projectOfMembership(it item) (project.ID, error) {
	r := attributes{item: it}
	id, err := project.ParseID(strings.TrimLeft(strings.TrimPrefix(r.text("sk"), memberPrefix), "0"))
	if err != nil {
		r.fault("sk")
	}
	return id, r.err
}
