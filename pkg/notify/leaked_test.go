package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// Mails about tokens that were revoked because of reuse.
func TestMailsAboutReuse(t *testing.T) {
	made := tok(t, 7, "nightly-export", "2026-04-24")
	made.Made = &sweep.Made{Ended: []token.ID{8388614, 8388615}, Working: []token.ID{12582914}}
	bot := notice(t, sweep.Reused, tok(t, 7, "deploy-bot", "2026-04-24"))
	bot.Tokens[0].Made = &sweep.Made{Working: []token.ID{12582914, 12582915}, More: true}
	bot = of(3, project.KindGroup, "acme", bot)
	mixed := notice(t, sweep.Expiring, tok(t, 6, "nightly-export", "2026-04-24"), tok(t, 7, "deploy-bot", "2026-04-24"))
	mixed.Tokens[1].Kind, mixed.Tokens[1].Project = sweep.Reused, project.Project{ID: 4, Kind: project.KindProject, FullPath: "acme/web"}
	for _, s := range []struct {
		sample
		subject, remedy string
	}{
		{sample{"one reused", notice(t, sweep.Reused, made)}, "1 access token was revoked because an earlier value was used again", "DELETE /api/v4/personal_access_tokens/8388615?family=true"},
		{sample{"reused of a group", bot}, "1 group access token was revoked because an earlier value was used again", "DELETE /api/v4/groups/3/access_tokens/8388615?family=true"},
		{sample{"reused and held back", mixed}, "2 access tokens: some expire soon, some were revoked because an earlier value was used again", ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			mail, file := render(t, s.notice), strings.ReplaceAll(s.name, " ", "-")
			golden(t, file+".txt", "Subject: "+mail.Subject+"\n\n"+mail.Text)
			golden(t, file+".html", mail.HTML)
			if mail.Subject != s.subject {
				t.Errorf("subject %q, want %q", mail.Subject, s.subject)
			}
			for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
				if !strings.Contains(text, s.remedy) || s.remedy == "" && strings.Contains(text, "DELETE") {
					t.Errorf("%s lacks %q, or has a request for nothing", part, s.remedy)
				}
			}
		})
	}
}

// Mails about tokens that were reported as leaked.
func TestMailsAboutLeaks(t *testing.T) {
	endless := tok(t, 8, "never-ends", "2026-04-24")
	endless.ExpiresOn = clock.Day{}
	eternal := notice(t, sweep.Leaked, tok(t, 7, "nightly-export", "2026-04-24"), endless)
	ofProject := notice(t, sweep.Leaked, tok(t, 7, "deploy-bot", "2026-04-24"))
	ofProject = of(3, project.KindProject, "acme/web", ofProject)
	many := notice(t, sweep.Leaked)
	for i := range int64(sweep.MaxListed) {
		many.Tokens = append(many.Tokens, tok(t, i+1, fmt.Sprintf("exporter-%03d", i+1), "2026-04-24"))
	}
	many.Total = sweep.MaxListed + 1
	at := time.Date(2026, 3, 18, 21, 4, 5, 0, time.UTC)
	rotated := func(t sweep.Token, r sweep.Rotation) sweep.Token {
		t.Kind, t.Rotation = sweep.Replaced, &r
		return t
	}
	found := notice(t, sweep.Leaked, rotated(tok(t, 7, "nightly-export", "2026-04-24"), sweep.Rotation{At: at, By: "avery", ByID: 2, Itself: true, From: "192.0.2.7", Newest: 8388613}))
	several := notice(t, sweep.Leaked,
		tok(t, 6, "still worked", "2026-04-24"),
		rotated(tok(t, 7, "by an administrator", "2026-04-24"), sweep.Rotation{At: at, By: "https://evil.example/sign-in", ByID: 1, Newest: 8388613}),
		rotated(tok(t, 8, "long ago", "2026-04-24"), sweep.Rotation{}),
		rotated(tok(t, 9, "of a project", "2026-04-24"), sweep.Rotation{At: at, Itself: true, From: "2001:db8::1", Newest: 12582914}))
	several.Tokens[3].Project = project.Project{ID: 4, Kind: project.KindProject, FullPath: "acme/web"}
	hostile := notice(t, sweep.Leaked, tok(t, 1, hostileName, "2026-04-24"))
	hostile.Recipient.Name = "Eve\r\nSubject: hello <img src=x onerror=alert(1)>\u202e"
	for _, s := range []struct {
		sample
		subject string
	}{
		{sample{"one leaked", notice(t, sweep.Leaked, tok(t, 7, "nightly-export", "2026-04-24"))}, "1 access token was revoked because it was reported as leaked"},
		{sample{"two leaked", eternal}, "2 access tokens were revoked because they were reported as leaked"},
		{sample{"leaked of a project", ofProject}, "1 project access token was revoked because it was reported as leaked"},
		{sample{"101 leaked", many}, "101 access tokens were revoked because they were reported as leaked"},
		{sample{"leaked with hostile names", hostile}, "1 access token was revoked because it was reported as leaked"},
		{sample{"one reported after its rotation", found}, "1 access token was reported as leaked after its rotation"},
		{sample{"leaked and reported after a rotation", several}, "4 access tokens: some were revoked because they were reported as leaked, some were reported as leaked after their rotation"},
	} {
		t.Run(s.name, func(t *testing.T) {
			mail, file := render(t, s.notice), strings.ReplaceAll(s.name, " ", "-")
			golden(t, file+".txt", "Subject: "+mail.Subject+"\n\n"+mail.Text)
			golden(t, file+".html", mail.HTML)
			if mail.Subject != s.subject {
				t.Errorf("subject %q, want %q", mail.Subject, s.subject)
			}
			for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
				words := strings.Join(strings.Fields(text), " ")
				for _, bad := range []string{"avery@example.com", "/rotate", "expires_at"} { // what has ended cannot be replaced
					if strings.Contains(text, bad) {
						t.Errorf("%s has %s", part, bad)
					}
				}
				if part == "HTML" && (strings.Contains(text, "<script") || strings.Contains(text, "<img")) {
					t.Error("a name is not escaped")
				}
				for _, good := range []string{"reported as leaked", publicURL + "/-/", s.notice.Tokens[0].ID.String()} {
					if !strings.Contains(words, good) {
						t.Errorf("%s lacks %q", part, good)
					}
				}
				if more := strings.Contains(words, "and 1 more, not listed here"); more != (s.notice.Total > len(s.notice.Tokens)) {
					t.Errorf("%s says that there are more: %t", part, more)
				}
			}
		})
	}
}
