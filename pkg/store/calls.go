package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// calls are the operations of DynamoDB that the store uses. They are functions and no client: templates
// call methods by name, so the linker keeps every method of what hangs on an interface, and a client
// has more than fifty operations. That is half a megabyte of each function with a template.
type calls struct {
	GetItem            call[dynamodb.GetItemInput, dynamodb.GetItemOutput]
	BatchGetItem       call[dynamodb.BatchGetItemInput, dynamodb.BatchGetItemOutput]
	Query              call[dynamodb.QueryInput, dynamodb.QueryOutput]
	Scan               call[dynamodb.ScanInput, dynamodb.ScanOutput]
	UpdateItem         call[dynamodb.UpdateItemInput, dynamodb.UpdateItemOutput]
	TransactWriteItems call[dynamodb.TransactWriteItemsInput, dynamodb.TransactWriteItemsOutput]
}

// postCalls are those that only a Table needs. Functions with a Journal do not link them.
type postCalls struct {
	PutItem    call[dynamodb.PutItemInput, dynamodb.PutItemOutput]
	DeleteItem call[dynamodb.DeleteItemInput, dynamodb.DeleteItemOutput]
}

type call[In, Out any] func(context.Context, *In, ...func(*dynamodb.Options)) (*Out, error)

func callsOf(client *dynamodb.Client) calls {
	return calls{
		client.GetItem, client.BatchGetItem, client.Query, client.Scan, client.UpdateItem, client.TransactWriteItems,
	}
}

// A querier and a scanner are what the SDK's paginators take.
type querier call[dynamodb.QueryInput, dynamodb.QueryOutput]

func (q querier) Query(ctx context.Context, in *dynamodb.QueryInput, with ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return q(ctx, in, with...)
}

type scanner call[dynamodb.ScanInput, dynamodb.ScanOutput]

func (s scanner) Scan(ctx context.Context, in *dynamodb.ScanInput, with ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return s(ctx, in, with...)
}
