// Package telemetry provides the logger and the metrics of a function.
//
// Start with Logger. Logs are JSON lines; metrics are log lines too, in CloudWatch's embedded
// metric format, so that counting costs no request. The package does not inspect its input. The
// types in package secret and the callers promise that it contains no bearer, digest or mail
// address.
package telemetry

import (
	"encoding/json"
	"io"
	standard "log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Logger returns the logger of a function. It writes JSON lines to standard output, where Lambda
// collects them.
func Logger(function string) *slog.Logger { return NewLogger(os.Stdout, function) }

// NewLogger is Logger with another destination.
func NewLogger(w io.Writer, function string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil)).With("function", function)
}

// Fatal logs an error with a type of ours and exits. It is for mains, before the first event.
func Fatal(log *slog.Logger, message, errorType string, err error) {
	log.Error(message, "error_type", errorType, "error", err.Error())
	os.Exit(1)
}

// CaptureStandardLog makes the standard library's logger write JSON lines through log. The Lambda
// runtime reports there, behind a date, the error of an invocation and why it ends the process.
func CaptureStandardLog(log *slog.Logger) {
	standard.SetFlags(0)
	standard.SetOutput(captured{log})
}

// captured is the output of the standard library's logger, which makes one call for each line.
type captured struct{ log *slog.Logger }

func (c captured) Write(line []byte) (int, error) {
	var reported struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(line, &reported); err != nil || reported.Type == "" {
		c.log.Error("runtime reported", "error_type", "Runtime", "reason", strings.TrimSuffix(string(line), "\n"))
	} else {
		c.log.Error("invocation failed", "error_type", reported.Type, "reason", reported.Message)
	}
	return len(line), nil
}

// Metrics counts events. It is safe for concurrent use.
type Metrics struct {
	Log *slog.Logger
	// Stage is the deployment's name, a dimension of every metric.
	Stage string
	// Function is the function's name, a dimension of every metric.
	Function string
	// Now stamps the metric; CloudWatch wants the time of the event.
	Now func() time.Time
}

const namespace = "Latchkey"

// Count adds one to a metric under a code, for example BearersRefused under "expired". A code is
// one of a few fixed words, never an id.
func (m Metrics) Count(metric, code string) {
	m.write("metric counted", []string{"Stage", "Function", "Code"}, map[string]float64{metric: 1}, "Code", code)
}

// Put writes measured values. A name that ends in Duration is in milliseconds, every other one is a
// count. It also writes zeros, so that missing values indicate a failure.
func (m Metrics) Put(values map[string]float64) {
	m.write("metrics put", []string{"Stage", "Function"}, values)
}

// write logs values in the embedded metric format (CloudWatch user guide,
// "Specification: Embedded metric format").
func (m Metrics) write(message string, dimensions []string, values map[string]float64, attrs ...any) {
	attrs = append(attrs, "Stage", m.Stage, "Function", m.Function)
	metrics := make([]map[string]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		unit := "Count"
		if strings.HasSuffix(name, "Duration") {
			unit = "Milliseconds"
		}
		metrics = append(metrics, map[string]string{"Name": name, "Unit": unit})
		attrs = append(attrs, name, values[name])
	}
	attrs = append(attrs, "_aws", map[string]any{
		"Timestamp": m.Now().UnixMilli(),
		"CloudWatchMetrics": []map[string]any{{
			"Namespace": namespace, "Dimensions": [][]string{dimensions}, "Metrics": metrics,
		}},
	})
	m.Log.Info(message, attrs...)
}
