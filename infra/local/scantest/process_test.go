// Package scantest runs the two scans and the lifetime run as the processes that are deployed, kills them in the middle,
// and looks at what the mail service and the table have to show for it. The processes see a Lambda
// Runtime API, a DynamoDB and an SES of the test's; the table is in an embedded engine.
package scantest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is the folder with the functions' binaries.
var built string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "latchkey-scans-")
	if err != nil {
		panic(err)
	}
	built = folder
	out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", folder+string(filepath.Separator), "latchkey/functions/expiring", "latchkey/functions/expired", "latchkey/functions/lifetime").CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("build the functions: %v\n%s", err, out))
	}
	code := m.Run()
	_ = os.RemoveAll(folder) // what is left of it is the system's to clean up
	os.Exit(code)
}

// A cloud is what a process sees of the world: the Runtime API, DynamoDB and SES, all of which count
// and may kill the process at a request.
type cloud struct {
	function string
	table    *table
	timeout  time.Duration
	slowMail int // which one takes until the process has no time to begin anything more; 0 for none

	runtime, dynamodb, ses *httptest.Server
	events                 chan []byte
	results                chan result

	mu       sync.Mutex
	process  *exec.Cmd
	exited   chan struct{}
	inHand   sync.WaitGroup // requests that are being served
	life     int            // of the process; what an earlier one still asks for is not answered
	requests int
	steps    map[string]int
	kill     func(step string, n, ofKind int) bool // at the n-th request of all, and of its kind
	after    bool                                  // kill when the request has taken effect
	mails    []string                              // addresses, in order
	stops    time.Time                             // when the process begins nothing more
	log      journal                               // what the processes wrote
}

// A result is what an invocation came to.
type result struct {
	body   []byte
	failed bool
	killed bool
}

const (
	workers       = 4
	retentionDays = 1

	// reserve is the time that the functions keep for what they have begun.
	reserve = 45 * time.Second
	// patience is how long an invocation may take, on whatever machine.
	patience = 10 * time.Minute
)

// A journal is a buffer that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// killAt arms the cloud for one death.
func (c *cloud) killAt(after bool, when func(step string, n, ofKind int) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill, c.after = when, after
}

// sent returns the addresses of the mails so far.
func (c *cloud) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mails)
}

// seen returns how many requests there were.
func (c *cloud) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

func newCloud(t *testing.T, function string, on *table) *cloud {
	t.Helper()
	c := &cloud{
		function: function, table: on, timeout: 15 * time.Minute,
		events: make(chan []byte), results: make(chan result, 1), steps: map[string]int{},
	}
	c.runtime = httptest.NewServer(http.HandlerFunc(c.serveRuntime))
	c.dynamodb = httptest.NewServer(c.counted(c.serveDynamoDB))
	c.ses = httptest.NewServer(c.counted(c.serveSES))
	t.Cleanup(func() {
		c.end()
		for _, server := range []*httptest.Server{c.runtime, c.dynamodb, c.ses} {
			server.CloseClientConnections()
			server.Close()
		}
		if t.Failed() {
			t.Logf("the process logged:\n%s", c.log.String())
		}
	})
	return c
}

// start runs the function's process, unless it runs.
func (c *cloud) start(t *testing.T) {
	t.Helper()
	if c.process != nil {
		return
	}
	c.mu.Lock()
	life := c.life
	c.mu.Unlock()
	cmd := exec.Command(filepath.Join(built, c.function))
	cmd.Stdout, cmd.Stderr = &c.log, &c.log
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(c.runtime.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=" + c.function,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=latchkey", "AWS_SECRET_ACCESS_KEY=latchkey",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		fmt.Sprintf("DYNAMODB_ENDPOINT=%s/%d", c.dynamodb.URL, life), fmt.Sprintf("SES_ENDPOINT=%s/%d", c.ses.URL, life),
		"TABLE_NAME=" + c.table.name,
		"SENDER_ADDRESS=latchkey@example.com", "PUBLIC_URL=https://tokens.example.com",
		fmt.Sprintf("SHARD_COUNT=%d", shards), fmt.Sprintf("SCAN_WORKERS=%d", workers), "SCAN_CONCURRENCY=1",
		fmt.Sprintf("RETENTION_DAYS=%d", retentionDays),
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // that it was killed is known
		close(exited)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process, c.exited = cmd, exited
}

// end kills the process, waits until it is gone, and until all that it asked for is done.
func (c *cloud) end() {
	c.mu.Lock()
	process, exited := c.process, c.exited
	c.process = nil
	c.life++
	c.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Process.Kill() // it may have ended by itself
	<-exited
	c.inHand.Wait()
}

// invoke hands an event to the process, starting one if there is none, and returns what came of it.
func (c *cloud) invoke(t *testing.T, at time.Time) result {
	t.Helper()
	c.start(t)
	event, err := json.Marshal(map[string]string{"time": at.UTC().Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case c.events <- event:
	case <-c.exited:
		t.Fatalf("the process ended by itself:\n%s", c.log.String())
	case <-limit.C:
		t.Fatal("the process asks for no event")
	}
	select {
	case r := <-c.results:
		return r
	case <-c.exited:
		c.end()
		return result{killed: true}
	case <-limit.C:
		t.Fatal("the process does not answer")
	}
	return result{}
}

// serveRuntime is the part of the Lambda Runtime API that the Go runtime uses (AWS Lambda Developer
// Guide, "Using the Lambda runtime API").
func (c *cloud) serveRuntime(w http.ResponseWriter, r *http.Request) {
	const invocation = "/2018-06-01/runtime/invocation/"
	switch path := strings.TrimPrefix(r.URL.Path, invocation); {
	case path == "next":
		select {
		case event := <-c.events:
			deadline := time.Now().Add(c.timeout)
			c.mu.Lock()
			c.stops = deadline.Add(-reserve)
			c.mu.Unlock()
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(deadline.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:"+c.function)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
	case strings.HasSuffix(path, "/response"), strings.HasSuffix(path, "/error"):
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the process was killed
		}
		w.WriteHeader(http.StatusAccepted)
		c.results <- result{body: body, failed: strings.HasSuffix(path, "/error")}
	default:
		http.NotFound(w, r)
	}
}

// counted counts a request by the step of the scan that it is, serves it, and kills the process
// before or after that when it is told to.
func (c *cloud) counted(serve func(step string, body []byte, r *http.Request) (int, http.Header, []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		step := stepOf(r, body)
		c.mu.Lock()
		if err != nil || strings.Split(r.URL.Path, "/")[1] != strconv.Itoa(c.life) {
			c.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		c.inHand.Add(1)
		defer c.inHand.Done()
		c.requests++
		c.steps[step]++
		fatal, after := c.kill != nil && c.kill(step, c.requests, c.steps[step]), c.after
		if fatal {
			c.kill = nil
		}
		if fatal && !after {
			c.die()
		}
		c.mu.Unlock()
		if fatal && !after {
			panic(http.ErrAbortHandler)
		}
		status, header, reply := serve(step, body, r)
		if fatal {
			c.mu.Lock()
			c.die()
			c.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = w.Write(reply)
	})
}

// die kills the process; c.mu is held. Requests that others of its workers have under way go on to
// the engine, as they would.
func (c *cloud) die() {
	c.life++
	if c.process != nil {
		_ = c.process.Process.Kill() // it may have ended by itself
	}
}

// stepOf names the step of a scan that a request is.
func stepOf(r *http.Request, body []byte) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	has := func(part string) bool { return bytes.Contains(body, []byte(part)) }
	switch {
	case strings.HasSuffix(r.URL.Path, "/outbound-emails"):
		return "SendEmail"
	case strings.HasSuffix(r.URL.Path, "/account"):
		return "GetAccount"
	case operation == "BatchGetItem" && has("PROFILE"):
		return "read profiles"
	case operation == "BatchGetItem":
		return "read records"
	case operation == "GetItem" && has("PROJECT#"):
		return "read the resource"
	case operation == "Query" && has("MEMBER#"):
		return "read members"
	case operation == "Query" && has("END#"):
		return "query ended bots"
	case operation == "Query" && has("POST#"):
		return "query posts"
	case operation == "Query":
		return "query the index"
	case operation == "TransactWriteItems" && has("revoked_at"):
		return "revoke" // of a bot: with it
	case operation == "TransactWriteItems":
		return "save"
	case operation == "UpdateItem" && has("MAILS#"):
		return "count the mail"
	case operation == "UpdateItem" && has("notices"):
		return "mark"
	case operation == "UpdateItem" && has("finished_on"):
		return "set finished"
	case operation == "UpdateItem":
		return "acquire"
	case operation == "PutItem" && has("POST#"):
		return "post"
	case operation == "DeleteItem" && has("POST#"):
		return "unpost"
	case has("MAILS#"):
		return "count the mail"
	default:
		return operation
	}
}

func (c *cloud) serveDynamoDB(_ string, body []byte, r *http.Request) (int, http.Header, []byte) {
	reply := httptest.NewRecorder()
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.table.engine.ServeHTTP(reply, r) // whatever became of the process: what it has sent is done
	header := reply.Header()
	header.Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(reply.Body.Bytes()))) // without one, the SDK logs that it is wrong
	return reply.Code, header, reply.Body.Bytes()
}

func (c *cloud) serveSES(step string, body []byte, _ *http.Request) (int, http.Header, []byte) {
	header := http.Header{"Content-Type": {"application/json"}}
	if step == "GetAccount" {
		return http.StatusOK, header, []byte(`{"SendingEnabled":true,"ProductionAccessEnabled":true,"EnforcementStatus":"HEALTHY",` +
			`"SendQuota":{"Max24HourSend":-1,"MaxSendRate":100000,"SentLast24Hours":0}}`)
	}
	var mail struct {
		Destination struct{ ToAddresses []string }
	}
	if err := json.Unmarshal(body, &mail); err != nil || len(mail.Destination.ToAddresses) != 1 {
		return http.StatusBadRequest, header, []byte(`{"message":"no mail"}`)
	}
	c.mu.Lock()
	c.mails = append(c.mails, mail.Destination.ToAddresses[0])
	slow, stops := len(c.mails) == c.slowMail, c.stops
	c.mu.Unlock()
	if slow {
		time.Sleep(time.Until(stops)) // sleep: the process is on the machine's clock
	}
	return http.StatusOK, header, []byte(`{"MessageId":"1"}`)
}
