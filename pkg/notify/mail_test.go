package notify_test

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/notify"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

const publicURL = "https://tokens.example.com"

func day(tb testing.TB, s string) clock.Day {
	tb.Helper()
	d, err := clock.ParseDay(s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// golden compares got with a file, which UPDATE_GOLDEN=1 writes.
func golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", "golden", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if got != string(want) {
		tb.Errorf("%s:\n--- want\n%s\n--- got\n%s", path, want, got)
	}
}

const today = "2026-03-19"

// tok returns token n of owner 2, last used on the day before today.
func tok(tb testing.TB, n int64, name, expiresOn string, scopes ...scope.Scope) sweep.Token {
	tb.Helper()
	id, err := token.NewID(2, n)
	if err != nil {
		tb.Fatal(err)
	}
	if scopes == nil {
		scopes = []scope.Scope{scope.ReadAPI, scope.SelfRotate}
	}
	return sweep.Token{
		ID: id, Name: name, Scopes: scopes, ExpiresOn: day(tb, expiresOn),
		LastUsedAt: time.Date(2026, 3, 18, 23, 59, 59, 0, time.UTC),
	}
}

func notice(tb testing.TB, kind sweep.Kind, tokens ...sweep.Token) sweep.Notice {
	tb.Helper()
	return sweep.Notice{
		Kind:      kind,
		Recipient: account.Account{Name: "Avery Example", Email: "avery@example.com"},
		Today:     day(tb, today), Tokens: tokens, Total: len(tokens),
	}
}

// of returns a notice whose tokens are all of one project or group.
func of(id project.ID, kind project.Kind, path string, n sweep.Notice) sweep.Notice {
	for i := range n.Tokens {
		n.Tokens[i].Project = project.Project{ID: id, Kind: kind, FullPath: path}
	}
	return n
}

// together joins notices to one recipient, as a scan does.
func together(all ...sweep.Notice) sweep.Notice {
	n := all[0]
	n.Tokens, n.Total = nil, 0
	for _, one := range all {
		for _, t := range one.Tokens {
			t.Kind = one.Kind
			n.Tokens = append(n.Tokens, t)
		}
		n.Total += one.Total
	}
	return n
}

type sample struct {
	name   string
	notice sweep.Notice
}

const hostileName = "<script>alert('x')</script>\r\nBcc: <b>all</b>\u2028&amp; \u202egnp.exe\u202c \u2066x\u2069\x00\x1b[31m {{.Lead}} \xff\u0085end"

func samples(tb testing.TB) []sample {
	tb.Helper()
	never := tok(tb, 1, "never-used", "2026-03-24")
	never.LastUsedAt = time.Time{}
	hostile := notice(tb, sweep.Expiring,
		tok(tb, 1, hostileName, "2026-03-20"),
		tok(tb, 2, "deploy 🚀 👩‍💻 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "2026-03-21"),
		tok(tb, 3, "مفتاح النشر", "2026-03-22"),
		tok(tb, 4, "éclair 日本語 Straße", "2026-03-22"),
		tok(tb, 5, "\u202a\u2067\n", "2026-03-22"),
	)
	hostile.Recipient.Name = "Eve\r\nSubject: hello <img src=x onerror=alert(1)>\u202e"
	many := notice(tb, sweep.Expiring)
	for i := range int64(sweep.MaxListed) {
		many.Tokens = append(many.Tokens, tok(tb, i+1, fmt.Sprintf("exporter-%03d", i+1), fmt.Sprintf("2026-03-%d", 20+i/20)))
	}
	many.Total = sweep.MaxListed + 1
	long := notice(tb, sweep.Expiring,
		tok(tb, 1, strings.Repeat("nightly export of the usage figures ", 7), "2026-03-24",
			"api", "read_user", "read_api", "read_repository", "write_repository", "read_registry", "write_registry", "create_runner", "manage_runner", "k8s_proxy", "self_rotate", "sudo", "admin_mode"),
		tok(tb, 2, strings.Repeat("a", 255), "2026-03-24"))
	long.Recipient.Name = strings.Repeat("Very Long ", 20) + strings.Repeat("x", 55)
	nameless := notice(tb, sweep.Expiring, tok(tb, 1, " \t", "2026-03-24"))
	nameless.Recipient.Name = ""
	expiredMany := notice(tb, sweep.Expired, tok(tb, 1, "alpha", today), tok(tb, 2, "beta", today))
	expiredMany.Total = 250
	at := func(kind project.Kind, path string, n sweep.Notice) sweep.Notice { return of(3, kind, path, n) }
	hostileBot := at(project.KindProject, "eve<b>/"+hostileName, notice(tb, sweep.Expiring, tok(tb, 1, hostileName, "2026-03-20")))
	hostileBot.Recipient.Name = hostile.Recipient.Name
	last := together(
		notice(tb, sweep.Expiring, tok(tb, 7, "nightly-export", "2026-03-24")),
		at(project.KindProject, "acme/web", notice(tb, sweep.Expiring, tok(tb, 1, "deploy", "2026-03-20"), tok(tb, 2, "mirror", "2026-03-22"))),
		of(4, project.KindProject, "eve/evil.example", notice(tb, sweep.Expiring, tok(tb, 3, "backup", "2026-03-26"))),
		of(5, project.KindGroup, "acme", notice(tb, sweep.Expiring, tok(tb, 4, "backup", "2026-03-26"))),
	)
	last.Last = true
	mixed := together(
		notice(tb, sweep.Expiring, tok(tb, 7, "nightly-export", "2026-03-24")),
		at(project.KindProject, "acme/web", notice(tb, sweep.Expired, tok(tb, 1, "deploy", today))),
		at(project.KindProject, "acme/web", notice(tb, sweep.Leaked, tok(tb, 2, "mirror", "2026-12-22"))),
		of(5, project.KindGroup, "acme", notice(tb, sweep.Lifetime, tok(tb, 4, "backup", "2026-12-26"))),
	)
	posing := at(project.KindProject, "evil.example/sign-in", notice(tb, sweep.Leaked,
		tok(tb, 1, "Your password has expired, sign in at https://evil.example/login or mail help@evil.example”. Latchkey", "2026-12-22")))
	posing.Recipient.Name = "Avery, see www.evil.example"
	longPath := strings.TrimSuffix(strings.Repeat("platform-engineering/", 20), "/")
	return []sample{
		{"one token that expires today", notice(tb, sweep.Expiring, tok(tb, 7, "nightly-export", today))},
		{"one token that expires tomorrow", notice(tb, sweep.Expiring, tok(tb, 7, "nightly-export", "2026-03-20"))},
		{"several days", notice(tb, sweep.Expiring, tok(tb, 4, "registry-mirror", today, "read_registry"), tok(tb, 7, "nightly-export", "2026-03-20"), tok(tb, 9, "terraform", "2026-03-26", "api"))},
		{"several tokens on one day", notice(tb, sweep.Expiring, tok(tb, 7, "nightly-export", "2026-03-24"), tok(tb, 9, "terraform", "2026-03-24", "api"))},
		{"hostile names", hostile},
		{"101 tokens", many},
		{"very long names", long},
		{"no names", nameless},
		{"never used", notice(tb, sweep.Expiring, never)},
		{"one expired", notice(tb, sweep.Expired, tok(tb, 7, "nightly-export", today))},
		{"two expired", notice(tb, sweep.Expired, tok(tb, 7, "nightly-export", today), tok(tb, 9, "terraform", today, "api"))},
		{"expired on missed days", notice(tb, sweep.Expired, tok(tb, 7, "nightly-export", "2026-03-17"), tok(tb, 8, "backup", "2026-03-18"), tok(tb, 9, "terraform", today, "api"))},
		{"more expired than listed", expiredMany},
		{"project token that expires", at(project.KindProject, "acme/apps/web", notice(tb, sweep.Expiring, tok(tb, 1, "deploy", "2026-03-26", "api")))},
		{"project token that expires today", at(project.KindProject, "avery/tools", notice(tb, sweep.Expiring, tok(tb, 1, "deploy", today)))},
		{"project token that expired", at(project.KindProject, "acme/apps/web", notice(tb, sweep.Expired, tok(tb, 1, "deploy", today, "api")))},
		{"group token that expires", at(project.KindGroup, "acme", notice(tb, sweep.Expiring, tok(tb, 1, "mirror", "2026-03-26", "read_registry")))},
		{"group token that expired", at(project.KindGroup, "acme", notice(tb, sweep.Expired, tok(tb, 1, "mirror", today, "read_registry")))},
		{"project token with hostile names", hostileBot},
		{"own tokens and those of projects", last},
		{"several reasons", mixed},
		{"a name that poses as text of ours", posing},
		{"group with a long path", at(project.KindGroup, longPath, notice(tb, sweep.Expired, tok(tb, 1, "mirror", today)))},
	}
}

func sampleOf(tb testing.TB, name string) sweep.Notice {
	tb.Helper()
	for _, s := range samples(tb) {
		if s.name == name {
			return s.notice
		}
	}
	tb.Fatalf("no sample %q", name)
	return sweep.Notice{}
}

func render(tb testing.TB, n sweep.Notice) notify.Mail {
	tb.Helper()
	mail, err := notify.Render(n, publicURL)
	if err != nil {
		tb.Fatal(err)
	}
	return mail
}

func TestMailsAreAsReviewed(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			mail, file := render(t, s.notice), strings.ReplaceAll(s.name, " ", "-")
			golden(t, file+".txt", "Subject: "+mail.Subject+"\n\n"+mail.Text)
			golden(t, file+".html", mail.HTML)
		})
	}
}

// What users type is shown to other people. If this fails, a name can put a
// header or a script into a mail, or show a text as another than it is.
func TestNamesStayNames(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			mail := render(t, s.notice)
			for _, r := range mail.Subject {
				if r < ' ' || r > '~' {
					t.Errorf("subject has %U", r)
				}
			}
			for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
				if !utf8.ValidString(text) {
					t.Errorf("%s is not UTF-8", part)
				}
				for _, r := range text {
					if unicode.IsControl(r) && r != '\n' || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
						t.Errorf("%s has %U", part, r)
					}
				}
				if strings.Contains(text, "avery@example.com") {
					t.Errorf("%s has the address", part)
				}
			}
			for _, line := range strings.Split(mail.Text, "\n") {
				if strings.HasPrefix(line, "Bcc") || strings.HasPrefix(line, "Subject") {
					t.Errorf("a name starts a line: %q", line)
				}
			}
		})
	}
}

func TestHTMLOfNamesIsEscaped(t *testing.T) {
	for _, hostile := range []sweep.Notice{sampleOf(t, "hostile names"), sampleOf(t, "project token with hostile names")} {
		wantNamesShown(t, hostile)
	}
}

func wantNamesShown(t *testing.T, hostile sweep.Notice) {
	t.Helper()
	got := render(t, hostile).HTML
	for _, bad := range []string{"<script", "<img", "<b>all"} {
		if strings.Contains(got, bad) {
			t.Errorf("HTML has %s", bad)
		}
	}
	const shown = "“<script>alert('x')</script> Bcc: <b>all</b> &amp; gnp[.]exe x [31m {{[.]Lead}} \ufffd end”"
	if !strings.Contains(html.UnescapeString(got), "named <bdi>"+shown+"</bdi>") {
		t.Errorf("HTML does not show %q", shown)
	}
	if !strings.Contains(strings.Join(strings.Fields(render(t, hostile).Text), " "), "named "+shown) {
		t.Errorf("text does not show %q", shown)
	}
}

// Whoever names a token, a project or a person chooses words and links that Latchkey mails to others
// from its trusted sender. If this fails, strangers can send links and orders in its name.
func TestNamesAreNoLinksAndNoWordsOfOurs(t *testing.T) {
	linkable := regexp.MustCompile(`(?i)https?:|www\.|[a-z]\.(example|exe)|@`)
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			mail := render(t, s.notice)
			page := strings.NewReplacer(publicURL+"/-/", "", "@media", "").Replace
			for part, text := range map[string]string{"subject": mail.Subject, "text": page(mail.Text), "HTML": page(html.UnescapeString(mail.HTML))} {
				if found := linkable.FindString(text); found != "" {
					t.Errorf("%s has %q", part, found)
				}
				if part != "subject" && !strings.Contains(strings.Join(strings.Fields(text), " "), "names that somebody gave, and no words of this service") {
					t.Errorf("%s does not say what names are", part)
				}
				for _, name := range append(namesOf(s.notice), s.notice.Recipient.Name) {
					if name != "" && strings.Count(text, name) != strings.Count(text, "“"+name) {
						t.Errorf("%s has %q without quotation marks", part, name)
					}
					if part == "subject" && name != "" && strings.Contains(text, name) {
						t.Errorf("subject has %q", name)
					}
				}
			}
		})
	}
}

func namesOf(n sweep.Notice) (names []string) {
	for _, t := range n.Tokens {
		names = append(names, t.Name, t.Project.FullPath)
	}
	return names
}

// Who is told about somebody else's token sees why, and what it is for.
func TestProjects(t *testing.T) {
	for _, s := range samples(t) {
		kinds, expired := map[project.Kind]bool{}, false
		for _, listed := range s.notice.Tokens {
			kinds[listed.Project.Kind] = true
			expired = expired || cmp.Or(listed.Kind, s.notice.Kind) == sweep.Expired
		}
		t.Run(s.name, func(t *testing.T) {
			mail := render(t, s.notice)
			for part, text := range map[string]string{"text": mail.Text, "HTML": html.UnescapeString(strings.NewReplacer("<bdi>", "", "</bdi>", "", "<b>", "").Replace(mail.HTML))} {
				text = strings.Join(strings.Fields(text), " ")
				for kind, reason := range map[project.Kind]string{
					project.KindProject: " a maintainer or owner of the", project.KindGroup: " an owner of the",
				} {
					if has := strings.Contains(text, reason); has != kinds[kind] {
						t.Errorf("%s says %q: %t", part, reason, has)
					}
				}
				removed := strings.Contains(text, "bot user is removed")
				if removed != (expired && (kinds[project.KindProject] || kinds[project.KindGroup])) {
					t.Errorf("%s says that the bot is removed: %t", part, removed)
				}
			}
		})
	}
	mail := render(t, sampleOf(t, "project token that expires"))
	for _, text := range []string{mail.Text, mail.HTML} {
		if strings.Count(html.UnescapeString(text), "Tokens of the project “acme/apps/web” (id 3):") != 1 {
			t.Errorf("the project is not named: %s", text)
		}
	}
}

func TestOnlyThePageIsLinked(t *testing.T) {
	address := regexp.MustCompile(`(?i)(href|src|url\(|@import|background=)[^ >]*`)
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			got := render(t, s.notice).HTML
			links := address.FindAllString(strings.ReplaceAll(got, `src=x onerror`, ""), -1)
			for _, link := range links {
				path, ours := strings.CutPrefix(strings.TrimSuffix(link, `"`), `href="`+publicURL)
				if !ours || !slices.ContainsFunc(s.notice.Tokens, func(t sweep.Token) bool {
					return path == sweep.PagePath || path == t.List() || path == t.Page(t.ID) || t.Rotation != nil && path == t.Page(t.Rotation.Newest)
				}) {
					t.Errorf("HTML refers to %s", link)
				}
			}
		})
	}
	mail, err := notify.Render(samples(t)[0].notice, "javascript:alert(1)")
	if err != nil || strings.Contains(mail.HTML, "javascript:") {
		t.Errorf("a page that is no page is linked (%v)", err)
	}
}

// People who get a mail look for one token. The list of their own does not have those of projects.
func TestLinksLandOnTheToken(t *testing.T) {
	own := tok(t, 7, "own", "2026-03-24")
	second := tok(t, 8, "second", "2026-03-25")
	of := func(t sweep.Token, kind project.Kind, id project.ID) sweep.Token {
		t.Project = project.Project{Kind: kind, ID: id, FullPath: "acme/web", Path: "web", Name: "Web"}
		return t
	}
	const list = "/-/user_settings/personal_access_tokens"
	reported := own
	reported.Rotation = &sweep.Rotation{Newest: second.ID}
	reportedBots := of(reported, project.KindProject, 3)
	for _, c := range []struct {
		name   string
		kind   sweep.Kind
		tokens []sweep.Token
		links  []string // of the rows, then of the mail
	}{
		{"one token", sweep.Expiring, []sweep.Token{own}, []string{list + "/" + own.ID.String()}},
		{"two tokens", sweep.Expiring, []sweep.Token{own, second}, []string{list + "/" + own.ID.String(), list + "/" + second.ID.String(), list}},
		{"one token of a project", sweep.Expired, []sweep.Token{of(own, project.KindProject, 3)}, []string{"/-/projects/3/access_tokens/" + own.ID.String()}},
		{"two tokens of a group", sweep.Expiring, []sweep.Token{of(own, project.KindGroup, 4), of(second, project.KindGroup, 4)}, []string{
			"/-/groups/4/access_tokens/" + own.ID.String(), "/-/groups/4/access_tokens/" + second.ID.String(), "/-/groups/4/access_tokens",
		}},
		{"own and a project's", sweep.Expiring, []sweep.Token{own, of(second, project.KindProject, 3)}, []string{
			list + "/" + own.ID.String(), "/-/projects/3/access_tokens/" + second.ID.String(), list,
		}},
		{"reported", sweep.Replaced, []sweep.Token{reported}, []string{list + "/" + second.ID.String(), list + "/" + own.ID.String()}},
		{"reported of a project", sweep.Replaced, []sweep.Token{reportedBots}, []string{
			"/-/projects/3/access_tokens/" + second.ID.String(), "/-/projects/3/access_tokens/" + own.ID.String(),
		}},
		{"a project that is gone", sweep.Expired, []sweep.Token{of(own, project.KindProject, 0)}, []string{list}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mail := render(t, notice(t, c.kind, c.tokens...))
			for part, found := range map[string][]string{
				"text": regexp.MustCompile(publicURL+`(\S+)`).FindAllString(mail.Text, -1),
				"HTML": regexp.MustCompile(publicURL+`([^"]+)`).FindAllString(mail.HTML, -1),
			} {
				for i := range found {
					found[i] = strings.TrimPrefix(found[i], publicURL)
				}
				if !slices.Equal(found, c.links) {
					t.Errorf("%s leads to %q, want %q", part, found, c.links)
				}
			}
		})
	}
}

// A mail that lists only some of the tokens and does not say so would leave its
// reader sure that the others go on working.
func TestNothingIsHidden(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			mail := render(t, s.notice)
			count, rotate := fmt.Sprintf("%d access token", s.notice.Total), "POST /api/v4/personal_access_tokens/:id/rotate"
			kind := s.notice.Tokens[0].Project.Kind
			if slices.ContainsFunc(s.notice.Tokens, func(t sweep.Token) bool { return t.Project.Kind != kind }) {
				kind = ""
			}
			if kind != "" {
				count = fmt.Sprintf("%d %s access token", s.notice.Total, kind)
				rotate = fmt.Sprintf("POST /api/v4/%ss/:id/access_tokens/:token_id/rotate", kind)
			}
			if s.notice.Kind == sweep.Leaked {
				rotate = "cannot be used or replaced"
			}
			for part, text := range map[string]string{"subject": mail.Subject, "text": mail.Text, "HTML": mail.HTML} {
				if !strings.Contains(text, count) {
					t.Errorf("%s does not say %q", part, count)
				}
			}
			for part, text := range map[string]string{"text": mail.Text, "HTML": mail.HTML} {
				for _, listed := range s.notice.Tokens {
					if !strings.Contains(text, listed.ID.String()) || !strings.Contains(text, listed.ExpiresOn.String()) {
						t.Errorf("%s lacks token %s", part, listed.ID)
					}
				}
				more := fmt.Sprintf("and %d more, not listed here; all of them are on the page", s.notice.Total-len(s.notice.Tokens))
				if has := strings.Contains(text, more); has != (s.notice.Total > len(s.notice.Tokens)) {
					t.Errorf("%s says %q: %t", part, more, has)
				}
				if !strings.Contains(text, publicURL+"/-/") || !strings.Contains(text, rotate) {
					t.Errorf("%s lacks the page or the path", part)
				}
			}
		})
	}
}

func TestSubjects(t *testing.T) {
	more := notice(t, sweep.Expiring, tok(t, 1, "a", "2026-03-24"))
	more.Total = 150
	oneDayAgo := notice(t, sweep.Expired, tok(t, 1, "a", "2026-03-18"))
	for want, n := range map[string]sweep.Notice{
		"1 access token expires on 2026-03-19 (today)":                                notice(t, sweep.Expiring, tok(t, 1, "a", today)),
		"1 access token expires on 2026-03-20 (in 1 day)":                             notice(t, sweep.Expiring, tok(t, 1, "a", "2026-03-20")),
		"2 access tokens expire on 2026-03-21 (in 2 days)":                            notice(t, sweep.Expiring, tok(t, 1, "a", "2026-03-21"), tok(t, 2, "a", "2026-03-21")),
		"3 access tokens expire by 2026-04-02, the first on 2026-03-24 (in 5 days)":   notice(t, sweep.Expiring, tok(t, 1, "a", "2026-03-24"), tok(t, 2, "a", "2026-03-24"), tok(t, 3, "a", "2026-04-02")),
		"150 access tokens expire soon, the first on 2026-03-24 (in 5 days)":          more,
		"1 access token has expired (2026-03-19)":                                     notice(t, sweep.Expired, tok(t, 1, "a", today)),
		"1 access token has expired (2026-03-18)":                                     oneDayAgo,
		"2 access tokens have expired (2026-03-19)":                                   notice(t, sweep.Expired, tok(t, 1, "a", today), tok(t, 2, "a", today)),
		"2 access tokens have expired (2026-03-17 to 2026-03-19)":                     notice(t, sweep.Expired, tok(t, 1, "a", "2026-03-17"), tok(t, 2, "a", today)),
		"250 access tokens have expired, the first on 2026-03-19":                     sampleOf(t, "more expired than listed"),
		"2 access tokens expire by 2027-03-19, the first on 2026-12-31 (in 287 days)": notice(t, sweep.Expiring, tok(t, 1, "a", "2026-12-31"), tok(t, 2, "a", "2027-03-19")),
		"2 access tokens expire by 2026-03-20, the first on 2026-03-18 (1 day ago)":   notice(t, sweep.Expiring, tok(t, 1, "a", "2026-03-18"), tok(t, 2, "a", "2026-03-20")),
		"101 access tokens expire soon, the first on 2026-03-20 (in 1 day)":           sampleOf(t, "101 tokens"),
		"1 project access token expires on 2026-03-26 (in 7 days)":                    sampleOf(t, "project token that expires"),
		"1 project access token has expired (2026-03-19)":                             sampleOf(t, "project token that expired"),
		"1 group access token expires on 2026-03-26 (in 7 days)":                      sampleOf(t, "group token that expires"),
		"1 group access token has expired (2026-03-19)":                               sampleOf(t, "group token that expired"),
	} {
		if got := render(t, n).Subject; got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

func TestTextIsNarrow(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			for _, line := range strings.Split(render(t, s.notice).Text, "\n") {
				if utf8.RuneCountInString(line) > 72 && strings.Contains(strings.TrimLeft(strings.TrimPrefix(line, "  named"), " "), " ") {
					t.Errorf("line of %d characters: %q", utf8.RuneCountInString(line), line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("line ends in a space: %q", line)
				}
			}
		})
	}
}

// Gmail cuts messages off at 102 kB, and with them the link to the page.
func TestAFullMailIsNotCutOff(t *testing.T) {
	if size := len(render(t, sampleOf(t, "101 tokens")).HTML); size > 102_000 {
		t.Errorf("HTML of %d tokens has %d bytes", sweep.MaxListed, size)
	}
}

func TestDaysAreUTC(t *testing.T) {
	used := tok(t, 1, "a", "2026-03-24")
	used.LastUsedAt = time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -3600))
	if mail := render(t, notice(t, sweep.Expiring, used)); !strings.Contains(mail.Text, "last used   2026-03-02") {
		t.Error(mail.Text)
	}
}

func TestNoticesThatCannotBe(t *testing.T) {
	good := tok(t, 1, "secret name", "2026-03-24")
	eternal := good
	eternal.ExpiresOn = clock.Day{}
	for name, change := range map[string]func(*sweep.Notice){
		"no kind":                       func(n *sweep.Notice) { n.Kind = "" },
		"an unknown kind":               func(n *sweep.Notice) { n.Kind = "revoked" },
		"a token for an unknown reason": func(n *sweep.Notice) { n.Tokens[0].Kind = "revoked" },
		"no day":                        func(n *sweep.Notice) { n.Today = clock.Day{} },
		"no tokens":                     func(n *sweep.Notice) { n.Tokens, n.Total = nil, 3 },
		"fewer tokens than listed":      func(n *sweep.Notice) { n.Total = 0 },
		"a token that does not expire":  func(n *sweep.Notice) { n.Tokens[0] = eternal },
		"a project of no kind":          func(n *sweep.Notice) { n.Tokens[0].Project.FullPath = "acme/web" },
		"a project of an unknown kind":  func(n *sweep.Notice) { n.Tokens[0].Project = project.Project{Kind: "user", FullPath: "acme/web"} },
		"a project without a path":      func(n *sweep.Notice) { n.Tokens[0].Project.Kind = project.KindGroup },
		"a last one that never expires": func(n *sweep.Notice) { n.Tokens, n.Total = append(n.Tokens, eternal), 2 },
	} {
		t.Run(name, func(t *testing.T) {
			n := notice(t, sweep.Expiring, slices.Clone([]sweep.Token{good})...)
			change(&n)
			mail, err := notify.Render(n, publicURL)
			if err == nil || mail != (notify.Mail{}) {
				t.Fatalf("Render() = %v, %v", mail, err)
			}
			for _, private := range []string{"secret name", "avery", "Avery"} {
				if strings.Contains(err.Error(), private) {
					t.Errorf("error %q has %q", err, private)
				}
			}
			if (&notify.Recorder{}).Send(t.Context(), n) == nil {
				t.Error("the recorder accepts it")
			}
		})
	}
}

func TestRenderIsSafeForConcurrentUse(t *testing.T) {
	all := samples(t)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for _, s := range all {
				if _, err := notify.Render(s.notice, publicURL); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
}

func BenchmarkRender(b *testing.B) {
	for _, s := range samples(b) {
		switch s.name {
		case "one token that expires today", "several days", "101 tokens":
			b.Run(s.name, func(b *testing.B) {
				for b.Loop() {
					if _, err := notify.Render(s.notice, publicURL); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
			})
		}
	}
}
