package cloud

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProductTemplate(t *testing.T) {
	template := productTemplate(t)
	t.Run("every function is named after its folder", func(t *testing.T) {
		got := slices.Sorted(maps.Keys(template.Functions))
		if want := []string{"authorizer", "bounces", "directory", "endings", "events", "expired", "expiring", "introspect", "issue", "leakmails", "leaks", "lifetime", "registry", "revoke", "settings", "tokens", "web"}; !slices.Equal(got, want) {
			t.Errorf("functions = %v, want %v", got, want)
		}
	})
	scans := []string{"expired", "expiring"}
	scansAndLifetime := append(slices.Clone(scans), "lifetime")
	longRunning := append(slices.Clone(scansAndLifetime), "leakmails", "endings", "events")
	t.Run("every function answers before the gateway gives up, scans before Lambda does", func(t *testing.T) {
		for name, f := range template.Functions {
			limit := integrationTimeout - time.Second
			if slices.Contains(longRunning, name) {
				limit = maxTimeout
			}
			if f.Timeout <= 0 || f.Timeout > limit {
				t.Errorf("%s may run %s", name, f.Timeout)
			}
		}
	})
	// A scan that leaked its environment would leak the key of every digest.
	t.Run("the pepper goes to functions that verify bearers and to no other", func(t *testing.T) {
		for name, f := range template.Functions {
			_, known := f.Environment["PEPPER"]
			if has := known || slices.Contains(f.Deployment, "PEPPER"); has == slices.Contains(append(longRunning, "bounces"), name) {
				t.Errorf("%s is given the pepper: %t", name, has)
			}
		}
	})
	// Whoever has the key can make a JWT for every image.
	t.Run("the key that signs for registries goes to one function", func(t *testing.T) {
		for name, f := range template.Functions {
			if has := slices.Contains(f.Deployment, "REGISTRY_KEYS"); has != (name == "registry") {
				t.Errorf("%s is given the key: %t", name, has)
			}
		}
	})
	t.Run("parameters are resolved and deployment values left out", func(t *testing.T) {
		env := template.Functions["issue"].Environment
		for key, want := range map[string]string{"STAGE": "test", "RETENTION_DAYS": "90", "SHARD_COUNT": "16", "TOKEN_PREFIX": "lkpat_", "PUBLIC_URL": ""} {
			if got, ok := env[key]; !ok || got != want {
				t.Errorf("%s = %q, want %q", key, got, want)
			}
		}
		for _, key := range []string{"PEPPER", "TABLE_NAME"} {
			if got, ok := env[key]; ok {
				t.Errorf("%s = %q, but only a deployment knows it", key, got)
			}
		}
	})
	// A function that could delete would make a fault in it unrecoverable. These end bots with their tokens, accounts and projects.
	deleting := []string{"directory", "endings", "expired", "issue", "leaks", "lifetime", "revoke", "web"}
	settings := Permission{Action: "dynamodb:DeleteItem", Keys: "SETTINGS"} // switches of features can be set again
	posts := Permission{Action: "dynamodb:DeleteItem", Keys: "POST#*"}      // a post goes with its mail
	planning := []string{"scheduler:CreateSchedule", "scheduler:DeleteSchedule", "iam:PassRole"}
	t.Run("no other function may delete items", func(t *testing.T) {
		for name, f := range template.Functions {
			for _, p := range f.Permissions {
				mail := slices.Contains(longRunning, name) && strings.HasPrefix(p.Action, "ses:") || (name == "leaks" || name == "bounces" || name == "events") && p.Action == "sqs:SendMessage" ||
					name == "leakmails" && slices.Contains([]string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, p.Action) ||
					name == "events" && p == Permission{Action: "events:PutEvents", Source: "latchkey"}
				logs := slices.Contains([]string{"logs:CreateLogStream", "logs:PutLogEvents"}, p.Action) && p.Log == "/latchkey/latchkey/"+name+":*"
				plans := (name == "settings" || name == "web") && slices.Contains(planning, p.Action)
				deletes := !plans && strings.Contains(p.Action, "Delete") && (p.Action != "dynamodb:DeleteItem" || p.Keys == "" || !slices.Contains(deleting, name)) && p != settings && p != posts && !mail
				if !mail && !plans && !logs && !strings.HasPrefix(p.Action, "dynamodb:") || deletes || strings.Contains(p.Action, "*") {
					t.Errorf("%s may %s", name, p.Action)
				}
			}
		}
	})
	within := func(action string, keys ...string) (permissions []Permission) {
		for _, key := range keys {
			permissions = append(permissions, Permission{Action: "dynamodb:" + action, Keys: key})
		}
		return permissions
	}
	// each returns permissions with one key each, and without the limits of updates, which another test is about.
	each := func(permissions []Permission) (out []Permission) {
		for _, p := range permissions {
			for key := range strings.FieldsSeq(p.Keys) {
				out = append(out, Permission{Action: p.Action, Keys: key})
			}
		}
		slices.SortFunc(out, func(a, b Permission) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return slices.Compact(out)
	}
	ends := slices.Concat(within("UpdateItem", "TOKEN#*", "DIRECTORY#*", "USER#*", "PROJECT#*", "FAMILY#*", "SEQUENCE"),
		within("DeleteItem", "USER#*", "PROJECT#*", "USERNAME#*", "EMAIL#*", "ENDING"), within("PutItem", "AUDIT#*", "ENDING"))
	uses := slices.Concat(within("PutItem", "AUDIT#*"), within("UpdateItem", "TOKEN#*"))
	sweeps := slices.Concat(within("UpdateItem", "MAILS#*", "SCAN#*"), within("PutItem", "POST#*"), within("DeleteItem", "POST#*"))
	writing := []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
	// IAM cannot forbid an update to create an item. Breaks if a function that only checks bearers could make a
	// record that lets one pass, or any function writes what another one owns.
	t.Run("each function writes only in its own partitions", func(t *testing.T) {
		for name, want := range map[string][]Permission{
			"authorizer": uses,
			"introspect": uses,
			"tokens":     uses,
			"registry":   uses,
			"settings":   slices.Concat(uses, within("PutItem", "SETTINGS"), within("DeleteItem", "SETTINGS")),
			"directory": slices.Concat(uses, within("PutItem", "USER#*", "USERNAME#*", "EMAIL#*", "PROJECT#*", "PATH#*"),
				within("UpdateItem", "USER#*", "SEQUENCE"), within("DeleteItem", "USER#*", "USERNAME#*", "EMAIL#*", "IDENTITY#*", "PROJECT#*")),
			"issue":     slices.Concat(ends, within("DeleteItem", "IDENTITY#*"), within("PutItem", "TOKEN#*", "DIRECTORY#*", "FAMILY#*", "IDEMPOTENCY#*", "USER#*", "USERNAME#*", "EMAIL#*", "IDENTITY#*", "PROJECT#*")),
			"web":       slices.Concat(ends, within("PutItem", "TOKEN#*", "DIRECTORY#*", "FAMILY#*", "USER#*", "USERNAME#*", "EMAIL#*", "IDENTITY#*", "PROJECT#*", "SETTINGS"), within("DeleteItem", "SETTINGS")),
			"revoke":    slices.Concat(ends, within("DeleteItem", "PATH#*")), // deletes projects with their tokens
			"leaks":     ends,
			"endings":   ends,
			"lifetime":  slices.Concat(ends, sweeps, within("UpdateItem", "SETTINGS")),
			"expired":   slices.Concat(ends, sweeps),
			"expiring":  slices.Concat(within("UpdateItem", "TOKEN#*"), sweeps),
			"leakmails": slices.Concat(within("UpdateItem", "MAILS#*", "TOKEN#*"), within("PutItem", "POST#held#*")),
			"bounces":   slices.Concat(within("PutItem", "AUDIT#*"), within("UpdateItem", "USER#*")),
		} {
			got := slices.DeleteFunc(slices.Clone(template.Functions[name].Permissions), func(p Permission) bool { return !slices.Contains(writing, p.Action) })
			if got, want := each(got), each(want); !slices.Equal(got, want) {
				t.Errorf("%s may %v, want %v", name, got, want)
			}
		}
	})
	// Breaks if a function that only ends tokens could renew one, or make somebody an administrator.
	t.Run("updates name only what the function changes", func(t *testing.T) {
		owners := map[string][]string{
			"admin": {"directory"}, "email": {"bounces", "directory", "issue", "web"}, "state": {"directory", "issue", "web"}, "identity_subject": {"issue", "web"},
			"tokens_valid_from": {"issue", "lifetime", "revoke", "web"}, "expires_on": {"issue", "web"}, "scopes": nil, "created_at": {"issue"},
		}
		for name, f := range template.Functions {
			for _, p := range f.Permissions {
				if p.Action != "dynamodb:UpdateItem" || p.Keys == "MAILS#* SCAN#*" || p.Keys == "MAILS#*" { // counters
					continue
				}
				if p.Attributes == "" {
					t.Errorf("%s may set any attribute of %s", name, p.Keys)
				}
				for attribute, functions := range owners {
					if slices.Contains(strings.Fields(p.Attributes), attribute) && !slices.Contains(functions, name) {
						t.Errorf("%s may set %s of %s", name, attribute, p.Keys)
					}
				}
			}
		}
	})
	// Breaks if a fault in a function could show what it has nothing to do with. A list of everything needs a scan, which
	// IAM cannot narrow.
	t.Run("reads stay in the partitions that the function needs", func(t *testing.T) {
		readers := map[string][]string{
			"EMAIL#": {"directory", "issue", "web"}, "IDENTITY#": {"web"}, "IDEMPOTENCY#": {"issue"}, "AUDIT#": {"leakmails", "settings", "web"}, "DIRECTORY#": {"tokens", "web"}, "DIRECTORY#TOKENS": {"issue"}, "ENDING": {"endings"},
			"MAILS#": {"expired", "expiring", "leakmails", "lifetime"}, "POST#": scansAndLifetime, "SCAN#": scansAndLifetime,
		}
		for name, f := range template.Functions {
			for _, p := range f.Permissions {
				if !slices.Contains([]string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:ConditionCheckItem"}, p.Action) || p.Index {
					continue
				}
				if p.Keys == "" && (p.Action != "dynamodb:Scan" || name != "tokens" && name != "web") {
					t.Errorf("%s may %s anywhere", name, p.Action)
				}
				for key := range strings.FieldsSeq(p.Keys) {
					if functions, limited := readers[strings.TrimSuffix(key, "*")]; limited && !slices.Contains(functions, name) {
						t.Errorf("%s may %s %s", name, p.Action, key)
					}
				}
			}
		}
	})
	// Breaks if a report can be lost, or an unsendable mail holds all others up for ever.
	t.Run("reports are queued one after the other, and end in a queue of dead letters", func(t *testing.T) {
		url := template.Functions["leaks"].Environment["LEAK_QUEUE_URL"]
		if len(template.Mappings) != 1 {
			t.Fatalf("mappings %v", template.Mappings)
		}
		m := template.Mappings[0]
		q := template.Queues[m.Queue]
		if q.URL != url || url == "" || !q.FIFO || !q.ByContent || m.Function != "leakmails" || m.BatchSize != 1 {
			t.Errorf("queue %+v of %s, mapping %+v", q, url, m)
		}
		dead, known := template.Queues[q.DeadLetters]
		if !known || !dead.FIFO || q.MaxReceives < 2 || q.Visibility < template.Functions["leakmails"].Timeout {
			t.Errorf("queue %+v, dead letters %+v", q, dead)
		}
	})
	// Breaks if a stack in a new account, which may reserve nothing, rolls back.
	t.Run("nothing is reserved, and reports are throttled, unless somebody asks for something else", func(t *testing.T) {
		for name, f := range template.Functions {
			if f.Reserved != 0 {
				t.Errorf("%s reserves %d", name, f.Reserved)
			}
		}
		want := []MethodThrottle{{"/*", "*", 200, 400}, {"/api/v4/token_leaks", "POST", 5, 5}, {"/auth/{proxy+}", "ANY", 1000, 1000}}
		if !slices.Equal(template.Throttles, want) {
			t.Errorf("throttles %v, want %v", template.Throttles, want)
		}
		asked, err := ReadTemplate(templateFile(t), map[string]string{"LeakConcurrency": "2", "LeakReportsPerSecond": "50"})
		if err != nil {
			t.Fatal(err)
		}
		if got := asked.Functions["leaks"].Reserved; got != 2 || asked.Throttles[1].Rate != 50 {
			t.Errorf("reserves %d, throttles %v", got, asked.Throttles)
		}
	})
	// The functions that change settings and the role of their plans know the state machine by a name; see template.yaml.
	t.Run("plans start the machine that there is", func(t *testing.T) {
		arn := template.StateMachines["lifetime"].ARN
		for _, function := range []string{"settings", "web"} {
			if got := template.Functions[function].Environment["LIFETIME_RUN_ARN"]; got != arn || arn == "" {
				t.Errorf("what %s plans is %q, the machine %q", function, got, arn)
			}
		}
		raw, err := os.ReadFile(templateFile(t))
		if err != nil {
			t.Fatal(err)
		}
		// What the role may start. An alias stands for what is planned by the API and on the page.
		if text := "Action: states:StartExecution, Resource: *run }"; !strings.Contains(string(raw), text) {
			t.Errorf("not in the template: %s", text)
		}
	})
	t.Run("scans start at one and two o'clock through their state machines", func(t *testing.T) {
		want := []Schedule{{Function: "endings", Every: time.Minute}, {Function: "expired", At: 2 * time.Hour}, {Function: "expiring", At: time.Hour}}
		if !slices.Equal(template.Schedules, want) {
			t.Errorf("schedules = %v, want %v", template.Schedules, want)
		}
		for _, function := range append(slices.Clone(scans), "lifetime") {
			m := template.StateMachines[function]
			want := map[string]string{"FunctionArn": functionARN(function), "ShardCount": "16", "ScanConcurrency": "4"}
			if m.Function != function || !maps.Equal(m.Substitutions, want) {
				t.Errorf("%s = %+v", function, m)
			}
			if text, err := m.Definition(); err != nil || strings.Contains(text, "${") || !strings.Contains(text, functionARN(function)) {
				t.Errorf("%s: definition of %d characters, %v", function, len(text), err)
			}
		}
	})
}

// Nobody can be told without a sender. Tokens beyond a changed limit end all the same.
func TestProductTemplateWithoutSender(t *testing.T) {
	template, err := ReadTemplate(templateFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bounces", "expired", "expiring", "leakmails"} {
		if _, deployed := template.Functions[name]; deployed {
			t.Errorf("%s is deployed", name)
		}
	}
	if url := template.Functions["leaks"].Environment["LEAK_QUEUE_URL"]; url != "" || len(template.Mappings) != 0 {
		t.Errorf("reports are queued at %s, for %v", url, template.Mappings)
	}
	if !slices.Equal(template.Schedules, []Schedule{{Function: "endings", Every: time.Minute}}) || len(template.StateMachines) != 1 || template.StateMachines["lifetime"].Function != "lifetime" {
		t.Errorf("schedules %v, state machines %v", template.Schedules, template.StateMachines)
	}
}

// Nothing is told to other systems without a bus, and with one the function may put its own events on that.
func TestProductTemplateWithoutABus(t *testing.T) {
	without, err := ReadTemplate(templateFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, deployed := without.Functions["events"]; deployed || len(without.Streams) != 0 {
		t.Errorf("events is deployed, for %+v", without.Streams)
	}
	with := productTemplate(t)
	m := mappingOf(t, with, "events")
	if m.Function != "events" || !m.Partial || !m.Bisect || m.Age != 12*time.Hour || with.Queues[m.DeadLetters].URL == "" {
		t.Errorf("the mapping is %+v", m)
	}
	for _, test := range []struct {
		pk, sk, sessions string
		pass             []string
	}{
		{"TOKEN#x", "TOKEN", "", []string{"INSERT", "MODIFY"}},
		{"USER#1", "PROFILE", "", []string{"REMOVE"}}, // a new token changes it
		{"USER#1", "PROFILE", "1", []string{"MODIFY", "REMOVE"}},
		{"USER#1", "PROFILE", "90", []string{"MODIFY", "REMOVE"}},
		{"USER#1", "TOKEN#0000000004194305", "", nil},
		{"USER#1", "NOTE", "", nil},
		{"PROJECT#1", "PROFILE", "", nil},
		{"SETTINGS", "APPLICATION", "", []string{"INSERT", "MODIFY"}},
		{"SETTINGS", "FEATURE#x", "", nil},
		{"AUDIT#USER#1", "0000000000000001#x", "", nil},
		{"FAMILY#1", "CURRENT", "", nil},
	} {
		text := func(s string) map[string]any { return map[string]any{"S": s} }
		change := map[string]any{"Keys": map[string]any{"pk": text(test.pk), "sk": text(test.sk)}, "NewImage": map[string]any{"pk": text(test.pk)}}
		if test.sessions != "" {
			change["NewImage"] = map[string]any{"session_number": map[string]any{"N": test.sessions}}
		}
		for _, name := range []string{"INSERT", "MODIFY", "REMOVE"} {
			record := map[string]any{"eventName": name, "dynamodb": change}
			if got := slices.ContainsFunc(m.Filters, func(p Pattern) bool { return p.Matches(record) }); got != slices.Contains(test.pass, name) {
				t.Errorf("%s of %s / %s with the session number %q passes the filter: %t", name, test.pk, test.sk, test.sessions, got)
			}
		}
	}
	if got := with.Functions["events"].Environment; got["EVENT_BUS"] != "default" || len(with.Functions["events"].Deployment) != 0 {
		t.Errorf("environment %v", got)
	}
}

func mappingOf(t *testing.T, template *Template, function string) StreamMapping {
	t.Helper()
	for _, m := range template.Streams {
		if m.Function == function {
			return m
		}
	}
	t.Fatalf("no mapping of %s in %+v", function, template.Streams)
	return StreamMapping{}
}

// leakmails hears of each token that reuse ends, once, and of no other.
func TestReuseReachesTheMails(t *testing.T) {
	text := func(s string) map[string]any { return map[string]any{"S": s} }
	record := func(pk, name string, before, after map[string]any) map[string]any {
		return map[string]any{"eventName": name, "dynamodb": map[string]any{"Keys": map[string]any{"pk": text(pk)}, "OldImage": before, "NewImage": after}}
	}
	works, reuse, asked := map[string]any{"id": text("x")}, map[string]any{"revoked_reason": text("reuse")}, map[string]any{"revoked_reason": text("request")}
	m := mappingOf(t, productTemplate(t), "leakmails")
	for name, test := range map[string]struct {
		record map[string]any
		passes bool
	}{
		"reuse":                   {record("TOKEN#x", "MODIFY", works, reuse), true},
		"a request":               {record("TOKEN#x", "MODIFY", works, asked), false},
		"a mark":                  {record("TOKEN#x", "MODIFY", reuse, reuse), false},
		"a restored copy":         {record("TOKEN#x", "INSERT", nil, reuse), false},
		"clean-up":                {record("TOKEN#x", "REMOVE", reuse, nil), false},
		"an item of another kind": {record("ENDING", "MODIFY", works, reuse), false},
	} {
		if got := slices.ContainsFunc(m.Filters, func(p Pattern) bool { return p.Matches(test.record) }); got != test.passes {
			t.Errorf("%s passes the filter: %t", name, got)
		}
	}
}

// Breaks if a table without a stream cannot be adopted, or if one with a stream sends no mails about reuse.
func TestReuseInAnAdoptedTable(t *testing.T) {
	const streamARN = "arn:aws:dynamodb:eu-central-1:000000000000:table/latchkey-old/stream/1"
	for stream, mappings := range map[string]int{"": 0, streamARN: 1} {
		template, err := ReadTemplate(templateFile(t), map[string]string{
			"SenderAddress": "latchkey@example.test", "ExistingTable": "latchkey-old", "ExistingStreamArn": stream,
			"PepperArn": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:pepper",
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(template.Streams) != mappings {
			t.Errorf("with the stream %q: mappings %+v", stream, template.Streams)
		}
	}
}

// There is a page only with an identity provider, and it may do what people may.
func TestProductTemplateWithAPage(t *testing.T) {
	without, err := ReadTemplate(templateFile(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, deployed := without.Functions["web"]; deployed || slices.ContainsFunc(without.Routes, func(r Route) bool { return r.Function == "web" }) {
		t.Error("a page that nobody can sign in to")
	}
	page := productTemplate(t).Functions["web"]
	if page.Environment["OIDC_ISSUER"] != "https://login.example.test" || page.Environment["CREATE_ACCOUNTS"] != "false" || page.Environment["OIDC_CLIENT_SECRET"] != "" {
		t.Errorf("environment %v", page.Environment)
	}
	for _, secret := range []string{"COOKIE_KEYS", "PEPPER"} {
		if !slices.Contains(page.Deployment, secret) {
			t.Errorf("%s is in the template", secret)
		}
	}
	var got []string
	for _, p := range page.Permissions {
		if p.Log == "" {
			got = append(got, p.Action)
		}
	}
	slices.Sort(got)
	want := []string{
		"dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan",
		"dynamodb:UpdateItem", "iam:PassRole", "scheduler:CreateSchedule", "scheduler:DeleteSchedule",
	}
	if !slices.Equal(slices.Compact(got), want) {
		t.Errorf("may %v, want %v", got, want)
	}
	pool, err := ReadTemplate(templateFile(t), map[string]string{"CreateUserPool": "true", "PublicUrl": "https://tokens.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	if page := pool.Functions["web"]; !slices.Contains(page.Deployment, "OIDC_ISSUER") || !slices.Contains(page.Deployment, "OIDC_CLIENT_ID") {
		t.Errorf("with a pool: left to the deployment are %v", page.Deployment)
	}
}

// The routes of the real template, by the path a client sends.
func TestProductRoutes(t *testing.T) {
	template := productTemplate(t)
	var event map[string]any
	api := template.API(nil)
	api.Functions = map[string]handler{}
	for name := range template.Functions {
		api.Functions[name] = recording(name, &event)
	}
	gateway, err := NewGateway(api)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/api/v4/personal_access_tokens", "tokens"},
		{"GET", "/api/v4/personal_access_tokens/", "tokens"},
		{"GET", "/api/v4/personal_access_tokens/self", "tokens"},
		{"GET", "/api/v4/personal_access_tokens/self/associations", "tokens"},
		{"POST", "/api/v4/personal_access_tokens/self/rotate", "issue"},
		{"POST", "/api/v4/personal_access_tokens//7/rotate/", "issue"},
		{"DELETE", "/api/v4/personal_access_tokens/7", "revoke"},
		{"PATCH", "/api/v4/personal_access_tokens/7", "tokens"},
		{"GET", "/api/v4/features/", "settings"},
		{"POST", "/api/v4/features//resource_access_token", "settings"},
		{"DELETE", "/api/v4/features/resource_access_token", "settings"},
		{"POST", "/api/v4/admin/token", "tokens"},
		{"DELETE", "/api/v4/admin/token", "revoke"},
		{"POST", "/api/v4/user/personal_access_tokens", "issue"},
		{"GET", "/api/v4/user/personal_access_tokens", "directory"},
		{"POST", "/api/v4/users/7/personal_access_tokens", "issue"},
		{"GET", "/api/v4/users/7/personal_access_tokens", "directory"},
		{"POST", "/api/v4/projects/7/access_tokens", "issue"},
		{"POST", "/api/v4/projects/acme%2Fweb/access_tokens", "issue"},
		{"POST", "/api/v4/projects/acme%2Fweb%2Eold/access_tokens/self/rotate", "issue"},
		{"POST", "/api/v4/groups/acme%2Fsub/access_tokens/7/rotate", "issue"},
		{"GET", "/api/v4/projects/acme%2Fweb/access_tokens/", "tokens"},
		{"GET", "/api/v4/groups/7/access_tokens/8", "tokens"},
		{"PATCH", "/api/v4/groups/7/access_tokens", "tokens"},
		{"DELETE", "/api/v4/projects/acme%2Fweb/access_tokens/8", "revoke"},
		{"DELETE", "/api/v4/groups/7/access_tokens/8", "revoke"},
		{"GET", "/api/v4/user", "directory"},
		{"GET", "/api/v4/users?username=ada", "directory"},
		{"GET", "/api/v4/users/", "directory"},
		{"PUT", "/api/v4/users/7", "directory"},
		{"POST", "/api/v4/users/7/block", "directory"},
		{"POST", "/api/v4/projects", "directory"},
		{"GET", "/api/v4/projects/", "directory"},
		{"GET", "/api/v4/projects/acme%2Fweb", "directory"},
		{"GET", "/api/v4/groups/acme%2Fsub%2Ftools", "directory"},
		{"PUT", "/api/v4/projects/acme%2Fweb%2Eold/members/7", "directory"},
		{"GET", "/api/v4/groups/7/members/all/8", "directory"},
		{"GET", "/api/v4/groups/7/projects", "directory"},
		{"GET", "/api/v4/users/7/projects", "directory"},
		{"POST", "/api/v4/token_leaks", "leaks"},
		{"GET", "/api/v4/token_leaks/", "leaks"},
		{"GET", "/api/v4/version", "settings"},
		{"GET", "/api/v4/version/", "settings"},
		{"GET", "/", "settings"},
		{"GET", "/api/v4/features//some_flag", "settings"},
		{"HEAD", "/nothing/here", "settings"},
		{"GET", "/-/", "web"},
		{"GET", "/-/sign_in?return_to=%2F-%2F", "web"},
		{"POST", "/-/user_settings/personal_access_tokens", "web"},
		{"GET", "/acme/-/settings/access_tokens", "settings"},
		{"GET", "/auth/nginx", "introspect"},
		{"PUT", "/auth/envoy/api/api/v4/user", "introspect"},
		{"GET", "/auth/envoy/api/a%2Fb//c/../d;e/", "introspect"},
		{"GET", "/auth/envoy/git/-/x", "introspect"},
		{"POST", "/oauth/introspect", "introspect"},
		{"GET", "/oauth/introspect/", "introspect"},
		{"GET", "/oauth/token", "settings"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			got := send(t, gateway, test.method, test.path, "", nil)
			if got.status != 200 || got.body != test.want {
				t.Errorf("%d %s, want %s", got.status, got.body, test.want)
			}
			if path, _, _ := strings.Cut(test.path, "?"); event["path"] != path {
				t.Errorf("event path = %v", event["path"])
			}
		})
	}
}

func TestReadTemplate(t *testing.T) {
	read := func(text string, parameters map[string]string) (*Template, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadTemplate(file, parameters)
	}
	const source = `
Parameters: { Stage: { Default: one }, Seconds: { Default: 7 } }
Globals: { Function: { Timeout: 11, Environment: { Variables: { A: global, B: !Ref Stage } } } }
Resources:
  Bucket: { Type: AWS::S3::Bucket, Properties: { Timeout: [not, a, number] } }
  Api:
    Type: AWS::Serverless::Api
    Properties: { StageName: !Ref Stage, BinaryMediaTypes: [image/png] }
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: build/first/
      Environment: { Variables: { A: own, C: !Sub "x-${Seconds}", D: !GetAtt Bucket.Arn, E: !Sub "${Bucket}", G: !If [x, y, z] } }
      Events: { One: { Type: Api, Properties: { Path: /a, Method: get } }, Other: { Type: Schedule } }
  G:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: build/second, Timeout: 2 }
`
	t.Run("globals, parameters and events", func(t *testing.T) {
		got, err := read(source, map[string]string{"Stage": "two"})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"A": "own", "B": "two", "C": "x-7"}; !maps.Equal(got.Functions["first"].Environment, want) {
			t.Errorf("environment = %v, want %v", got.Functions["first"].Environment, want)
		}
		if first, second := got.Functions["first"].Timeout, got.Functions["second"].Timeout; first != 11*time.Second || second != 2*time.Second {
			t.Errorf("timeouts = %s, %s", first, second)
		}
		if want := []Route{{"GET", "/a", "first"}}; !slices.Equal(got.Routes, want) {
			t.Errorf("routes = %v", got.Routes)
		}
		if got, want := got.Functions["first"].Deployment, []string{"D", "E", "G"}; !slices.Equal(got, want) {
			t.Errorf("left to the deployment: %v, want %v", got, want)
		}
		if got.Stage != "two" || !slices.Equal(got.BinaryMediaTypes, []string{"image/png"}) {
			t.Errorf("stage %q, binary %v", got.Stage, got.BinaryMediaTypes)
		}
	})
	const machine = `
  M: { Type: AWS::Serverless::StateMachine, Properties: { DefinitionUri: m.json, DefinitionSubstitutions: { Arn: !GetAtt F.Arn, N: !Ref Seconds } } }`
	schedule := func(target, expression, zone string) string {
		return source + machine + `
  A: { Type: AWS::Scheduler::Schedule, Properties: { ScheduleExpression: "` + expression + `", ScheduleExpressionTimezone: ` + zone + `, Target: { Arn: !Ref ` + target + `, Input: '{"time":"<aws.scheduler.scheduled-time>"}' } } }`
	}
	t.Run("state machines and schedules", func(t *testing.T) {
		got, err := read(schedule("M", "cron(59 23 * * ? *)", "UTC"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []Schedule{{Function: "first", At: 24*time.Hour - time.Minute}}; !slices.Equal(got.Schedules, want) {
			t.Errorf("schedules = %v, want %v", got.Schedules, want)
		}
		m := got.StateMachines["first"]
		if err := os.WriteFile(m.File, []byte(`"${N} ${Arn}"`), 0o600); err != nil {
			t.Fatal(err)
		}
		if text, err := m.Definition(); err != nil || text != `"7 `+functionARN("first")+`"` {
			t.Errorf("definition %s, %v", text, err)
		}
		if err := os.WriteFile(m.File, []byte(`"${Other}"`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Definition(); err == nil {
			t.Error("a name without a substitution is no error")
		}
	})
	for name, test := range map[string]struct {
		source     string
		parameters map[string]string
	}{
		"schedule of no machine":            {schedule("Bucket", "cron(0 1 * * ? *)", "UTC"), nil},
		"schedule with another input":       {strings.Replace(schedule("M", "cron(0 1 * * ? *)", "UTC"), "scheduled-time", "execution-id", 1), nil},
		"schedule on weekdays":              {schedule("M", "cron(0 1 ? * MON *)", "UTC"), nil},
		"schedule at a rate":                {schedule("M", "rate(1 day)", "UTC"), nil},
		"schedule in another zone":          {schedule("M", "cron(0 1 * * ? *)", "Europe/Berlin"), nil},
		"schedule at the 24th hour":         {schedule("M", "cron(0 24 * * ? *)", "UTC"), nil},
		"schedule at the 60th minute":       {schedule("M", "cron(60 1 * * ? *)", "UTC"), nil},
		"machine without a function":        {source + "  M: { Type: AWS::Serverless::StateMachine, Properties: { DefinitionUri: m.json } }", nil},
		"substitution that nobody can make": {source + "  M: { Type: AWS::Serverless::StateMachine, Properties: { DefinitionUri: m.json, DefinitionSubstitutions: { A: !GetAtt Bucket.Arn } } }", nil},
		"unknown parameter":                 {source, map[string]string{"Typo": "x"}},
		"not YAML":                          {"\t", nil},
		"condition that nobody can decide":  {"Conditions: { C: !Equals [!Ref AWS::Unknown, x] }\nResources: { F: { Type: AWS::Serverless::Function, Condition: C, Properties: { CodeUri: build/f } } }", nil},
		"second API":                        {source + "  B: { Type: AWS::Serverless::Api, Properties: { StageName: two } }", nil},
		"policies and no role":              {source + "  H: { Type: AWS::Serverless::Function, Properties: { CodeUri: build/h, Policies: [AdministratorAccess] } }", nil},
		"role of somebody else":             {source + "  H: { Type: AWS::Serverless::Function, Properties: { CodeUri: build/h, Role: !GetAtt Bucket.Arn } }", nil},
		"policy of somebody else": {source + "  R: { Type: AWS::IAM::Role, Properties: { ManagedPolicyArns: [arn:aws:iam::aws:policy/AdministratorAccess] } }\n" +
			"  H: { Type: AWS::Serverless::Function, Properties: { CodeUri: build/h, Role: !GetAtt R.Arn } }", nil},
		"no code":       {"Resources: { F: { Type: AWS::Serverless::Function, Properties: { Timeout: 1 } } }", nil},
		"unknown stage": {"Resources: { A: { Type: AWS::Serverless::Api, Properties: { StageName: !Ref Absent } } }", nil},
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			if _, err := read(test.source, test.parameters); err == nil {
				t.Error("no error")
			}
		})
	}
}

// CloudFormation refuses the parameters, and so does everything that reads the template here. If this
// fails, a kept simple response answers requests for other methods and paths.
func TestTheTemplateRefusesACacheOfSimpleResponses(t *testing.T) {
	for _, test := range []struct {
		seconds, response string
		refused           bool
	}{
		{"0", "simple", false}, {"0", "policy", false}, {"300", "policy", false}, {"300", "simple", true}, {"1", "", true},
	} {
		given := map[string]string{"AuthorizerCacheSeconds": test.seconds}
		if test.response != "" {
			given["AuthorizerHttpApiResponse"] = test.response
		}
		_, err := ReadTemplate(templateFile(t), given)
		if (err != nil) != test.refused || err != nil && !strings.Contains(err.Error(), "KeptAnswersArePolicies") {
			t.Errorf("%v: %v", given, err)
		}
	}
}

// People read this file first, and CloudFormation's console shows it. What has no route belongs in infra.
func TestTheTemplateStaysShort(t *testing.T) {
	t.Parallel()
	const most = 48_000 // bytes
	file, err := os.Stat(templateFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if file.Size() > most {
		t.Errorf("template.yaml has %d bytes, more than %d: move what has no route to a template in infra", file.Size(), most)
	}
}
