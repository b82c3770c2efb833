package store

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/feature"
)

// maxTransaction is how many items one transaction may have in addition to the two of an audit
// event (DynamoDB: TransactWriteItems takes 100).
const maxTransaction = 98

// SetSwitches writes switches, all or nothing.
func (t *Table) SetSwitches(ctx context.Context, switches []feature.Switch, set audit.Event) error {
	writes := make([]types.TransactWriteItem, len(switches))
	keys := make([]key, len(switches))
	for i, s := range switches {
		writes[i] = t.put(switchItem(s), "", nil)
		keys[i] = switchKey(s.Feature, s.Target)
	}
	_, err := t.transact(ctx, writes, []audit.Event{set}, func(ctx context.Context) (bool, error) {
		stored, err := t.switchesAt(ctx, keys)
		for _, s := range switches {
			if !slices.Contains(stored, s) {
				return false, err
			}
		}
		return true, err
	})
	return err
}

// ClearSwitches removes the switches of a feature. If they need several transactions, the first one
// has the switch for everybody and the event, and a second call removes what a failure left.
func (t *Table) ClearSwitches(ctx context.Context, name string, cleared audit.Event) error {
	if err := checkEvents(cleared); err != nil {
		return err
	}
	items, err := t.switchItems(ctx, name)
	if err != nil {
		return err
	}
	first := true
	for part := range slices.Chunk(items, maxTransaction) {
		writes := make([]types.TransactWriteItem, len(part))
		for i, it := range part {
			writes[i] = t.remove(keyIn(it), "", nil)
		}
		if first {
			_, err = t.transact(ctx, writes, []audit.Event{cleared}, t.gone(part))
		} else {
			_, err = t.write(ctx, writes, t.gone(part)) // one event for all parts
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

// Switches returns the switches of a feature, the switch for everybody first. It skips malformed
// ones.
func (t *Reader) Switches(ctx context.Context, name string) ([]feature.Switch, error) {
	items, err := t.switchItems(ctx, name)
	if err != nil {
		return nil, err
	}
	switches := make([]feature.Switch, 0, len(items))
	for _, it := range items {
		s, err := readSwitch(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		switches = append(switches, s)
	}
	return switches, nil
}

// SwitchesFor returns the switches of a feature for targets, in one request. A malformed switch is
// fault.ErrCorrupt, because guessing its decision is unsafe.
func (t *Reader) SwitchesFor(ctx context.Context, name string, targets ...feature.Target) ([]feature.Switch, error) {
	keys := make([]key, len(targets))
	for i, target := range targets {
		keys[i] = switchKey(name, target)
	}
	return t.switchesAt(ctx, keys)
}

func (t *Reader) switchesAt(ctx context.Context, keys []key) ([]feature.Switch, error) {
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return nil, err
	}
	switches := make([]feature.Switch, len(items))
	for i, it := range items {
		if switches[i], err = readSwitch(it); err != nil {
			return nil, err
		}
	}
	return switches, nil
}

// switchItems returns the items of one feature, or of all features for "", by sort key.
func (t *Reader) switchItems(ctx context.Context, name string) ([]item, error) {
	first, last := featurePrefix+name, featurePrefix+name+"#~"
	if name == "" {
		last = featurePrefix + "~"
	}
	pages := dynamodb.NewQueryPaginator(querier(t.client.Query), &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :first AND :last"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": text(settingsPartition), ":first": text(first), ":last": text(last),
		},
		ConsistentRead: aws.Bool(true),
	})
	var items []item
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		items = append(items, page.Items...)
	}
	return items, nil
}
