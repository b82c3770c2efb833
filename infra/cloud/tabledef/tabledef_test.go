package tabledef

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestProductTable(t *testing.T) {
	path, err := Path()
	if err != nil {
		t.Fatal(err)
	}
	def, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	in := def.createInput("name")
	t.Run("keys are declared", func(t *testing.T) {
		var declared []string
		for _, a := range in.AttributeDefinitions {
			declared = append(declared, aws.ToString(a.AttributeName))
		}
		if want := []string{"pk", "sk", "expiry_bucket", "expiry_order"}; !slices.Equal(declared, want) {
			t.Errorf("attributes = %v, want %v", declared, want)
		}
	})
	t.Run("the index carries what a scan reads", func(t *testing.T) {
		index := in.GlobalSecondaryIndexes[0]
		if *index.IndexName != "expiry-index" || !slices.Equal(index.Projection.NonKeyAttributes, []string{"notices"}) {
			t.Errorf("index = %+v", index)
		}
	})
	t.Run("the stream has what a change was before and after", func(t *testing.T) {
		if s := in.StreamSpecification; s == nil || s.StreamViewType != "NEW_AND_OLD_IMAGES" {
			t.Errorf("stream = %+v", s)
		}
	})
	t.Run("clean-up is by delete_after", func(t *testing.T) {
		if ttl := def.TimeToLiveSpecification; !ttl.Enabled || ttl.AttributeName != "delete_after" {
			t.Errorf("time to live = %+v", ttl)
		}
	})
}

func TestPathIsFoundFromBelow(t *testing.T) {
	root := t.TempDir()
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	got, err := Path()
	if err != nil || filepath.Base(filepath.Dir(got)) != "infra" || filepath.Dir(filepath.Dir(got)) == below {
		t.Errorf("path = %q, %v", got, err)
	}
}

func TestUnusableFilesAreErrors(t *testing.T) {
	for name, content := range map[string]string{"no table": "Resources: {}", "not YAML": "\t"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "table.yaml")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := read(path); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Breaks if a table that an operator imports lacks a key or the index, so that scans find nothing.
func TestImportMakesTheSameTable(t *testing.T) {
	t.Parallel()
	path, err := Path()
	if err != nil {
		t.Fatal(err)
	}
	def, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), "import.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got types.TableCreationParameters
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := def.createInput(aws.ToString(got.TableName))
	for name, pair := range map[string][2]any{
		"attributes": {got.AttributeDefinitions, want.AttributeDefinitions}, "keys": {got.KeySchema, want.KeySchema},
		"index": {got.GlobalSecondaryIndexes, want.GlobalSecondaryIndexes}, "billing": {got.BillingMode, want.BillingMode},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: infra/import.json has %+v, and infra/table.yaml %+v", name, pair[0], pair[1])
		}
	}
}
