package store

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Token record:    TOKEN#<digest> / TOKEN, the only mutable copy.
// Family: FAMILY#<first tid> / CURRENT, the live token of a rotation chain.
// Child: FAMILY#<first tid> / CHILD#<first tid of the child>, what the chain made; the same with
//        #ROTATED behind it, what it rotated.

const (
	tokenPrefix = "TOKEN#"
	tokenSort   = "TOKEN"
)

var never = clock.Day{}.String()

func tokenKey(d secret.Digest) key { return keyOf(tokenPrefix+d.Key(), tokenSort) }

// pointerSort pads ids to 16 digits, enough for 2^53, so that the order of keys is the order of
// ids.
func pointerSort(id token.ID) string { return tokenPrefix + padded(id) }

func padded(id token.ID) string { return fmt.Sprintf("%016d", int64(id)) }

func pointerKey(id token.ID) key { return keyOf(accountPartition(id.Owner()), pointerSort(id)) }

func familyPartition(first token.ID) string { return "FAMILY#" + first.String() }

func familyKey(first token.ID) key { return keyOf(familyPartition(first), "CURRENT") }

// expiryBucket and expiryOrder place a token in the expiry index. Tokens of one owner that expire
// on the same day are adjacent, and shards split a day evenly, so that no partition takes all
// writes of a date.
func expiryBucket(on clock.Day, owner account.ID, shards int) string {
	return bucketOf(on, shardOf(owner, shards))
}

func bucketOf(on clock.Day, shard int) string { return fmt.Sprintf("%s#%02d", on, shard) }

// removalBucket holds expired and announced tokens of bots, by the day on which the bot is removed.
// No day starts like it.
func removalBucket(on clock.Day, shard int) string { return "END#" + bucketOf(on, shard) }

func expiryOrder(id token.ID) string {
	return fmt.Sprintf("%010d#%016d", int64(id.Owner()), int64(id))
}

func shardOf(owner account.ID, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner.String()))
	return int(h.Sum32() % uint32(shards)) //nolint:gosec // shards is a small positive number
}

// indexed reports whether a token is in the expiry index: it expires on a day, is not revoked, and
// its expiry is announced.
func indexed(t token.Token) bool {
	return t.Announced() && t.RevokedFrom().IsZero() && t.Kind != token.Impersonation
}

func (t *Table) tokenItem(tok token.Token) item {
	scopes := make([]string, len(tok.Scopes))
	for i, s := range tok.Scopes {
		scopes[i] = string(s)
	}
	it := tokenKey(tok.Digest)
	it["id"] = number(int64(tok.ID))
	it["kind"] = text(string(tok.Kind))
	it["name"] = text(tok.Name)
	it["scopes"] = listOf(scopes)
	it["created_at"] = epoch(tok.CreatedAt)
	it["created_by"] = number(int64(tok.CreatedBy))
	it["family"] = number(int64(tok.Family))
	it["expires_on"] = text(tok.ExpiresOn.String())
	// The end is stored too, so that a record that lost its short life does not work until the day.
	if tok.Life > 0 {
		it["life_seconds"] = number(int64(tok.Life / time.Second))
		it["expires_at"] = epoch(tok.ExpiresAt())
	}
	if tok.EndsOnUse != (secret.Digest{}) {
		it["ends_on_use"] = text(tok.EndsOnUse.Key())
	}
	if tok.Description != "" {
		it["description"] = text(tok.Description)
	}
	if tok.Generation != "" {
		it["pepper"] = text(string(tok.Generation))
	}
	if tok.Previous != 0 {
		it["previous"] = number(int64(tok.Previous))
	}
	if tok.Parent != 0 {
		it["parent"] = number(int64(tok.Parent))
		it["parent_kind"] = text(string(tok.ParentKind))
		it["depth"] = number(int64(tok.Depth))
	}
	if tok.Kind.OfProject() {
		it["resource"] = number(int64(tok.Project))
		it["level"] = number(int64(tok.Level))
	}
	if len(tok.Networks) > 0 {
		it["allowed_cidrs"] = listOf(tok.Networks.Texts())
		it["allowed_cidr_count"] = number(int64(len(tok.Networks)))
	}
	if indexed(tok) {
		it["expiry_bucket"] = text(expiryBucket(tok.ExpiresOn, tok.Owner, t.opts.Shards))
		it["expiry_order"] = text(expiryOrder(tok.ID))
	}
	// Nobody hears that a life of less than a day ends, so clean-up needs no announcement.
	if ends := tok.ExpiresAt().Add(t.opts.Retention); tok.Life > 0 && !tok.Announced() {
		if tok.Kind.OfProject() {
			it["expiry_bucket"] = text(removalBucket(clock.DayOf(ends), shardOf(tok.Owner, t.opts.Shards)))
			it["expiry_order"] = text(expiryOrder(tok.ID))
		} else {
			it["delete_after"] = epoch(ends)
		}
	}
	return it
}

// readToken accepts only a complete item, because a malformed record must refuse and never allow.
func readToken(it item) (token.Token, error) {
	r := attributes{item: it}
	pk := r.text("pk")
	tok := token.Token{
		ID:            token.ID(r.number("id")),
		Kind:          token.Kind(r.text("kind")),
		Name:          r.text("name"),
		Description:   r.optionalText("description"),
		CreatedAt:     r.instant("created_at"),
		CreatedBy:     account.ID(r.number("created_by")),
		RevokedAt:     r.optionalInstant("revoked_at"),
		RevokedReason: token.Reason(r.optionalText("revoked_reason")),
		WorksUntil:    r.optionalInstant("works_until"),
		SupersededAt:  r.optionalInstant("superseded_at"),
		LastUsedAt:    r.optionalInstant("last_used_at"),
		LastUsedIPs:   r.optionalAddresses("last_used_ips"),
		Notices:       r.optionalSet("notices"),
		Family:        token.ID(r.number("family")),
		Previous:      token.ID(r.optionalNumber("previous")),
		Parent:        token.ID(r.optionalNumber("parent")),
		ParentKind:    token.Kind(r.optionalText("parent_kind")),
		Depth:         int(r.optionalNumber("depth")),
		Made:          r.flag("made"),
		Project:       project.ID(r.optionalNumber("resource")),
		Level:         project.Level(r.optionalNumber("level")),
		Digest:        secret.DigestFromKey(strings.TrimPrefix(pk, tokenPrefix)),
		Generation:    secret.Generation(r.optionalText("pepper")),
	}
	tok.Owner = tok.ID.Owner()
	names := r.texts("scopes")
	tok.Scopes = make(scope.Set, len(names))
	for i, name := range names {
		tok.Scopes[i] = scope.Scope(name)
	}
	tok.Networks = readNetworks(&r)
	_, until := it["until_used"]
	if tok.UntilUsed = r.flag("until_used"); until && !tok.UntilUsed && r.optionalInstant("taken_over_at").IsZero() {
		r.fault("taken_over_at")
	}
	if previous := r.optionalText("ends_on_use"); previous != "" {
		tok.EndsOnUse = secret.DigestFromKey(previous)
	}
	// It counts in an overlap only, so that a function that may write it ends nothing else.
	if at := r.optionalInstant("taken_over_at"); !at.IsZero() && at.Before(tok.WorksUntil) {
		tok.WorksUntil, tok.TakenOverAt = at, at
	}
	// "never" is stored, so that a record that lost its day does not become valid for ever.
	if day := r.text("expires_on"); day != never {
		on, err := clock.ParseDay(day)
		if err != nil {
			r.fault("expires_on")
		}
		tok.ExpiresOn = on
	}
	readLife(&r, &tok)
	if !strings.HasPrefix(pk, tokenPrefix) {
		r.fault("pk")
	}
	checkToken(&r, tok)
	if r.err != nil {
		return token.Token{}, r.err
	}
	return tok, nil
}

// readLife refuses a record that lost half of its short life.
func readLife(r *attributes, tok *token.Token) {
	tok.Life = time.Duration(r.optionalNumber("life_seconds")) * time.Second
	ends := r.optionalInstant("expires_at")
	if tok.Life == 0 && ends.IsZero() {
		return
	}
	if tok.Life < token.MinLife || tok.Life > token.MaxLife || !ends.Equal(tok.ExpiresAt()) || tok.ExpiresOn != token.FirstDayFrom(ends) {
		r.fault("expires_at")
	}
}

// readNetworks refuses a record that lost some or all of its networks, because it would allow more
// than before. The record stores their number for that.
func readNetworks(r *attributes) token.Networks {
	count := r.optionalNumber("allowed_cidr_count")
	if _, restricted := r.item["allowed_cidrs"]; !restricted && count == 0 {
		return nil
	}
	networks, err := token.ParseNetworks(r.texts("allowed_cidrs"))
	if err != nil || count < 1 || int64(len(networks)) != count {
		r.fault("allowed_cidrs")
	}
	return networks
}

// checkToken refuses impossible combinations.
func checkToken(r *attributes, tok token.Token) {
	if tok.Owner < 1 || tok.Owner > account.MaxID || tok.ID.Number() < 1 {
		r.fault("id")
	}
	if !slices.Contains(token.Kinds, tok.Kind) {
		r.fault("kind")
	}
	if tok.Kind.OfProject() != (tok.Project != 0) || tok.Project < 0 || tok.Project > account.MaxID {
		r.fault("resource")
	}
	if tok.Kind.OfProject() != (tok.Level != project.NoLevel) || tok.Level != project.NoLevel && !slices.Contains(project.Levels, tok.Level) {
		r.fault("level")
	}
	if tok.CreatedBy < 0 || tok.CreatedBy > account.MaxID {
		r.fault("created_by")
	}
	// A chain starts with its family's token; every other member has a predecessor.
	first, rotated := tok.Family == tok.ID, tok.Previous != 0
	if first == rotated || tok.Family.Owner() != tok.Owner || tok.Family.Number() < 1 || tok.Family > tok.ID {
		r.fault("family")
	}
	if rotated && (tok.Previous < tok.Family || tok.Previous >= tok.ID) {
		r.fault("previous")
	}
	if child := tok.Parent != 0; child && (tok.Parent.Owner() < 1 || tok.Parent.Number() < 1) || child != (tok.Depth > 0) || child != slices.Contains(token.Kinds, tok.ParentKind) || !child && tok.ParentKind != "" || tok.Depth < 0 || tok.Depth > token.MaxDepth {
		r.fault("parent")
	}
	if tok.RevokedAt.IsZero() != (tok.RevokedReason == "") {
		r.fault("revoked_at")
	}
	// The successor is stored too, so that a record that lost the end of its overlap does not work
	// for ever.
	successor := token.ID(r.optionalNumber("successor"))
	if tok.WorksUntil.IsZero() != (successor == 0) || successor != 0 && (successor <= tok.ID || successor.Owner() != tok.Owner) {
		r.fault("works_until")
	}
}

func pointerItem(tok token.Token) item {
	it := pointerKey(tok.ID)
	it["digest"] = text(tok.Digest.Key())
	// They put the tokens of an owner in order without their records.
	it["created_at"] = epoch(tok.CreatedAt)
	it["ends_at"] = number(token.ByExpiry.PlaceOf(tok).At)
	if tok.Kind != token.Personal {
		it["kind"] = text(string(tok.Kind))
	}
	return it
}

// A pointer names a record. It keeps the stored form of the digest: a page of a list follows only a
// few of an owner's pointers, and converting all digests costs more than decoding the page's
// records.
type pointer struct {
	stored string
	kind   token.Kind
}

func (p pointer) digest() secret.Digest { return secret.DigestFromKey(p.stored) }

func readPointer(it item) (pointer, error) {
	r := attributes{item: it}
	p := pointer{r.text("digest"), token.Kind(r.optionalText("kind"))}
	if p.kind == "" {
		p.kind = token.Personal
	}
	return p, r.err
}

// pointerDates reads the seconds of a token's creation and end. A pointer that an earlier release wrote has
// none, and one that is damaged counts as such: its record has them too.
func pointerDates(it item) (created, ends int64, there bool) {
	r := attributes{item: it}
	created, ends = r.number("created_at"), r.number("ends_at")
	return created, ends, r.err == nil && 0 < created && created < token.Unending && 0 < ends && ends <= token.Unending
}
