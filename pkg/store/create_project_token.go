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

// CreateProjectToken makes a project's or group's token: the bot's account, its
// membership, its token and the use of the idempotency key are written
// together, so there is never a bot without a token nor a token without a bot.
// The bot's id and names are only known here, after which mint makes its
// bearer; when somebody else was faster, everything is looked up again.
func (t *Table) CreateProjectToken(ctx context.Context, proj project.Project, bot account.Account, tok token.Token,
	mint func(account.ID) (secret.Digest, *secret.Use, error), issued audit.Event) (token.Token, error) {
	if err := checkEvents(issued); err != nil {
		return token.Token{}, err
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
		bot.NextNumber = 2 // the first one is taken in the same transaction
		tok.Owner = bot.ID
		var use *secret.Use
		if tok.Digest, use, err = mint(bot.ID); err != nil {
			return token.Token{}, err
		}
		items := t.botItems(proj, bot, tok)
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		issued.Token = tok.ID
		reasons, err := t.transact(ctx, items, []audit.Event{issued}, t.recorded(tok))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			return tok, nil
		case failed(reasons, projectPosition):
			return token.Token{}, fault.ErrNotFound
		case failed(reasons, recordPosition):
			return token.Token{}, fault.ErrTaken
		case use != nil && failed(reasons, len(items)-1):
			return token.Token{}, token.ErrKeyUsed
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// projectPosition is that of a project in a transaction that makes a bot;
// that of its record is recordPosition.
const projectPosition = 0

// botItems are everything there is of a new bot.
func (t *Table) botItems(proj project.Project, bot account.Account, tok token.Token) []types.TransactWriteItem {
	member := project.Member{
		Project: proj.ID, Account: bot.ID, Level: tok.Level, ExpiresOn: tok.ExpiresOn,
		CreatedAt: tok.CreatedAt, CreatedBy: tok.CreatedBy,
	}
	items := []types.TransactWriteItem{t.exists(projectKey(proj.ID))}
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
	return append(items, t.takeAccountID(bot.ID))
}

const (
	// firstBotNames is how many names are looked at in the first request. Most
	// projects have few bots.
	firstBotNames = 4
	// mostBotNames is how many are looked at in one request: each has two items.
	mostBotNames = maxBatchGet / 2
)

// freeBotName returns the first username of a project's bots that is free,
// together with its address: a bot's that was deleted is given out again.
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

// botName returns the n-th names of a project's bots, from 0 on. GitLab's
// addresses lack the first underscore, too.
func botName(proj project.Project, n int) (username, email string) {
	suffix := "_bot"
	if n > 0 {
		suffix += itoa(int64(n))
	}
	return fmt.Sprintf("%s_%s%s", proj.Kind, proj.ID, suffix), fmt.Sprintf("%s%s%s@example.com", proj.Kind, proj.ID, suffix)
}
