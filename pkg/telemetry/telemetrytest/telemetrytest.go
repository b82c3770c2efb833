// Package telemetrytest collects the logs and counts of functions in a test.
//
// Start with NewLogs. At the end of the test it searches all logs for bearers, digests and mail
// addresses, and fails the test if it finds one.
package telemetrytest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Logs collects log output. It is safe for concurrent use.
type Logs struct {
	mu      sync.Mutex
	all     bytes.Buffer
	from    int // start of the part that String returns
	secrets []string
}

// NewLogs returns logs that are searched for secrets at the end of the test.
func NewLogs(tb testing.TB) *Logs {
	tb.Helper()
	l := &Logs{}
	tb.Cleanup(func() { l.search(tb) })
	return l
}

func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// String returns everything that was logged since the last Reset.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all.Bytes()[l.from:])
}

// Reset makes String leave out everything up to now.
func (l *Logs) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = l.all.Len()
}

// Secret adds a value that must not be in the logs.
func (l *Logs) Secret(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, value)
}

var changing = regexp.MustCompile(`"(time|request_id)":"[^"]*"|"duration_ms":[0-9]+`)

// Lines is String with placeholders for values that differ between runs. Every line must be JSON.
func (l *Logs) Lines(tb testing.TB) string {
	tb.Helper()
	text := l.String()
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			tb.Errorf("a line that is no JSON: %s", line)
		}
	}
	return changing.ReplaceAllStringFunc(text, func(field string) string {
		name, _, _ := strings.Cut(field, ":")
		return name + `:"<` + strings.Trim(name, `"`) + `>"`
	})
}

// private matches texts that no line may show.
var private = map[string]*regexp.Regexp{
	"bearer": regexp.MustCompile(`lk(pat|prj|imp)_[0-9A-Za-z]{30,}`),
	"digest": regexp.MustCompile(`(TOKEN|IDEMPOTENCY)#[0-9A-Za-z_-]{20,}`),
	// 43 characters of base64url on their own are a digest.
	"bare digest":  regexp.MustCompile(`"[0-9A-Za-z_-]{43}"`),
	"mail address": regexp.MustCompile(`[0-9A-Za-z._+-]+@[0-9A-Za-z-]+\.[0-9A-Za-z.]+`),
}

func (l *Logs) search(tb testing.TB) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	logged := l.all.String()
	for what, pattern := range private {
		if found := pattern.FindString(logged); found != "" {
			tb.Errorf("a %s was logged: %s", what, found)
		}
	}
	for _, secret := range l.secrets {
		if strings.Contains(logged, secret) {
			tb.Errorf("a secret was logged: %s", secret)
		}
	}
}

// Counts collects counts. It is safe for concurrent use.
type Counts struct {
	mu    sync.Mutex
	total map[string]int
}

// Count adds one to a metric under a code, like telemetry.Metrics.Count.
func (c *Counts) Count(metric, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total == nil {
		c.total = map[string]int{}
	}
	c.total[metric+" "+code]++
}

// Take returns the counts since the last Take, by metric, space and code.
func (c *Counts) Take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.total
	c.total = nil
	return taken
}
