package engine

import (
	"maps"
	"slices"
)

type createTableInput struct {
	TableName              string
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	GlobalSecondaryIndexes []indexDefinition
	BillingMode            string
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
	NonKeyAttributes []string `json:",omitempty"`
}

type namedTable struct{ TableName string }

type tableReply struct {
	TableDescription *tableDescription `json:",omitempty"`
	Table            *tableDescription `json:",omitempty"`
}

type tableDescription struct {
	TableName              string
	TableArn               string
	TableStatus            string
	CreationDateTime       int64
	ItemCount              int
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	GlobalSecondaryIndexes []indexDescription `json:",omitempty"`
	BillingModeSummary     struct{ BillingMode string }
}

type indexDescription struct {
	indexDefinition
	IndexStatus string
}

func (in createTableInput) attributeType(name string) string {
	for _, a := range in.AttributeDefinitions {
		if a.AttributeName == name {
			return a.AttributeType
		}
	}
	return ""
}

func (in createTableInput) keyPair(schema []keyElement) (keyPair, error) {
	var key keyPair
	for _, e := range schema {
		if in.attributeType(e.AttributeName) == "" {
			return key, invalid("Some index key attributes are not defined in AttributeDefinitions: %s", e.AttributeName)
		}
		if e.KeyType == "HASH" {
			key.partition = e.AttributeName
		} else {
			key.sort = e.AttributeName
		}
	}
	if key.partition == "" {
		return key, invalid("No Hash Key specified in schema. All Dynamo DB tables must have exactly one hash key")
	}
	return key, nil
}

func (e *Engine) createTable(in createTableInput) (tableReply, error) {
	if _, ok := e.tables[in.TableName]; ok {
		return tableReply{}, &apiError{Type: "ResourceInUseException", Message: "Table already exists: " + in.TableName}
	}
	if in.BillingMode != "PAY_PER_REQUEST" {
		return tableReply{}, invalid("only BillingMode PAY_PER_REQUEST is supported")
	}
	key, err := in.keyPair(in.KeySchema)
	if err != nil {
		return tableReply{}, err
	}
	t := &table{created: in, since: e.clock.Now().Unix(), items: newCollection(key, key), indexes: map[string]*collection{}}
	for _, definition := range in.GlobalSecondaryIndexes {
		indexKey, err := in.keyPair(definition.KeySchema)
		if err != nil {
			return tableReply{}, err
		}
		index := newCollection(indexKey, key)
		if definition.Projection.ProjectionType != "ALL" {
			index.keep = map[string]bool{}
			for _, name := range slices.Concat(indexKey.names(), key.names(), definition.Projection.NonKeyAttributes) {
				index.keep[name] = true
			}
		}
		t.indexes[definition.IndexName] = index
	}
	e.tables[in.TableName] = t
	return tableReply{TableDescription: t.describe()}, nil
}

func (t *table) describe() *tableDescription {
	d := &tableDescription{
		TableName:            t.created.TableName,
		TableArn:             "arn:aws:dynamodb:" + region + ":" + account + ":table/" + t.created.TableName,
		TableStatus:          "ACTIVE",
		CreationDateTime:     t.since,
		AttributeDefinitions: t.created.AttributeDefinitions,
		KeySchema:            t.created.KeySchema,
	}
	d.BillingModeSummary.BillingMode = t.created.BillingMode
	for _, rows := range t.items.partitions {
		d.ItemCount += len(rows)
	}
	for _, definition := range t.created.GlobalSecondaryIndexes {
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, indexDescription{definition, "ACTIVE"})
	}
	return d
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

type tableNames struct{ TableNames []string }

func (e *Engine) listTables(struct{}) (tableNames, error) {
	return tableNames{slices.Sorted(maps.Keys(e.tables))}, nil
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

func (e *Engine) updateTimeToLive(in updateTimeToLiveInput) (updateTimeToLiveReply, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return updateTimeToLiveReply{}, err
	}
	if in.TimeToLiveSpecification.Enabled == (t.ttl != "") {
		return updateTimeToLiveReply{}, invalid("TimeToLive is already in that state")
	}
	t.ttl = ""
	if in.TimeToLiveSpecification.Enabled {
		t.ttl = in.TimeToLiveSpecification.AttributeName
	}
	return updateTimeToLiveReply{in.TimeToLiveSpecification}, nil
}

type describeTimeToLiveReply struct {
	TimeToLiveDescription struct {
		AttributeName    string `json:",omitempty"`
		TimeToLiveStatus string
	}
}

func (e *Engine) describeTimeToLive(in namedTable) (describeTimeToLiveReply, error) {
	var out describeTimeToLiveReply
	t, err := e.table(in.TableName)
	if err != nil {
		return out, err
	}
	out.TimeToLiveDescription.AttributeName = t.ttl
	out.TimeToLiveDescription.TimeToLiveStatus = "DISABLED"
	if t.ttl != "" {
		out.TimeToLiveDescription.TimeToLiveStatus = "ENABLED"
	}
	return out, nil
}
