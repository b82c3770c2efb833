package e2e_test

import (
	"net/http"
	"reflect"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
)

// The client sends every field of its options, empty ones too.
func TestFeaturesThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	c := client(t, w, localtest.AdminBearer)
	const name = "resource_access_token"
	set := func(o gitlab.SetFeatureFlagOptions) *gitlab.Feature {
		return must[*gitlab.Feature](t)(c.Features.SetFeatureFlag(name, &o))
	}
	definition := must[[]*gitlab.FeatureDefinition](t)(c.Features.ListFeatureDefinitions())
	if len(definition) != 1 || definition[0].Name != name || !definition[0].DefaultEnabled {
		t.Fatalf("definitions %v", definition)
	}
	if got := must[[]*gitlab.Feature](t)(c.Features.ListFeatures()); len(got) != 0 {
		t.Errorf("features before the first was set: %v", got)
	}
	off := &gitlab.Feature{Name: name, State: "off", Gates: []gitlab.Gate{{Key: "boolean", Value: false}}, Definition: definition[0]}
	if got := set(gitlab.SetFeatureFlagOptions{Value: false}); !reflect.DeepEqual(got, off) {
		t.Errorf("switched off: %v", got)
	}
	one := &gitlab.Feature{Name: name, State: "conditional", Gates: []gitlab.Gate{
		{Key: "boolean", Value: false}, {Key: "actors", Value: []any{"User:1"}},
	}, Definition: definition[0]}
	if got := set(gitlab.SetFeatureFlagOptions{Value: "true", User: "root"}); !reflect.DeepEqual(got, one) {
		t.Errorf("switched on for one: %v", got)
	}
	if got := must[[]*gitlab.Feature](t)(c.Features.ListFeatures()); !reflect.DeepEqual(got, []*gitlab.Feature{one}) {
		t.Errorf("features: %v", got)
	}
	for range 2 {
		if response, err := c.Features.DeleteFeatureFlag(name); err != nil || response.StatusCode != http.StatusNoContent {
			t.Errorf("clear: %v", err)
		}
	}
	if got := must[[]*gitlab.Feature](t)(c.Features.ListFeatures()); len(got) != 0 {
		t.Errorf("features after clearing: %v", got)
	}
	_, response, err := client(t, w, newAccount(t, w, "karl", "api").Bearer).Features.ListFeatures()
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a list for nobody special: %v", err)
	}
}
