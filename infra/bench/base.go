package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/directory"
	"latchkey/pkg/secret"
	"latchkey/pkg/settings"
	"latchkey/pkg/store"
)

const tableName = "bench"

// A base is the empty table of a benchmark, and what makes its accounts and bearers.
type base struct {
	table    *store.Table
	accounts *directory.Directory
	secret   string // of pepper
	pepper   secret.Pepper
	format   secret.Format
	defaults settings.Settings
}

func newBase(ctx context.Context, client *dynamodb.Client) (base, error) {
	path, err := tabledef.Path()
	if err != nil {
		return base{}, err
	}
	if err := tabledef.Create(ctx, client, path, tableName); err != nil {
		return base{}, err
	}
	b := base{
		secret: rand.Text() + rand.Text(), format: secret.Format{Prefixes: config.DefaultPrefixes},
		defaults: settings.Settings{Prefix: config.DefaultPrefixes[0], LastUsedInterval: 24 * time.Hour},
	}
	b.table = store.Open(client, tableName, store.Options{Shards: store.DefaultShards, Retention: time.Hour, Defaults: b.defaults})
	if b.pepper, err = secret.NewPepper(b.secret); err != nil {
		return base{}, err
	}
	finder, err := directory.NewFinder(directory.FinderParts{Reader: b.table, Projects: b.table, Clock: clock.System{}})
	if err != nil {
		return base{}, err
	}
	b.accounts, err = directory.New(finder, b.table)
	return b, err
}
