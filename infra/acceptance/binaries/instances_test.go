//go:build acceptance

package binaries_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/runtime"
	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
)

// Breaks if a process that serves many events at a time, with credentials from an address as managed instances have
// them, mixes up callers or is refused by the table.
func TestManyEventsAtATime(t *testing.T) {
	t.Parallel()
	root, folder := localtest.Root(t), t.TempDir()
	for _, name := range []string{"authorizer", "issue"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-o", filepath.Join(folder, name), "./functions/"+name)
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	parameters := local.Parameters()
	maps.Copy(parameters, map[string]string{"WrongBearersPerMinute": "0"})
	template, err := cloud.ReadTemplate(filepath.Join(root, "template.yaml"), parameters)
	check(t, err)
	d := deploy(t, template, folder, "authorizer")
	var asked atomic.Int64
	credentials := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"AccessKeyId":"latchkey","SecretAccessKey":"latchkey","Expiration":"2099-01-01T00:00:00Z"}`)
	}))
	defer credentials.Close()
	environ := slices.DeleteFunc(slices.Clone(d.environ), func(variable string) bool {
		return strings.HasPrefix(variable, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(variable, "AWS_SECRET_ACCESS_KEY=")
	})
	const atATime, events = 8, 200
	instance, err := runtime.Start(t.Context(), d.binary, append(environ,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+credentials.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=token", fmt.Sprintf("AWS_LAMBDA_MAX_CONCURRENCY=%d", atATime)))
	check(t, err)
	defer instance.Stop()
	payloads := map[string][]byte{}
	for effect, sample := range map[string]string{"Allow": "rest-request", "Deny": "bearer-unknown"} {
		payloads[effect], err = os.ReadFile(filepath.Join(root, "events", "authorizer", sample+".json"))
		check(t, err)
	}
	var group sync.WaitGroup
	for n := range events {
		effect := []string{"Allow", "Deny"}[n%2]
		group.Go(func() {
			out, err := instance.Invoke(t.Context(), payloads[effect])
			// A policy that allows also denies ambiguous paths, so only what the first statement says counts.
			first := bytes.Index(out, []byte(`"Effect":"`))
			if err != nil || first < 0 || !bytes.HasPrefix(out[first:], []byte(`"Effect":"`+effect+`"`)) {
				t.Errorf("answers %s, %v, want %s", out, err, effect)
			}
		})
	}
	group.Wait()
	if n := asked.Load(); n == 0 || n > atATime {
		t.Errorf("asked %d times for credentials", n)
	}
}
