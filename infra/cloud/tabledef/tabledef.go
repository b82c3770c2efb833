// Package tabledef creates Latchkey's table from infra/table.yaml, the file that CloudFormation
// deploys, so that the local cloud and the tests cannot drift from production.
//
// Start with Path and Create. Create applies only what DynamoDB's data plane can observe: keys, the
// index, the stream and the TTL attribute. Backups, encryption and tags have no effect on a local engine.
package tabledef

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.yaml.in/yaml/v3"
)

// activeWithin bounds the wait for a new table. DynamoDB needs a few seconds.
const activeWithin = time.Minute

// template is the part of a CloudFormation template that describes a table. Intrinsic functions
// (!Ref, !GetAtt) appear only in fields that are not read.
type template struct {
	Resources map[string]struct {
		Type       string     `yaml:"Type"`
		Properties definition `yaml:"Properties"`
	} `yaml:"Resources"`
}

type definition struct {
	BillingMode          string `yaml:"BillingMode"`
	AttributeDefinitions []struct {
		AttributeName string `yaml:"AttributeName"`
		AttributeType string `yaml:"AttributeType"`
	} `yaml:"AttributeDefinitions"`
	KeySchema              keySchema `yaml:"KeySchema"`
	GlobalSecondaryIndexes []struct {
		IndexName  string    `yaml:"IndexName"`
		KeySchema  keySchema `yaml:"KeySchema"`
		Projection struct {
			ProjectionType   string   `yaml:"ProjectionType"`
			NonKeyAttributes []string `yaml:"NonKeyAttributes"`
		} `yaml:"Projection"`
	} `yaml:"GlobalSecondaryIndexes"`
	StreamSpecification struct {
		StreamViewType string `yaml:"StreamViewType"`
	} `yaml:"StreamSpecification"`
	TimeToLiveSpecification struct {
		AttributeName string `yaml:"AttributeName"`
		Enabled       bool   `yaml:"Enabled"`
	} `yaml:"TimeToLiveSpecification"`
}

type keySchema []struct {
	AttributeName string `yaml:"AttributeName"`
	KeyType       string `yaml:"KeyType"`
}

// Path finds infra/table.yaml from anywhere inside the module by walking up to go.mod. Tests run in
// the folder of their package, `make run` in the module's root.
func Path() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find table definition: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "infra", "table.yaml"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find table definition: no go.mod above the working directory")
		}
		dir = parent
	}
}

// Create makes the table of the file at path under the name tableName, waits until it is active and
// enables its TTL attribute. It returns types.ResourceInUseException if the table exists. Each of without
// removes something from the request.
func Create(ctx context.Context, client *dynamodb.Client, path, tableName string, without ...func(*dynamodb.CreateTableInput)) error {
	def, err := read(path)
	if err != nil {
		return fmt.Errorf("read table definition: %w", err)
	}
	in := def.createInput(tableName)
	for _, remove := range without {
		remove(in)
	}
	if _, err := client.CreateTable(ctx, in); err != nil {
		return fmt.Errorf("create table %s: %w", tableName, err)
	}
	active := dynamodb.NewTableExistsWaiter(client)
	if err := active.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &tableName}, activeWithin); err != nil {
		return fmt.Errorf("wait for table %s: %w", tableName, err)
	}
	if !def.TimeToLiveSpecification.Enabled {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &tableName,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(def.TimeToLiveSpecification.AttributeName),
			Enabled:       aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("enable time to live on %s: %w", tableName, err)
	}
	return nil
}

func read(path string) (definition, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return definition{}, err
	}
	var t template
	if err := yaml.Unmarshal(raw, &t); err != nil {
		return definition{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, resource := range t.Resources {
		if resource.Type == "AWS::DynamoDB::Table" {
			return resource.Properties, nil
		}
	}
	return definition{}, fmt.Errorf("%s: no AWS::DynamoDB::Table", path)
}

func (d definition) createInput(tableName string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &tableName,
		BillingMode: types.BillingMode(d.BillingMode),
		KeySchema:   d.KeySchema.elements(),
	}
	if view := d.StreamSpecification.StreamViewType; view != "" {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(view)}
	}
	for _, a := range d.AttributeDefinitions {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(a.AttributeName),
			AttributeType: types.ScalarAttributeType(a.AttributeType),
		})
	}
	for _, index := range d.GlobalSecondaryIndexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(index.IndexName),
			KeySchema: index.KeySchema.elements(),
			Projection: &types.Projection{
				ProjectionType:   types.ProjectionType(index.Projection.ProjectionType),
				NonKeyAttributes: index.Projection.NonKeyAttributes,
			},
		})
	}
	return in
}

func (s keySchema) elements() []types.KeySchemaElement {
	out := make([]types.KeySchemaElement, 0, len(s))
	for _, e := range s {
		out = append(out, types.KeySchemaElement{
			AttributeName: aws.String(e.AttributeName),
			KeyType:       types.KeyType(e.KeyType),
		})
	}
	return out
}
