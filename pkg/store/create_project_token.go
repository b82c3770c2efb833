package store

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// CreateProjectToken makes a token of a project or group. It writes the bot's account, membership
// and token and the use of the idempotency key together, so a bot and its token never exist alone.
// It assigns the bot's id and names, and then calls mint for the bearer. If another request takes
// them first, it starts again.
func (t *Table) CreateProjectToken(ctx context.Context, proj project.Project, bot account.Account, tok token.Token,
	mint func(account.ID) (secret.Digest, *secret.Use, error), issued audit.Event) (token.Token, error) {
	if err := checkEvents(issued); err != nil {
		return token.Token{}, err
	}
	if tok.Life > 0 {
		t = t.retaining(ctx, tok.CreatedAt)
	}
	for attempt := 0; ; attempt++ {
		last, err := t.LastAccountID(ctx)
		if err != nil {
			return token.Token{}, err
		}
		if bot.ID = last + 1; bot.ID >= account.GhostID {
			return token.Token{}, fmt.Errorf("%w: all account ids are given out", fault.ErrInput)
		}
		if bot.Username, bot.Email, err = t.freeBotName(ctx, proj); err != nil {
			return token.Token{}, err
		}
		bot.NextNumber = 1
		if tok, err = numbered(tok, bot); err != nil {
			return token.Token{}, err
		}
		bot.NextNumber = 2 // the transaction takes the first number
		tok.Owner = bot.ID
		var use *secret.Use
		if tok.Digest, use, err = mint(bot.ID); err != nil {
			return token.Token{}, err
		}
		items := t.botItems(proj, bot, tok)
		makerPosition := len(items)
		items = append(items, t.makerItems(tok)...)
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		issued.Token = tok.ID
		reasons, err := t.transact(ctx, items, []audit.Event{issued}, t.recorded(tok))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			tok.Maker = token.Maker{}
			return tok, nil
		case failed(reasons, projectPosition):
			return token.Token{}, fault.ErrNotFound
		case failed(reasons, recordPosition):
			return token.Token{}, fault.ErrTaken
		case use != nil && failed(reasons, len(items)-1):
			return token.Token{}, token.ErrKeyUsed
		case tok.Maker.ID != 0 && failed(reasons, makerPosition):
			return token.Token{}, token.ErrMakerEnded
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// projectPosition is the position of the project in the transaction that makes a bot. The record
// has recordPosition.
const projectPosition = 0

// botItems returns all items of a new bot.
func (t *Table) botItems(proj project.Project, bot account.Account, tok token.Token) []types.TransactWriteItem {
	member := project.Member{
		Project: proj.ID, Account: bot.ID, Level: tok.Level, ExpiresOn: tok.ExpiresOn,
		CreatedAt: tok.CreatedAt, CreatedBy: tok.CreatedBy,
	}
	items := []types.TransactWriteItem{t.open(proj.ID)}
	for _, it := range []item{
		t.tokenItem(tok),
		pointerItem(tok),
		projectPointerItem(tok),
		profileItem(bot),
		owned(usernameKey(bot.Username), bot.ID),
		owned(emailKey(bot.Email), bot.ID),
		memberItem(member),
		membershipItem(member),
	} {
		items = append(items, t.put(it, absent, nil))
	}
	return append(append(items, t.takeAccountID(bot.ID)), t.enter(tok)...)
}

const (
	// firstBotNames is how many names the first request checks. Most projects have few bots.
	firstBotNames = 4
	// mostBotNames is how many names one request can check. Each has two items.
	mostBotNames = maxBatchGet / 2
)

// freeBotName returns the first free username of a project's bots, and its address. Names of
// deleted bots are free again.
func (t *Reader) freeBotName(ctx context.Context, proj project.Project) (username, email string, err error) {
	for start, count := 0, firstBotNames; ; start, count = start+count, min(2*count, mostBotNames) {
		keys := make([]key, 0, 2*count)
		for n := start; n < start+count; n++ {
			username, email = botName(proj, n)
			keys = append(keys, usernameKey(username), emailKey(email))
		}
		items, err := t.getPage(ctx, keys)
		if err != nil {
			return "", "", err
		}
		taken := map[string]bool{}
		for _, it := range items {
			r := attributes{item: it}
			taken[r.text("pk")] = true
		}
		for n := start; n < start+count; n++ {
			username, email = botName(proj, n)
			if !taken[partition(usernameKey(username))] && !taken[partition(emailKey(email))] {
				return username, email, nil
			}
		}
	}
}

func partition(k key) string {
	r := attributes{item: k}
	return r.text("pk")
}

// botName returns the n-th names of a project's bots, from 0 on. As in GitLab, the addresses lack
// the first underscore.
func botName(proj project.Project, n int) (username, email string) {
	suffix := "_bot"
	if n > 0 {
		suffix += itoa(int64(n))
	}
	return fmt.Sprintf("%s_%s%s", proj.Kind, proj.ID, suffix), fmt.Sprintf("%s%s%s@example.com", proj.Kind, proj.ID, suffix)
}
