package engine

import (
	"maps"
	"regexp"
	"slices"
)

type createTableInput struct {
	TableName              string
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	GlobalSecondaryIndexes []indexDefinition
	BillingMode            string
	StreamSpecification    streamSpecification
}

type attributeDefinition struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

type indexDefinition struct {
	IndexName  string
	KeySchema  []keyElement
	Projection projection
}

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string
}

type namedTable struct{ TableName string }

type tableReply struct {
	TableDescription *tableDescription `json:",omitempty"`
	Table            *tableDescription `json:",omitempty"`
}

type tableDescription struct {
	TableName              string
	TableStatus            string
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	GlobalSecondaryIndexes []indexDescription `json:",omitempty"`
	LatestStreamArn        string             `json:",omitempty"`
}

type indexDescription struct {
	indexDefinition
	IndexStatus string
}

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// createTable makes a table like Latchkey's: partition and sort keys of type S, global indexes that
// project chosen attributes, and no provisioned capacity.
func (e *Engine) createTable(in createTableInput) (tableReply, error) {
	switch {
	case !tableName.MatchString(in.TableName):
		return tableReply{}, invalid("Invalid table/index name. Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	case e.tables[in.TableName] != nil:
		return tableReply{}, &apiError{Type: "ResourceInUseException", Message: "Table already exists: " + in.TableName}
	case in.BillingMode != "PAY_PER_REQUEST":
		return tableReply{}, invalid("the embedded engine supports BillingMode PAY_PER_REQUEST only")
	case in.StreamSpecification.StreamEnabled && in.StreamSpecification.StreamViewType != viewType:
		return tableReply{}, invalid("the embedded engine supports StreamViewType %s only", viewType)
	}
	key, err := in.keyPair(in.KeySchema)
	if err != nil {
		return tableReply{}, err
	}
	t := &table{created: in, items: newCollection(key, key), indexes: map[string]*collection{}}
	if in.StreamSpecification.StreamEnabled {
		t.stream = newStream(in.TableName)
	}
	used := t.items.keyNames()
	for _, definition := range in.GlobalSecondaryIndexes {
		indexKey, err := in.keyPair(definition.KeySchema)
		if err != nil {
			return tableReply{}, err
		}
		if definition.Projection.ProjectionType != "INCLUDE" {
			return tableReply{}, invalid("the embedded engine supports ProjectionType INCLUDE only")
		}
		index := newCollection(indexKey, key)
		index.keep = map[string]bool{}
		for _, name := range slices.Concat(index.keyNames(), definition.Projection.NonKeyAttributes) {
			index.keep[name] = true
		}
		t.indexes[definition.IndexName] = index
		used = append(used, indexKey.names()...)
	}
	for _, defined := range in.AttributeDefinitions {
		if !slices.Contains(used, defined.AttributeName) {
			return tableReply{}, invalid("The number of attributes in key schema must match the number of attributes defined in attribute definitions: %s", defined.AttributeName)
		}
	}
	e.tables[in.TableName] = t
	return tableReply{TableDescription: t.describe()}, nil
}

func (in createTableInput) keyPair(schema []keyElement) (keyPair, error) {
	byType := map[string]string{}
	for _, e := range schema {
		if !slices.Contains(in.AttributeDefinitions, attributeDefinition{e.AttributeName, "S"}) {
			return keyPair{}, invalid("a key attribute is not defined, or not of type S, which is all that the embedded engine supports: %s", e.AttributeName)
		}
		byType[e.KeyType] = e.AttributeName
	}
	key := keyPair{byType["HASH"], byType["RANGE"]}
	if key.partition == "" || key.sort == "" || len(schema) != len(key.names()) {
		return key, invalid("No Hash Key specified in schema, or no Range Key, without which the embedded engine makes no table")
	}
	return key, nil
}

func (t *table) describe() *tableDescription {
	d := &tableDescription{
		TableName:            t.created.TableName,
		TableStatus:          "ACTIVE",
		AttributeDefinitions: t.created.AttributeDefinitions,
		KeySchema:            t.created.KeySchema,
	}
	for _, definition := range t.created.GlobalSecondaryIndexes {
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, indexDescription{definition, "ACTIVE"})
	}
	if t.stream != nil {
		d.LatestStreamArn = t.stream.arn
	}
	return d
}

func (t *table) clone() *table {
	copied := *t
	copied.items, copied.indexes, copied.stream = t.items.clone(), maps.Clone(t.indexes), t.stream.clone()
	for name, index := range t.indexes {
		copied.indexes[name] = index.clone()
	}
	return &copied
}

func (e *Engine) table(name string) (*table, error) {
	if t, ok := e.tables[name]; ok {
		return t, nil
	}
	return nil, &apiError{Type: "ResourceNotFoundException", Message: "Requested resource not found: Table: " + name + " not found"}
}

func (e *Engine) describeTable(in namedTable) (tableReply, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return tableReply{}, err
	}
	return tableReply{Table: t.describe()}, nil
}

func (e *Engine) deleteTable(in namedTable) (tableReply, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return tableReply{}, err
	}
	delete(e.tables, in.TableName)
	return tableReply{TableDescription: t.describe()}, nil
}

type timeToLive struct {
	AttributeName string
	Enabled       bool
}

type updateTimeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification timeToLive
}

type updateTimeToLiveReply struct{ TimeToLiveSpecification timeToLive }

// updateTimeToLive only records the attribute; see the package comment.
func (e *Engine) updateTimeToLive(in updateTimeToLiveInput) (updateTimeToLiveReply, error) {
	t, err := e.table(in.TableName)
	switch {
	case err != nil:
		return updateTimeToLiveReply{}, err
	case !in.TimeToLiveSpecification.Enabled:
		return updateTimeToLiveReply{}, invalid("the embedded engine does not support disabling TimeToLive")
	case t.ttl != "":
		return updateTimeToLiveReply{}, invalid("TimeToLive is already enabled")
	}
	t.ttl = in.TimeToLiveSpecification.AttributeName
	return updateTimeToLiveReply{in.TimeToLiveSpecification}, nil
}
