package config_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/config"
)

func TestReadRegistry(t *testing.T) {
	set := func(more ...string) []string {
		return enough(append([]string{"REGISTRY_SERVICE=container_registry", "REGISTRY_KEYS=" + firstKey + " " + secondKey}, more...)...)
	}
	c, err := config.ReadRegistry(set())
	if err != nil || c.Service != "container_registry" || c.Life != 300 || !slices.Equal(c.Keys, []string{firstKey, secondKey}) {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	for _, good := range []string{"REGISTRY_TOKEN_SECONDS=60", "REGISTRY_TOKEN_SECONDS=900"} {
		if _, err := config.ReadRegistry(set(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"REGISTRY_SERVICE=", "REGISTRY_KEYS=", "REGISTRY_KEYS=too-short", "REGISTRY_KEYS=" + firstKey + " ",
		"REGISTRY_TOKEN_SECONDS=59", "REGISTRY_TOKEN_SECONDS=901", "REGISTRY_TOKEN_SECONDS=soon",
	} {
		name, _, _ := strings.Cut(bad, "=")
		if _, err := config.ReadRegistry(set(bad)); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), firstKey) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
