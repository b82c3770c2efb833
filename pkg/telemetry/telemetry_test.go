package telemetry_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/secret"
	"latchkey/pkg/telemetry"
)

func metrics(out *bytes.Buffer) telemetry.Metrics {
	return telemetry.Metrics{
		Log: telemetry.NewLogger(out, "issue"), Stage: "prod", Function: "issue",
		Now: func() time.Time { return time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC) },
	}
}

// line decodes the one line that was logged, without the time it was logged.
func line(t *testing.T, out *bytes.Buffer) map[string]any {
	t.Helper()
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines, want 1: %s", n, out)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "time")
	return fields
}

func same(t *testing.T, got map[string]any, want string) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(want), &fields); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(fields)
	if !bytes.Equal(a, b) {
		t.Errorf("logged %s, want %s", a, b)
	}
}

// CloudWatch takes metrics out of lines of exactly this shape.
func TestCount(t *testing.T) {
	var out bytes.Buffer
	metrics(&out).Count("BearersRefused", "expired")
	same(t, line(t, &out), `{
		"level": "INFO", "msg": "metric counted", "function": "issue",
		"Stage": "prod", "Function": "issue", "Code": "expired", "BearersRefused": 1,
		"_aws": {"Timestamp": 1773907200000, "CloudWatchMetrics": [{
			"Namespace": "Latchkey", "Dimensions": [["Stage", "Function", "Code"]],
			"Metrics": [{"Name": "BearersRefused", "Unit": "Count"}]}]}}`)
}

// Zeros are written, so that silence means trouble.
func TestPut(t *testing.T) {
	var out bytes.Buffer
	metrics(&out).Put(map[string]float64{"RemindersSent": 0, "ScanDuration": 12})
	same(t, line(t, &out), `{
		"level": "INFO", "msg": "metrics put", "function": "issue",
		"Stage": "prod", "Function": "issue", "RemindersSent": 0, "ScanDuration": 12,
		"_aws": {"Timestamp": 1773907200000, "CloudWatchMetrics": [{
			"Namespace": "Latchkey", "Dimensions": [["Stage", "Function"]],
			"Metrics": [{"Name": "RemindersSent", "Unit": "Count"}, {"Name": "ScanDuration", "Unit": "Milliseconds"}]}]}}`)
}

func TestLogsShowNoBearer(t *testing.T) {
	bearer, err := secret.Format{}.Choose("token-string-here123")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	telemetry.NewLogger(&out, "issue").Info("told too much", "bearer", bearer, "all", []any{bearer, &bearer})
	if strings.Contains(out.String(), "token-string") {
		t.Errorf("logged %s", out.String())
	}
}

// Fatal is for mains only, so it is tried in a process of its own.
func TestFatalLogsAndEnds(t *testing.T) {
	if os.Getenv("BE_FATAL") != "" {
		telemetry.Fatal(telemetry.Logger("issue"), "bad configuration", "ConfigurationInvalid", os.ErrNotExist)
		return
	}
	command := exec.Command(os.Args[0], "-test.run=^TestFatalLogsAndEnds$")
	command.Env = append(os.Environ(), "BE_FATAL=1")
	out, err := command.Output()
	if err == nil || !strings.Contains(string(out), `"msg":"bad configuration"`) || !strings.Contains(string(out), os.ErrNotExist.Error()) {
		t.Errorf("ended with %v after %s", err, out)
	}
}
