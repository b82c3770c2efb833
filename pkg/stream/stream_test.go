package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/pkg/store"
	"latchkey/pkg/stream"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
)

type (
	attribute = map[string]any
	image     = map[string]attribute
)

func s(v string) attribute     { return attribute{"S": v} }
func n(v int64) attribute      { return attribute{"N": fmt.Sprint(v)} }
func ss(v ...string) attribute { return attribute{"SS": v} }
func keysOf(pk string) image   { return image{"pk": s(pk), "sk": s("TOKEN")} }
func with(base image, more ...image) image {
	out := maps.Clone(base)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}
func without(i image, name string) image {
	out := maps.Clone(i)
	delete(out, name)
	return out
}

const digest = "TOKEN#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// record is a token's; the address, the name and the digest are private.
var record = with(keysOf(digest), image{
	"id": n(4194306), "kind": s("personal"), "name": s("mail ann@example.test"), "scopes": {"L": []attribute{s("api")}},
	"created_at": n(1773907200), "created_by": n(1), "family": n(4194306), "expires_on": s("2026-09-01"), "last_used_at": n(1773907260),
	"last_used_ips": {"L": []attribute{s("192.0.2.7")}}, "foreign": {"M": attribute{"x": s("y")}}, "null": {"NULL": true},
})

// profile is an account's. Its names, address and identity are private.
var profile = image{
	"pk": s("USER#7"), "sk": s("PROFILE"), "username": s("mail-ann"), "name": s("Ann of mail"), "email": s("ann@example.test"), "state": s("active"),
	"created_at": n(1773907200), "created_by": n(1), "next_number": n(5), "tokens_valid_from": n(0), "session_number": n(3), "noted": {"BOOL": true},
	"note": s("mail her"), "identity_issuer": s("https://mail.example.test"), "identity_subject": s("mail-7"), "foreign": {"M": attribute{"x": s("y")}},
}

// bot is that of a token that was never rotated.
var bot = with(profile, image{"bot": {"BOOL": true}, "next_number": n(2)})

// settings are the administrators'.
var settings = image{"pk": s("SETTINGS"), "sk": s("APPLICATION"), "revision": n(4), "prefix": s("mail_")}

// change is a record of the stream about a token.
func change(sequence, name string, before, after image) map[string]any {
	return changeOf(keysOf(digest), sequence, name, before, after)
}

// changeOf is a record of the stream about the item with these keys.
func changeOf(keys image, sequence, name string, before, after image) map[string]any {
	in := map[string]any{
		"ApproximateCreationDateTime": 1773907261.5, "Keys": image{"pk": keys["pk"], "sk": keys["sk"]}, "SequenceNumber": sequence, "StreamViewType": "NEW_AND_OLD_IMAGES",
	}
	if before != nil {
		in["OldImage"] = before
	}
	if after != nil {
		in["NewImage"] = after
	}
	return map[string]any{
		"eventID": "event-" + sequence, "eventName": name, "dynamodb": in,
		"eventSourceARN": "arn:aws:dynamodb:eu-central-1:000000000000:table/latchkey/stream/2026-03-01T00:00:00.000",
	}
}

// bus keeps what is put, and stops at the event stop.
type bus struct {
	events  []stream.Event
	stop    int
	refused []stream.Refusal
}

func (b *bus) Put(_ context.Context, events []stream.Event) (int, []stream.Refusal, error) {
	if b.stop > 0 && b.stop < len(events) {
		b.events = append(b.events, events[:b.stop]...)
		return b.stop, b.refused, errors.New("bus: ThrottlingException")
	}
	b.events = append(b.events, events...)
	return len(events), b.refused, nil
}

type ran struct {
	reply string
	err   error
	put   map[string]float64
	logs  *telemetrytest.Logs
}

func run(t *testing.T, b *bus, records ...map[string]any) (r ran) {
	t.Helper()
	r.logs = telemetrytest.NewLogs(t)
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	handler := stream.Lambda(telemetry.NewLogger(r.logs, "events"), func(values map[string]float64) { r.put = values }, store.Images{}, b)
	reply, err := handler.Invoke(t.Context(), payload)
	r.reply, r.err = string(reply), err
	return r
}

// Breaks if other systems hear of something that has not happened, or do not hear of what has.
func TestWhatAChangeMeans(t *testing.T) {
	ended := func(reason string) image { return image{"revoked_at": n(1773907261), "revoked_reason": s(reason)} }
	overlap := image{"works_until": n(1773910800), "successor": n(4194309), "superseded_at": n(1773907200)}
	second := with(record, image{"id": n(4194308), "previous": n(4194306)})
	for name, test := range map[string]struct {
		before, after image
		want          string
	}{
		"a new token":                              {nil, record, "token.created"},
		"a successor":                              {nil, second, "token.rotated"},
		"a request ends it":                        {record, with(record, ended("request")), "token.revoked 2026-03-19T08:01:01Z request"},
		"the limit on lifetimes ends it":           {record, with(record, ended("policy")), "token.revoked 2026-03-19T08:01:01Z policy"},
		"its maker ends":                           {record, with(record, ended("parent")), "token.revoked 2026-03-19T08:01:01Z parent"},
		"it is replaced":                           {record, with(record, ended("rotated")), "token.revoked 2026-03-19T08:01:01Z rotated"},
		"it is replaced with an overlap":           {record, with(record, overlap), "token.revoked 2026-03-19T09:00:00Z rotated"},
		"a use ends its overlap":                   {with(record, overlap), with(record, overlap, image{"taken_over_at": n(1773907262)}), "token.revoked 2026-03-19T08:01:02Z rotated"},
		"a request ends its overlap":               {with(record, overlap), with(record, overlap, ended("request")), "token.revoked 2026-03-19T08:01:01Z request"},
		"an ancestor is presented":                 {record, with(record, ended("reuse")), "token.reused 2026-03-19T08:01:01Z reuse"},
		"it is reported":                           {record, with(record, ended("leak")), "token.leaked 2026-03-19T08:01:01Z leak"},
		"it is reported after its rotation":        {with(record, ended("rotated")), with(record, ended("rotated"), image{"notices": ss("reported")}), "token.leaked 2026-03-19T08:01:01Z rotated"},
		"people are told of its expiry":            {record, with(record, image{"notices": ss("expiring-7")}), "token.expiring in 7"},
		"people are told again":                    {with(record, image{"notices": ss("expiring-30")}), with(record, image{"notices": ss("expiring-30", "expiring-7")}), "token.expiring in 7"},
		"people are told that it has expired":      {with(record, image{"notices": ss("expiring-7")}), with(record, image{"notices": ss("expired", "expiring-7")}), "token.expired"},
		"people are told of a report":              {with(record, ended("leak")), with(record, ended("leak"), image{"notices": ss("leaked", "leaked@7")}), ""},
		"a mark that nobody knows":                 {record, with(record, image{"notices": ss("expiring-soon", "below")}), ""},
		"a use":                                    {without(record, "last_used_at"), record, ""},
		"a child":                                  {record, with(record, image{"made": {"BOOL": true}}), ""},
		"its bot is removed":                       {record, with(record, ended("expired")), ""},
		"clean-up":                                 {with(record, ended("request")), nil, ""},
		"the same again":                           {with(record, ended("request")), with(record, ended("request"), image{"delete_after": n(1)}), ""},
		"a project's token":                        {nil, with(record, image{"kind": s("project"), "resource": n(7), "level": n(30)}), "token.created project 7"},
		"a group's token with a parent":            {nil, with(record, image{"kind": s("group"), "resource": n(8), "level": n(30), "parent": n(8388609), "parent_kind": s("personal"), "depth": n(1)}), "token.created group 8 parent 8388609"},
		"a token with a short life":                {nil, with(record, image{"life_seconds": n(3600), "expires_at": n(1773910800), "expires_on": s("2026-03-20")}), "token.created ends 2026-03-19T09:00:00Z"},
		"a token without an end, from the console": {nil, with(record, image{"expires_on": s("never"), "created_by": n(0)}), "token.created never"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := "MODIFY"
			switch {
			case test.before == nil:
				kind = "INSERT"
			case test.after == nil:
				kind = "REMOVE"
			}
			b := &bus{}
			r := run(t, b, change("123456789012345678901", kind, test.before, test.after))
			if r.err != nil || r.reply != `{"batchItemFailures":[]}` {
				t.Fatalf("%s, %v", r.reply, r.err)
			}
			if test.want == "" {
				if len(b.events) != 0 || r.put != nil || r.logs.String() != "" {
					t.Errorf("events %+v, counted %v, logged %s", b.events, r.put, r.logs)
				}
				return
			}
			if len(b.events) != 1 {
				t.Fatalf("%d events", len(b.events))
			}
			e := b.events[0]
			got := string(e.Type)
			if e.NoticeDays != 0 {
				got += fmt.Sprint(" in ", e.NoticeDays)
			}
			for _, part := range []string{e.Token.RevokedAt, string(e.Token.Reason)} {
				got += strings.TrimRight(" "+part, " ")
			}
			for _, id := range []struct {
				name string
				id   int64
			}{{"project", e.Token.Project}, {"group", e.Token.Group}, {"parent", int64(e.Token.Parent)}} {
				if id.id != 0 {
					got += fmt.Sprint(" ", id.name, " ", id.id)
				}
			}
			switch e.Token.ExpiresAt {
			case "":
				got += " never"
			case "2026-09-01T00:00:00Z":
			default:
				got += " ends " + e.Token.ExpiresAt
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if e.ID != "event-123456789012345678901" || e.Number != "0000000000000000000123456789012345678901" || e.Time != "2026-03-19T08:01:01Z" ||
				e.Table != "arn:aws:dynamodb:eu-central-1:000000000000:table/latchkey" {
				t.Errorf("event %+v", e)
			}
			detail, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, private := range []string{"aaaaaaaa", "example.test", "192.0.2.7", "mail"} {
				if strings.Contains(string(detail), private) || strings.Contains(r.logs.String(), private) {
					t.Errorf("%q is in %s or %s", private, detail, r.logs)
				}
			}
		})
	}
}

// Breaks if other systems do not hear that tokens stopped or started to work all at once, or hear it of others.
func TestWhatAChangeOfManyTokensMeans(t *testing.T) {
	in := func(state string) image { return with(profile, image{"state": s(state)}) }
	revoked := with(profile, image{"tokens_valid_from": n(5), "session_number": n(4)})
	const first = ` "tokens_from_id":29360133`
	for name, test := range map[string]struct {
		before, after image
		want          string // without commas behind values
	}{
		"a new account":                              {nil, profile, ""},
		"a new token's number":                       {profile, with(profile, image{"next_number": n(6)}), ""},
		"a sign-out":                                 {profile, with(profile, image{"session_number": n(4)}), ""},
		"another name, address and rank":             {profile, with(profile, image{"name": s("Bo"), "email": s("bo@example.test"), "admin": {"BOOL": true}}), ""},
		"everything is revoked":                      {profile, revoked, `account.tokens_revoked {"id":7 "state":"active"` + first + `}`},
		"everything is revoked, and nothing was new": {revoked, with(revoked, image{"session_number": n(5)}), ""},
		"everything is revoked, up to the last number": {
			with(profile, image{"next_number": n(1 << 22)}), with(profile, image{"next_number": n(1 << 22), "tokens_valid_from": n(1 << 22)}),
			`account.tokens_revoked {"id":7 "state":"active" "tokens_from_id":33554432}`,
		},
		"everything of a blocked one is revoked": {in("blocked"), with(revoked, image{"state": s("blocked")}), `account.tokens_revoked {"id":7 "state":"blocked"` + first + `}`},
		"it is blocked":                          {profile, in("blocked"), `account.blocked {"id":7 "state":"blocked"}`},
		"a deactivated one is blocked":           {in("deactivated"), in("blocked"), `account.blocked {"id":7 "state":"blocked"}`},
		"it is unblocked":                        {in("blocked"), in("active"), `account.unblocked {"id":7 "state":"active"}`},
		"it is unblocked after a revocation":     {with(revoked, image{"state": s("blocked")}), revoked, `account.unblocked {"id":7 "state":"active"` + first + `}`},
		"it is deactivated":                      {profile, in("deactivated"), `account.deactivated {"id":7 "state":"deactivated"}`},
		"it is activated":                        {in("deactivated"), in("active"), `account.activated {"id":7 "state":"active"}`},
		"an unknown state is mended":             {in("odd"), in("active"), `account.activated {"id":7 "state":"active"}`},
		"both change, past Latchkey":             {profile, with(revoked, image{"state": s("blocked")}), `account.blocked {"id":7 "state":"blocked"` + first + `}`},
		"it is deleted":                          {revoked, nil, `account.deleted {"id":7}`},
		"a new bot":                              {nil, bot, ""},
		"a bot's token is rotated":               {bot, with(bot, image{"next_number": n(3)}), ""},
		"a bot is blocked":                       {bot, with(bot, image{"state": s("blocked")}), `account.blocked {"id":7 "bot":true "state":"blocked"}`},
		"a bot goes with its only token":         {bot, nil, ""},
		"a bot goes, and an overlap with it":     {with(bot, image{"next_number": n(3)}), nil, `account.deleted {"id":7 "bot":true}`},
		"other settings":                         {settings, with(settings, image{"revision": n(5)}), ""},
		"the first settings":                     {nil, settings, ""},
		"a restore ends every token":             {settings, with(settings, image{"tokens_from": n(1773907320)}), "tokens.revoked_everywhere 2026-03-19T08:02:00Z"},
		"in settings that were never set":        {nil, with(settings, image{"tokens_from": n(1773907320)}), "tokens.revoked_everywhere 2026-03-19T08:02:00Z"},
		"again, later":                           {with(settings, image{"tokens_from": n(1773907320)}), with(settings, image{"tokens_from": n(1773907380)}), "tokens.revoked_everywhere 2026-03-19T08:03:00Z"},
		"other settings afterwards":              {with(settings, image{"tokens_from": n(1773907320)}), with(settings, image{"tokens_from": n(1773907320), "revision": n(9)}), ""},
		"settings that go":                       {with(settings, image{"tokens_from": n(1773907320)}), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			kind, keys := "MODIFY", test.after
			switch {
			case test.before == nil:
				kind = "INSERT"
			case test.after == nil:
				kind, keys = "REMOVE", test.before
			}
			b := &bus{}
			r := run(t, b, changeOf(keys, "123456789012345678901", kind, test.before, test.after))
			if r.err != nil || r.reply != `{"batchItemFailures":[]}` {
				t.Fatalf("%s, %v", r.reply, r.err)
			}
			if test.want == "" {
				if len(b.events) != 0 || r.put != nil || r.logs.String() != "" {
					t.Errorf("events %+v, counted %v, logged %s", b.events, r.put, r.logs)
				}
				return
			}
			if len(b.events) != 1 {
				t.Fatalf("%d events, logged %s", len(b.events), r.logs)
			}
			e := b.events[0]
			detail, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(detail, &fields); err != nil || len(fields) != 5 || fields["token"] != nil {
				t.Fatalf("%s, %v", detail, err)
			}
			got := string(e.Type) + " " + strings.ReplaceAll(string(fields["account"]), `,"`, ` "`) + e.MadeBefore
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if e.ID != "event-123456789012345678901" || e.Number != "0000000000000000000123456789012345678901" || e.Time != "2026-03-19T08:01:01Z" {
				t.Errorf("event %+v", e)
			}
			for _, private := range []string{"mail", "example.test", "Ann"} {
				if strings.Contains(string(detail), private) || strings.Contains(r.logs.String(), private) {
					t.Errorf("%q is in %s or %s", private, detail, r.logs)
				}
			}
		})
	}
}

// Breaks if a record that cannot be read is tried for ever, or stops the ones behind it, or is passed over
// in silence.
func TestRecordsThatCannotBeReadArePassedOver(t *testing.T) {
	for name, broken := range map[string]map[string]any{
		"no scopes":                         change("100000000000000000001", "INSERT", nil, without(record, "scopes")),
		"a broken old image":                change("100000000000000000001", "MODIFY", with(record, image{"id": s("x")}), record),
		"no old image":                      change("100000000000000000001", "MODIFY", nil, record),
		"no new image":                      change("100000000000000000001", "INSERT", nil, nil),
		"an attribute of two":               change("100000000000000000001", "INSERT", nil, with(record, image{"kind": {"S": 7}})),
		"a number that is not":              change("100000000000000000001", "INSERT", nil, with(record, image{"created_at": {"N": "soon"}})),
		"an account without a username":     changeOf(profile, "100000000000000000001", "MODIFY", profile, without(with(profile, image{"state": s("blocked")}), "username")),
		"an account that was unreadable":    changeOf(profile, "100000000000000000001", "MODIFY", with(profile, image{"next_number": s("soon")}), profile),
		"an account in an unknown state":    changeOf(profile, "100000000000000000001", "MODIFY", profile, with(profile, image{"state": s("soon")})),
		"more revoked than was ever made":   changeOf(profile, "100000000000000000001", "MODIFY", profile, with(profile, image{"tokens_valid_from": n(6)})),
		"a deleted one that was unreadable": changeOf(profile, "100000000000000000001", "REMOVE", without(profile, "tokens_valid_from"), nil),
		"an account without an image":       changeOf(profile, "100000000000000000001", "MODIFY", profile, nil),
		"an account that is no number":      changeOf(profile, "100000000000000000001", "MODIFY", profile, with(profile, image{"pk": s("USER#0")})),
		"an instant that is not":            changeOf(settings, "100000000000000000001", "MODIFY", settings, with(settings, image{"tokens_from": {"N": "soon"}})),
		"an instant that is a text":         changeOf(settings, "100000000000000000001", "INSERT", nil, with(settings, image{"tokens_from": s("2026-03-19")})),
		"a wrong sequence":                  change("first", "INSERT", nil, record),
		"a long sequence":                   change(strings.Repeat("1", 41), "INSERT", nil, record),
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{}
			r := run(t, b, broken, change("100000000000000000002", "INSERT", nil, record))
			if r.err != nil || r.reply != `{"batchItemFailures":[]}` || len(b.events) != 1 || b.events[0].ID != "event-100000000000000000002" {
				t.Errorf("%s, %v, events %+v", r.reply, r.err, b.events)
			}
			if want := map[string]float64{"EventsPut": 1, "EventsRefused": 1, "EventsFailed": 0}; !reflect.DeepEqual(r.put, want) {
				t.Errorf("counted %v", r.put)
			}
			if !strings.Contains(r.logs.String(), "stream record passed over") || strings.Contains(r.logs.String(), "soon") {
				t.Errorf("logged %s", r.logs)
			}
		})
	}
}

// Breaks if Lambda is not asked again for the first record whose event the bus did not take.
func TestTheReplyNamesTheFirstRecordThatIsNotDone(t *testing.T) {
	records := []map[string]any{
		change("100000000000000000001", "MODIFY", without(record, "last_used_at"), record), // no event
		change("100000000000000000002", "INSERT", nil, record),
		change("100000000000000000003", "INSERT", nil, record),
		change("100000000000000000004", "INSERT", nil, record),
	}
	b := &bus{stop: 1}
	r := run(t, b, records...)
	if r.err != nil || r.reply != `{"batchItemFailures":[{"itemIdentifier":"100000000000000000003"}]}` {
		t.Errorf("%s, %v", r.reply, r.err)
	}
	if want := map[string]float64{"EventsPut": 1, "EventsRefused": 0, "EventsFailed": 2}; !reflect.DeepEqual(r.put, want) {
		t.Errorf("counted %v", r.put)
	}
	b = &bus{refused: []stream.Refusal{{Event: 1, Code: "InvalidArgument"}}}
	r = run(t, b, records...)
	if want := map[string]float64{"EventsPut": 2, "EventsRefused": 1, "EventsFailed": 0}; r.reply != `{"batchItemFailures":[]}` || !reflect.DeepEqual(r.put, want) {
		t.Errorf("%s, counted %v", r.reply, r.put)
	}
	if !strings.Contains(r.logs.String(), `"token_id":4194306`) || !strings.Contains(r.logs.String(), `"code":"InvalidArgument"`) {
		t.Errorf("logged %s", r.logs)
	}
	b = &bus{refused: []stream.Refusal{{Event: 0, Code: "InvalidArgument"}}}
	r = run(t, b, changeOf(profile, "100000000000000000001", "MODIFY", profile, with(profile, image{"state": s("blocked")})))
	if !strings.Contains(r.logs.String(), `"owner":7`) || strings.Contains(r.logs.String(), "token_id") {
		t.Errorf("logged %s", r.logs)
	}
}

// Breaks if the function takes what is no stream, or a stream of which it could decide nothing and would
// pass over everything.
func TestEventsOfNoStreamAreRefused(t *testing.T) {
	half := change("100000000000000000001", "MODIFY", record, record)
	half["dynamodb"].(map[string]any)["StreamViewType"] = "NEW_IMAGE"
	for name, records := range map[string][]map[string]any{
		"nothing": nil, "a message": {{"messageId": "m", "body": "{}"}}, "new images only": {half},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{}
			r := run(t, b, records...)
			var typed messages.InvokeResponse_Error
			if !errors.As(r.err, &typed) || typed.Type != "EventInvalid" || len(b.events) != 0 {
				t.Errorf("%s, %v", r.reply, r.err)
			}
		})
	}
	b := &bus{}
	other := change("100000000000000000001", "MODIFY", record, with(record, image{"tokens_from": s("neither an account nor settings")}))
	for _, keys := range []image{
		keysOf("USER#1"), {"pk": s("USER#1"), "sk": s("NOTE")}, {"pk": s("PROJECT#1"), "sk": s("PROFILE")}, {"pk": s("SETTINGS"), "sk": s("FEATURE#x")}, {"pk": s("AUDIT#USER#7"), "sk": s("PROFILE")},
	} {
		other["dynamodb"].(map[string]any)["Keys"] = keys
		if r := run(t, b, other); r.err != nil || len(b.events) != 0 || r.logs.String() != "" {
			t.Errorf("an item of %v: %+v, %v, logged %s", keys, b.events, r.err, r.logs)
		}
	}
}
