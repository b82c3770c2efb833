package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/runtime"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/store"
)

// coldStarts measures the authorizer's binary from the start of its process to its first answer, against
// that of a bare authorizer, and of one that reads the pepper first, all under a runtime API of our own. The table is in this process, so that
// an engine with moods of its own does not decide.
func coldStarts(ctx context.Context, r *report) error {
	root, err := tabledef.Path()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	ours, bare, reading := filepath.Join(folder, "authorizer"), filepath.Join(folder, "bare"), filepath.Join(folder, "reading")
	for binary, source := range map[string]string{ours: "./functions/authorizer", bare: "./infra/bench/bare", reading: "./infra/bench/reading"} {
		if err := buildFunction(ctx, filepath.Dir(filepath.Dir(root)), binary, source); err != nil {
			return err
		}
	}
	info, err := os.Stat(ours)
	if err != nil {
		return err
	}
	const megabyte = 1e6
	r.atMost("authorizer_mb", float64(info.Size())/megabyte, 9)

	memory := engine.New()
	table := httptest.NewServer(memory)
	defer table.Close()
	d, err := newDecision(ctx, memory.Client(store.Configure("")))
	if err != nil {
		return err
	}
	payload, err := json.Marshal(d.event)
	if err != nil {
		return err
	}
	environ := []string{
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_LAMBDA_FUNCTION_NAME=authorizer",
		"TABLE_NAME=" + tableName, "DYNAMODB_ENDPOINT=" + table.URL, "PEPPER=" + d.pepper,
	}
	secrets := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": d.pepper})
	}))
	defer secrets.Close()
	const turns, warm = 100, 300
	var ratios, times, yardsticks, reads []float64
	var peak int64
	for n := range turns {
		var took [3]time.Duration
		for c := range took {
			contender := (c + n) % len(took)
			binary, want, calls, given := ours, "Allow", 1, environ
			switch {
			case contender == 1:
				binary, want = bare, "Deny"
			case contender == 2:
				binary, given = reading, append(slices.Clone(environ), "SECRET_URL="+secrets.URL)
			case n%20 == 0:
				calls = warm
			}
			duration, memory, err := coldStart(ctx, binary, given, payload, want, calls)
			if err != nil {
				return err
			}
			if took[contender] = duration; contender != 2 {
				peak = max(peak, memory)
			}
		}
		reads = append(reads, (took[2] - took[0]).Seconds())
		ratios = append(ratios, float64(took[0])/float64(took[1]))
		times, yardsticks = append(times, took[0].Seconds()), append(yardsticks, took[1].Seconds())
	}
	for _, list := range [][]float64{ratios, times, yardsticks, reads} {
		slices.Sort(list)
	}
	const middle, milliseconds = turns / 2, 1000
	r.note("cold start: %.1f ms, a bare authorizer %.1f ms; the ratio's quarters are at %.3g, %.3g and %.3g", times[middle]*milliseconds,
		yardsticks[middle]*milliseconds, ratios[turns/4], ratios[middle], ratios[turns*3/4])
	r.note("a read of the pepper at the start, by TLS from this machine, would add %.1f ms", reads[middle]*milliseconds)
	r.atMost("cold_start_ratio", ratios[middle], 1.8)
	r.atMost("authorizer_rss_mb", float64(peak)/megabyte, 24)
	return nil
}

// coldStart starts a binary and returns how long it took to its first answer, and the most memory it had
// after a number of calls.
func coldStart(ctx context.Context, binary string, environ []string, payload []byte, want string, calls int) (took time.Duration, peak int64, err error) {
	start := time.Now()
	instance, err := runtime.Start(ctx, binary, environ)
	if err != nil {
		return 0, 0, err
	}
	defer instance.Stop()
	for n := range calls {
		answer, err := instance.Invoke(ctx, payload)
		if err != nil || !bytes.Contains(answer, []byte(`"Effect":"`+want+`"`)) {
			return 0, 0, fmt.Errorf("%s answers %s, %w; it printed %s", filepath.Base(binary), answer, err, instance.Output())
		}
		if n == 0 {
			took = time.Since(start)
		}
	}
	peak, err = instance.PeakMemory()
	return took, peak, err
}

// buildFunction builds a function as it is deployed, but for this machine.
func buildFunction(ctx context.Context, root, binary, source string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", binary, source)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", source, err, output)
	}
	return nil
}
