package web_test

import (
	"os/exec"
	"testing"

	"latchkey/infra/local/localtest"
)

// Every page works without its script, so nothing else here would notice that it does not parse.
func TestTheScriptParses(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), localtest.Node(t), "--check", "assets/page.js").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
