// Package upgradetest_test serves tables that an earlier release wrote with the present code.
//
// The tables in testdata are frozen: each has the raw items, and what the release that wrote them answered
// to every bearer and every list. WRITE_TABLES=1 writes them anew, with the present code. Do that for a new
// file of a new release only. A file that is there is what somebody's table looks like.
package upgradetest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var large = flag.Bool("large", false, "serve the table with 10,000 tokens as well")

// servedAt is when the answers were recorded: some tokens have expired, and some overlaps have ended.
var servedAt = localtest.Now.Add(3 * 24 * time.Hour)

// scannedAt is the next run of the scans.
const scannedAt = "2026-03-23T01:00:00Z"

// An answer is what the release that wrote a table said to a bearer.
type answer struct {
	Bearer string
	Checks []int // the statuses at the doors
}

// A release is a table, and what the release that wrote it answered.
type release struct {
	Items   []json.RawMessage
	Answers []answer
	// Lists are ids and states of tokens, by path.
	Lists map[string][]listed
	// Mails are the receivers of the mails of the next scans.
	Mails map[string][]string
}

type listed struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Revoked bool   `json:"revoked"`
	Active  bool   `json:"active"`
	Expires string `json:"expires_at"`
}

// Breaks if an upgrade loses a token, ends one, lets an ended one pass, or forgets whom to warn.
func TestTablesOfEarlierReleases(t *testing.T) {
	t.Parallel()
	for file, tokens := range map[string]int{"0.1-500.json.gz": 500, "0.1-10000.json.gz": 10_000, "0.2-500.json.gz": 500, "0.2-10000.json.gz": 10_000} {
		if tokens > 500 && !*large {
			continue
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", file)
			if os.Getenv("WRITE_TABLES") == "1" {
				write(t, path, tokens)
			}
			old := read(t, path)
			s := serve(t, old)
			if len(old.Answers) < tokens {
				t.Errorf("%d answers for %d tokens", len(old.Answers), tokens)
			}
			wrong := 0
			for _, a := range old.Answers {
				if got := s.checks(a.Bearer); !slices.Equal(got, a.Checks) {
					if wrong++; wrong <= 10 {
						t.Errorf("a bearer that was answered %v is answered %v", a.Checks, got)
					}
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d bearers are answered otherwise", wrong, len(old.Answers))
			}
			for path, want := range old.Lists {
				if got := s.list(path); !slices.Equal(got, want) {
					t.Errorf("%s: %d tokens, want %d:\n%v\nwant\n%v", path, len(got), len(want), got, want)
				}
			}
			for kind, want := range old.Mails {
				if got := s.scan(kind); !slices.Equal(got, want) {
					t.Errorf("%s: %d mails, want %d", kind, len(got), len(want))
				}
			}
		})
	}
}

// serve starts a Latchkey on an old table. It makes other bearers than the one that wrote the table.
func serve(t *testing.T, old release) *served {
	t.Helper()
	s := start(t, 2)
	for batch := range slices.Chunk(old.Items, 25) {
		s.call("BatchWriteItem", map[string]any{"RequestItems": map[string]any{s.Table: puts(batch)}})
	}
	// What this release has put into a new table is not in an old one.
	s.call("DeleteItem", map[string]any{"TableName": s.Table, "Key": map[string]any{"pk": map[string]string{"S": "DIRECTORY#TOKENS"}, "sk": map[string]string{"S": "COMPLETE"}}})
	s.Clock.Set(servedAt)
	return s
}

func puts(items []json.RawMessage) (requests []any) {
	for _, item := range items {
		requests = append(requests, map[string]any{"PutRequest": map[string]any{"Item": item}})
	}
	return requests
}

// A served table is in an engine whose raw protocol the test speaks, so that no type of the store is between.
type served struct {
	*localtest.World
	t      *testing.T
	engine *engine.Engine
}

// start starts a Latchkey. The bearers that it makes follow from the seed.
func start(t *testing.T, seed byte) *served {
	t.Helper()
	e := engine.New()
	return &served{localtest.Start(t, localtest.Options{Client: e.Client, Random: rand.NewChaCha8([32]byte{seed})}), t, e}
}

// call makes a raw request to the engine.
func (s *served) call(operation string, body any) []byte {
	s.t.Helper()
	raw, err := json.Marshal(body)
	check(s.t, err)
	request := httptest.NewRequestWithContext(s.t.Context(), "POST", "/", bytes.NewReader(raw))
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	recorder := httptest.NewRecorder()
	s.engine.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", operation, recorder.Code, recorder.Body)
	}
	return recorder.Body.Bytes()
}

// checks returns the statuses of a bearer behind the authorizer and at the API.
func (s *served) checks(bearer string) []int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), "GET", s.URL+"/sample/orders", nil)
	check(s.t, err)
	request.Header.Set("Authorization", "Bearer "+bearer)
	return []int{s.Send(s.t, request).Status, s.Do(s.t, bearer, "GET", "/api/v4/user", "").Status}
}

func (s *served) list(path string) (all []listed) {
	s.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for page := 1; ; page++ {
		var tokens []listed
		s.want(http.StatusOK, localtest.AdminBearer, "GET", fmt.Sprintf("%s%sper_page=100&page=%d", path, separator, page), "", &tokens)
		all = append(all, tokens...)
		if len(tokens) < 100 {
			return all
		}
	}
}

// scan returns the receivers of the mails of a scan, in the order of the alphabet.
func (s *served) scan(kind string) (receivers []string) {
	s.t.Helper()
	sent := len(s.Mailbox.Mails())
	for shard := range 16 {
		for done := false; !done; {
			out, err := s.Functions[kind].Invoke(s.t.Context(), fmt.Appendf(nil, `{"time":%q,"shard":%d}`, scannedAt, shard))
			check(s.t, err)
			done = strings.Contains(string(out), `"done":true`)
		}
	}
	mails := s.Mailbox.Mails() // the newest first
	for _, mail := range mails[:len(mails)-sent] {
		receivers = append(receivers, mail.To...)
	}
	slices.Sort(receivers)
	return receivers
}

func (s *served) want(status int, bearer, method, path, body string, into any) {
	s.t.Helper()
	got := s.Do(s.t, bearer, method, path, body)
	if got.Status != status {
		s.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
	}
	if into != nil {
		check(s.t, json.Unmarshal([]byte(got.Body), into))
	}
}

type made struct {
	ID    int64  `json:"id"`
	Token string `json:"token"`
}

// write makes a table with tokens in every state, asks for everything, and writes both.
func write(t *testing.T, path string, tokens int) {
	t.Helper()
	s := start(t, 1)
	release := release{Lists: map[string][]listed{}, Mails: map[string][]string{}}
	keep := func(m made) made {
		release.Answers = append(release.Answers, answer{Bearer: m.Token})
		return m
	}
	var blocked, swept []int64
	for n := 0; len(release.Answers) < tokens; n++ {
		name := fmt.Sprintf("user-%d", n)
		var user made
		s.want(http.StatusCreated, localtest.AdminBearer, "POST", "/api/v4/users",
			fmt.Sprintf(`{"username":%q,"name":%q,"email":"%s@example.test","force_random_password":true}`, name, name, name), &user)
		ofUser := fmt.Sprintf("/api/v4/users/%d", user.ID)
		create := func(path, name, more string) made {
			var m made
			s.want(http.StatusCreated, localtest.AdminBearer, "POST", path, fmt.Sprintf(`{"name":%q,"scopes":["api"]%s}`, name, more), &m)
			return keep(m)
		}
		rotate := func(m made, body string) made {
			var next made
			s.want(http.StatusOK, localtest.AdminBearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", m.ID), body, &next)
			return keep(next)
		}
		personal := ofUser + "/personal_access_tokens"
		for _, day := range []string{"2026-03-21", "2026-03-22", "2026-03-24", "2026-03-29", "2026-04-18", "2026-09-01", "2027-03-01"} {
			create(personal, "until "+day, fmt.Sprintf(`,"expires_at":%q`, day))
		}
		create(personal, "networks", `,"expires_at":"2026-09-01","allowed_cidrs":["127.0.0.0/8","192.0.2.0/24"]`)
		rotate(rotate(create(personal, "chain", ""), `{"expires_at":"2026-09-01"}`), `{"expires_at":"2026-09-02"}`)
		rotate(create(personal, "overlap that is over", `,"expires_at":"2026-09-01"`), `{"expires_at":"2026-09-01","overlap_seconds":60}`)
		s.want(http.StatusNoContent, localtest.AdminBearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", create(personal, "revoked", "").ID), "", nil)
		s.want(http.StatusNoContent, "", "POST", "/api/v4/token_leaks",
			fmt.Sprintf(`{"tokens":[%q],"source":"https://git.example.test"}`, create(personal, "leaked", "").Token), nil)
		create(ofUser+"/impersonation_tokens", "impersonation", `,"expires_at":"2026-09-01"`)
		chosen := fmt.Sprintf("chosen-value-of-%s-%020d", name, n)
		_, err := s.Functions["issue"].Invoke(t.Context(), fmt.Appendf(nil, `{"action":"create_token","username":%q,"name":"chosen","scopes":["api"],"value":%q}`, name, chosen))
		check(t, err)
		keep(made{Token: chosen})
		var project made
		s.want(http.StatusCreated, localtest.AdminBearer, "POST", "/api/v4/projects", fmt.Sprintf(`{"name":%q,"path":%q}`, name, "p-"+name), &project)
		s.want(http.StatusCreated, localtest.AdminBearer, "POST", fmt.Sprintf("/api/v4/projects/%d/members", project.ID), fmt.Sprintf(`{"user_id":%d,"access_level":40}`, user.ID), nil)
		ofProject := fmt.Sprintf("/api/v4/projects/%d/access_tokens", project.ID)
		create(ofProject, "bot", `,"expires_at":"2026-09-01","access_level":30`)
		create(ofProject, "bot that expires", `,"expires_at":"2026-03-24"`)
		s.want(http.StatusNoContent, localtest.AdminBearer, "DELETE", fmt.Sprintf("%s/%d", ofProject, create(ofProject, "revoked bot", "").ID), "", nil)
		s.checks(release.Answers[len(release.Answers)-2].Bearer) // a last use
		release.Lists["/api/v4/personal_access_tokens?user_id="+fmt.Sprint(user.ID)] = nil
		release.Lists[ofUser+"/impersonation_tokens"], release.Lists[ofProject] = nil, nil
		switch n % 5 {
		case 1:
			blocked = append(blocked, user.ID)
		case 2:
			swept = append(swept, user.ID)
		}
	}
	for _, id := range swept { // and one token made afterwards
		s.want(http.StatusNoContent, localtest.AdminBearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", id), "", nil)
	}
	s.Clock.Set(servedAt.Add(-time.Hour))
	for n, list := range [][]int64{swept, blocked} {
		for _, id := range list {
			var old, next made
			ofUser := fmt.Sprintf("/api/v4/users/%d", id)
			s.want(http.StatusCreated, localtest.AdminBearer, "POST", ofUser+"/personal_access_tokens", `{"name":"late","scopes":["api"],"expires_at":"2026-09-01"}`, &old)
			s.want(http.StatusOK, localtest.AdminBearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", old.ID), `{"expires_at":"2026-09-01","overlap_seconds":86400}`, &next)
			keep(old)
			keep(next)
			if n == 1 {
				s.want(http.StatusCreated, localtest.AdminBearer, "POST", ofUser+"/block", "", nil)
			}
		}
	}
	s.Clock.Set(servedAt)
	release.Items = s.items()
	for i, a := range release.Answers {
		release.Answers[i].Checks = s.checks(a.Bearer)
	}
	for path := range release.Lists {
		release.Lists[path] = s.list(path)
	}
	for _, kind := range []string{"expiring", "expired"} {
		release.Mails[kind] = s.scan(kind)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	check(t, err)
	check(t, json.NewEncoder(w).Encode(release))
	check(t, w.Close())
	check(t, os.WriteFile(path, packed.Bytes(), 0o600))
}

// items returns everything in the table but the audit events, which nothing here reads.
func (s *served) items() (all []json.RawMessage) {
	s.t.Helper()
	request := map[string]any{"TableName": s.Table}
	for {
		var page struct {
			Items            []json.RawMessage
			LastEvaluatedKey json.RawMessage
		}
		check(s.t, json.Unmarshal(s.call("Scan", request), &page))
		for _, item := range page.Items {
			if !bytes.Contains(item, []byte(`"AUDIT#`)) {
				all = append(all, item)
			}
		}
		if page.LastEvaluatedKey == nil {
			return all
		}
		request["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}

func read(t *testing.T, path string) (old release) {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer file.Close()
	unpacked, err := gzip.NewReader(bufio.NewReader(file))
	check(t, err)
	check(t, json.NewDecoder(unpacked).Decode(&old))
	return old
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
