package cloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/infra/cloud"
	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
)

const scanTime = "2026-03-19T01:00:00Z"

func template(tb testing.TB, parameters map[string]string) *cloud.Template {
	tb.Helper()
	given := map[string]string{"SenderAddress": local.Sender}
	maps.Copy(given, parameters)
	t, err := cloud.ReadTemplate(filepath.Join(localtest.Root(tb), "template.yaml"), given)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// An outcome is what an execution of a state machine ended with.
type outcome struct {
	Result       any
	Error, Cause string
}

// execute runs the state machine of a scan as deployed in an independent interpreter
// (aws-local-stepfunctions), whose Lambda is the cloud at url, for each of some times at once. Only the
// lengths of pauses differ.
func execute(tb testing.TB, machine cloud.StateMachine, url string, times ...string) []outcome {
	tb.Helper()
	inputs := make([]map[string]string, len(times))
	for i, at := range times {
		inputs[i] = map[string]string{"time": at}
	}
	definition, err := machine.Definition()
	if err != nil {
		tb.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"definition": json.RawMessage(definition), "inputs": inputs,
		"waits": map[string]int{"Pause": 0, "AwaitQuota": 0}, "retries": map[string]int{"Scan": 0},
	})
	if err != nil {
		tb.Fatal(err)
	}
	folder := npmFolder(tb)
	run := node(tb, []string{
		"AWS_ENDPOINT_URL_LAMBDA=" + url, "AWS_REGION=eu-central-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "NODE_NO_WARNINGS=1",
	}, filepath.Join(localtest.Root(tb), "infra", "tools", "npm", "interpret.cjs"), folder)
	run.Stdin = bytes.NewReader(input)
	out, err := run.Output()
	if err != nil {
		tb.Fatalf("interpreter: %v", err)
	}
	var outcomes []outcome
	if err := json.Unmarshal(out, &outcomes); err != nil || len(outcomes) != len(times) {
		tb.Fatalf("interpreter: %v: %s", err, out)
	}
	return outcomes
}

// A stub is the scan for one time, which behaves as it is told and notes each call.
type stub struct {
	time string
	// behave answers a shard's nth call, from 1.
	behave func(shard, nth int) (done bool, err error)

	mu    sync.Mutex
	calls map[int]int // by shard
	order []int       // of shards
	wrong []string    // payloads that no scan expects
}

func (s *stub) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	var event struct {
		Time  string
		Shard *int
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	known := decoder.Decode(&event) == nil && event.Shard != nil && event.Time == s.time
	s.mu.Lock()
	if !known {
		s.wrong = append(s.wrong, string(payload))
		s.mu.Unlock()
		return []byte(`{"done":true}`), nil
	}
	s.calls[*event.Shard]++
	nth := s.calls[*event.Shard]
	s.order = append(s.order, *event.Shard)
	s.mu.Unlock()
	done, err := s.behave(*event.Shard, nth)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"done": done, "tokens": 1, "mails": 1, "failed": 0})
}

// scansByTime hand each call on by the time in it.
type scansByTime map[string]*stub

func (s scansByTime) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	for at, scan := range s {
		if bytes.Contains(payload, []byte(at)) {
			return scan.Invoke(ctx, payload)
		}
	}
	return nil, fmt.Errorf("a call for no scan's time: %s", payload)
}

func named(name string) error { return messages.InvokeResponse_Error{Type: name, Message: "stub"} }

// What the state machine does with each reply and each error of a scan. Promise 3 rests on it: an
// owner whose shard is not called until it is done is never told.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	const shards = 3
	times := func(n ...int) map[int]int {
		calls := map[int]int{}
		for shard, count := range n {
			calls[shard] = count
		}
		return calls
	}
	// Every shard that nothing is said about needs three calls.
	normal := func(nth int) (bool, error) { return nth == 3, nil }
	failing := func(failures int, name string) func(int, int) (bool, error) {
		return func(shard, nth int) (bool, error) {
			if shard == 1 && nth <= failures {
				return false, named(name)
			}
			if shard == 1 {
				return true, nil
			}
			return normal(nth)
		}
	}
	const always = 1000
	tests := []struct {
		name   string
		behave func(shard, nth int) (bool, error)
		calls  map[int]int
		err    string
	}{
		{"a shard is called until it is done", func(_, nth int) (bool, error) { return normal(nth) }, times(3, 3, 3), ""},
		{"every shard can fail and each is tried", func(int, int) (bool, error) { return false, named("MailPaused") }, times(1, 1, 1), "MailPaused"},
		{"a paused account is not tried again, and the other shards finish", failing(always, "MailPaused"), times(3, 1, 3), "MailPaused"},
		{"a refused sender is not tried again", failing(always, "MailSenderRefused"), times(3, 1, 3), "MailSenderRefused"},
		{"a bad event is not tried again", failing(always, "EventInvalid"), times(3, 1, 3), "EventInvalid"},
		{"a table that comes back is waited for", failing(2, "TableUnavailable"), times(3, 3, 3), ""},
		{"unsent mails are tried again", failing(8, "MailUnsent"), times(3, 9, 3), ""},
		{"throttling is tried again, with an end", failing(always, "MailThrottled"), times(3, 9, 3), "MailThrottled"},
		{"a function that Lambda cannot start is tried again", failing(10, "Lambda.TooManyRequestsException"), times(3, 11, 3), ""},
		{"any other error is tried again, with an end", failing(always, "Sandbox.Timedout"), times(3, 4, 3), "Sandbox.Timedout"},
		{"a used-up quota is waited for, longer than any try", failing(20, "MailQuotaUsedUp"), times(3, 21, 3), ""},
	}
	scans := scansByTime{}
	at := make([]string, len(tests)) // starting the interpreter is what takes time, so that all are executed at once
	for i, test := range tests {
		at[i] = fmt.Sprintf("2026-03-19T01:%02d:00Z", i)
		scans[at[i]] = &stub{time: at[i], behave: test.behave, calls: map[int]int{}}
	}
	template := template(t, map[string]string{"ShardCount": "3", "ScanConcurrency": "2"})
	outcomes := execute(t, template.StateMachines["expiring"], start(t, template, scans).URL(), at...)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			scan, got := scans[at[i]], outcomes[i]
			if got.Error != test.err {
				t.Errorf("ended with %q (%s), want %q", got.Error, got.Cause, test.err)
			}
			scan.mu.Lock()
			defer scan.mu.Unlock()
			for shard := range shards {
				if scan.calls[shard] != test.calls[shard] {
					t.Errorf("shard %d was called %d times, want %d", shard, scan.calls[shard], test.calls[shard])
				}
			}
			if len(scan.calls) != shards || len(scan.wrong) > 0 {
				t.Errorf("%d shards, unexpected payloads %s", len(scan.calls), scan.wrong)
			}
			if test.err == "" {
				return
			}
			var failures []struct {
				Shard int
				Error string
			}
			if err := json.Unmarshal([]byte(got.Cause), &failures); err != nil || len(failures) == 0 || failures[0].Error != test.err {
				t.Errorf("cause does not list the shards: %v: %s", err, got.Cause)
			}
		})
	}
}

// Shards share the account's send rate, of which each takes its part for ScanConcurrency of them.
func TestStateMachineConcurrency(t *testing.T) {
	t.Parallel()
	template := template(t, map[string]string{"ShardCount": "3", "ScanConcurrency": "1"})
	scan := &stub{time: scanTime, behave: func(_, nth int) (bool, error) { return nth == 3, nil }, calls: map[int]int{}}
	if got := execute(t, template.StateMachines["expired"], start(t, template, scan).URL(), scanTime)[0]; got.Error != "" {
		t.Fatalf("%s: %s", got.Error, got.Cause)
	}
	scan.mu.Lock()
	defer scan.mu.Unlock()
	if want := []int{0, 0, 0, 1, 1, 1, 2, 2, 2}; !slices.Equal(scan.order, want) {
		t.Errorf("order of calls %v, want %v", scan.order, want)
	}
}

// start runs a cloud in which every function is the scan.
func start(tb testing.TB, template *cloud.Template, scan lambda.Handler) *cloud.Cloud {
	tb.Helper()
	functions := map[string]lambda.Handler{}
	for name := range template.Functions {
		functions[name] = scan
	}
	cloud, err := cloud.Start(tb.Context(), cloud.Options{Template: template, Functions: functions})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			tb.Error(err)
		}
	})
	return cloud
}

// What the interpreter cannot show because its pauses are cut.
func TestStateMachineTimes(t *testing.T) {
	t.Parallel()
	template := template(t, nil)
	for _, name := range []string{"expiring", "expired"} {
		t.Run(name, func(t *testing.T) {
			text, err := template.StateMachines[name].Definition()
			if err != nil {
				t.Fatal(err)
			}
			type state struct{ Seconds, TimeoutSeconds int }
			var machine struct {
				TimeoutSeconds int
				States         struct {
					Shards struct {
						ItemProcessor struct {
							States struct{ Scan, Pause, AwaitQuota state }
						}
					}
				}
			}
			if err := json.Unmarshal([]byte(text), &machine); err != nil {
				t.Fatal(err)
			}
			states := machine.States.Shards.ItemProcessor.States
			// The next day's scan of the same kind starts after 24 hours and takes over.
			if limit := time.Duration(machine.TimeoutSeconds) * time.Second; limit <= 12*time.Hour || limit >= 24*time.Hour {
				t.Errorf("an execution may last %s", limit)
			}
			function := template.Functions[name]
			if limit := time.Duration(states.Scan.TimeoutSeconds) * time.Second; limit <= function.Timeout {
				t.Errorf("the state gives up after %s, before the function's %s are over", limit, function.Timeout)
			}
			if states.AwaitQuota.Seconds != 3600 || states.Pause.Seconds <= 0 || states.Pause.Seconds > 60 {
				t.Errorf("pauses %d and %d seconds", states.AwaitQuota.Seconds, states.Pause.Seconds)
			}
		})
	}
}

// The deployed state machine drives the real scan: every owner gets one mail, and a second execution
// sends nothing new.
func TestStateMachineDrivesTheScan(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	owners := []string{"ada", "grace", "barbara"}
	for _, username := range owners {
		newTokens(t, w, username, "2026-03-22", "2026-03-25")
	}
	machine := template(t, nil).StateMachines["expiring"]
	for _, execution := range []string{"first", "second"} {
		if got := execute(t, machine, w.URL, scanTime)[0]; got.Error != "" {
			t.Fatalf("%s execution: %s: %s", execution, got.Error, got.Cause)
		}
		var to []string
		for _, mail := range w.Mailbox.Mails() {
			to = append(to, strings.Join(mail.To, ","))
			if !strings.HasPrefix(mail.Subject, "2 access tokens expire") {
				t.Errorf("%s execution: subject %q", execution, mail.Subject)
			}
		}
		slices.Sort(to)
		want := []string{"ada@example.test", "barbara@example.test", "grace@example.test"}
		if !slices.Equal(to, want) {
			t.Errorf("after the %s execution there are mails to %v, want %v", execution, to, want)
		}
	}
}
