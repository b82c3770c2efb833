package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/token"
)

// EveryToken passes all tokens to each, in no order, with their owners, of whom it keeps only the
// id, Admin and TokensValidFrom. It reads the whole table page by page, so its cost grows with the
// table.
func (t *Reader) EveryToken(ctx context.Context, each func(token.Token, account.Account)) error {
	pages := dynamodb.NewScanPaginator(scanner(t.client.Scan), &dynamodb.ScanInput{
		TableName:                 &t.name,
		FilterExpression:          aws.String("sk = :token"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":token": text(tokenSort)},
		ConsistentRead:            aws.Bool(true),
	})
	type rights struct {
		admin     bool
		validFrom int64
	}
	owners := map[account.ID]rights{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return translate(err)
		}
		tokens := make([]token.Token, 0, len(page.Items))
		var unseen []account.ID
		for _, it := range page.Items {
			tok, err := readToken(it)
			if err != nil {
				t.passOver(err)
				continue
			}
			tokens = append(tokens, tok)
			if _, seen := owners[tok.Owner]; !seen {
				owners[tok.Owner] = rights{validFrom: account.Gone(tok.Owner).TokensValidFrom}
				unseen = append(unseen, tok.Owner)
			}
		}
		err = t.Accounts(ctx, unseen, func(u account.Account) { owners[u.ID] = rights{u.Admin, u.TokensValidFrom} })
		if err != nil {
			return err
		}
		for _, tok := range tokens {
			owner := owners[tok.Owner]
			each(tok, account.Account{ID: tok.Owner, Admin: owner.admin, TokensValidFrom: owner.validFrom})
		}
	}
	return nil
}
