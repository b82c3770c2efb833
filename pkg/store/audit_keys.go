package store

import (
	"crypto/rand"
	"fmt"
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/token"
)

// Audit event: AUDIT#USER#<uid> / <id>#<random>, likewise PROJECT, GROUP and INSTANCE, and
//              AUDIT#EVERY#<shard> / <id>#<random>, the same for those who see everything.
// Ids ascend with time; two processes may assign the same, and both events stay.
//
// Every change writes to the newest end of the second partition, so it has shards: one partition
// takes 1,000 write units a second, which are 500 events (DynamoDB: partition throughput). It is
// not split by time, because a list without events would then have to read every day of the year.

func auditPartition(e audit.Entity) string {
	kind := strings.ToUpper(entityTypes[e.Type])
	if e.Type == audit.Instance {
		kind = "INSTANCE"
	}
	return fmt.Sprintf("AUDIT#%s#%d", kind, e.ID)
}

// entityTypes are the stored types of entities. Events keep them for a year.
var entityTypes = map[audit.EntityType]string{
	audit.Account: "User", audit.Project: "Project", audit.Group: "Group", audit.Instance: "Gitlab::Audit::InstanceScope",
}

// entityType reads a stored type.
func (r *attributes) entityType(name string) audit.EntityType {
	stored := r.text(name)
	for kind, text := range entityTypes {
		if text == stored {
			return kind
		}
	}
	r.fault(name)
	return ""
}

// auditShards is the number of shards of the events of all entities. Events stay in their shard, so
// it must not change.
const auditShards = 16

// auditShard returns the shard of an event. Consecutive events of a process go to different shards.
func auditShard(id int64) int { return int(id % auditShards) }

func auditShardPartition(shard int) string { return fmt.Sprintf("AUDIT#EVERY#%02d", shard) }

func auditSort(id int64) string { return fmt.Sprintf("%016d", id) }

func eventItem(partition string, e audit.Event, random string) item {
	it := keyOf(partition, auditSort(e.ID)+"#"+random)
	it["at"] = epoch(e.At)
	it["name"] = text(string(e.Name))
	it["entity_type"] = text(entityTypes[e.Entity.Type])
	it["entity_id"] = number(e.Entity.ID)
	it["source"] = text(string(e.Source))
	it["delete_after"] = epoch(e.At.Add(audit.Life))
	for name, n := range map[string]int64{
		"author": int64(e.Author), "asker": int64(e.Asker), "presented": int64(e.Presented), "token": int64(e.Token), "previous": int64(e.Previous),
		"omitted": int64(e.Omitted), "tokens": int64(e.Tokens),
	} {
		if n != 0 {
			it[name] = number(n)
		}
	}
	for name, s := range map[string]string{
		"request_id": e.RequestID, "address": e.Address, "target": e.Target, "change": e.Change, "from": e.From, "to": e.To,
	} {
		if s != "" {
			it[name] = text(s)
		}
	}
	return it
}

func readEvent(it item) (audit.Event, error) {
	r := attributes{item: it}
	var id int64
	if _, err := fmt.Sscanf(r.text("sk"), "%016d#", &id); err != nil {
		r.fault("sk")
	}
	e := audit.Event{
		ID:     id,
		Place:  r.text("sk"),
		At:     r.instant("at"),
		Name:   audit.Name(r.text("name")),
		Entity: audit.Entity{Type: r.entityType("entity_type"), ID: r.number("entity_id")},
		Origin: audit.Origin{
			Author:    account.ID(r.optionalNumber("author")),
			Asker:     account.ID(r.optionalNumber("asker")),
			Presented: token.ID(r.optionalNumber("presented")),
			RequestID: r.optionalText("request_id"),
			Address:   r.optionalText("address"),
			Source:    audit.Source(r.text("source")),
		},
		Token:    token.ID(r.optionalNumber("token")),
		Previous: token.ID(r.optionalNumber("previous")),
		Target:   r.optionalText("target"),
		Change:   r.optionalText("change"), From: r.optionalText("from"), To: r.optionalText("to"),
		Omitted: int(r.optionalNumber("omitted")), Tokens: int(r.optionalNumber("tokens")),
	}
	return e, r.err
}

// eventItems returns the two items of an event without an id. Every event is written through it.
func (t *Journal) eventItems(e audit.Event) []item {
	e = e.WithoutPrivate()
	e.ID = t.events.Next(e.At, t.instant())
	random := rand.Text()
	return []item{
		eventItem(auditPartition(e.Entity), e, random),
		eventItem(auditShardPartition(auditShard(e.ID)), e, random),
	}
}
