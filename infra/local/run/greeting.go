package main

import (
	"fmt"
	"net"
	"strings"
	"text/template"
	"time"

	"latchkey/infra/cloud"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/local/seed"
	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
)

// A greeting is the data of the banner.
type greeting struct {
	URL, Bearer, Engine string
	Admin               int64 // account id
	Env, Log            string
	World               *seed.Bearers // nil without SEED
	Backend             string        // "" for the sample API
	ScopesFile          string        // "" for GitLab's scopes
	Trial               trial
	Week                time.Time // when the expiring scan announces a new token
}

// greet returns the greeting for listener, without the fields that only a running Latchkey knows.
func greet(s options, listener net.Listener) greeting {
	g := greeting{
		URL: "http://" + listener.Addr().String(), ScopesFile: s.scopesFile,
		Trial: sampleTrial, Week: lastWeek(clock.System{}.Now()),
	}
	g.Env, g.Log = files(listener.Addr().(*net.TCPAddr).Port)
	if s.scopes != nil {
		g.Trial = tryOut(s.scopes)
	}
	if s.backend != nil {
		g.Backend = s.backend.String()
	}
	return g
}

// banner says where Latchkey is and which commands to paste. They work in any shell that has
// sourced Env, one after the other. None has a comment, because zsh would take it for a command.
var banner = template.Must(template.New("").Funcs(template.FuncMap{
	"sample": func() string { return cloud.SamplePath }, "mailbox": func() string { return mailbox.PagesPath },
	"invoke": func() string { return cloud.InvokePath },
	"group":  func() string { return seed.Group }, "project": func() string { return seed.Project },
}).Parse(`
Latchkey runs at {{.URL}} and ends on Ctrl-C.

  administrator  root (user {{.Admin}}), bearer {{.Bearer}}
{{- with .World}}
  developer      in the group {{group}}, bearer {{.Developer}}
  maintainer     of the project {{project}}, bearer {{.Maintainer}}
  {{project}}       the project, bearer {{.Project}}
{{- end}}
{{- if .Backend}}
  your API       {{.Backend}}, behind the authorizer at {{.URL}}{{sample}}
{{- end}}
{{- if .ScopesFile}}
  scopes         those of {{.ScopesFile}}, and GitLab's
{{- end}}
  database       {{.Engine}}
  page           {{.URL}}/-/, where you sign in as root or as Sam
  mails          {{.URL}}{{mailbox}}
  log            {{.Log}}
  settings       build/local -h lists them

To try it, paste these lines into a second shell, in this folder.
{{if .Trial.Scope}}{{with .Trial}}
Make a token with the scope {{.Scope}}:
  . ./{{$.Env}}
  TRY=$(curl -sS -H "PRIVATE-TOKEN: $LATCHKEY_TOKEN" "$LATCHKEY_URL/api/v4/users/{{$.Admin}}/personal_access_tokens" \
    -d name=try -d 'scopes[]={{.Scope}}' | sed 's/.*"token":"\([^"]*\).*/\1/'); echo "$TRY"
Use it on {{if $.Backend}}your API{{else}}the sample API{{end}}: it may read, and it may not delete.
  curl -sS -i -H "Authorization: Bearer $TRY" "$LATCHKEY_URL{{.Path}}"
  curl -sS -i -H "Authorization: Bearer $TRY" "$LATCHKEY_URL{{.Path}}" -X DELETE
Revoke it, and see it refused:
  curl -sS -i -H "PRIVATE-TOKEN: $TRY" "$LATCHKEY_URL/api/v4/personal_access_tokens/self" -X DELETE
  curl -sS -i -H "Authorization: Bearer $TRY" "$LATCHKEY_URL{{.Path}}"
{{- end}}{{else}}
Tell the shell about this instance (no scope of {{.ScopesFile}} opens GET without DELETE, to show both):
  . ./{{.Env}}
{{- end}}
Send the mail about tokens in their last week:
  curl -sS -H 'Authorization: AWS4-HMAC-SHA256 local' "$LATCHKEY_URL{{invoke}}expiring/invocations" -d '{"time":"{{.Week.Format "2006-01-02T15:04:05Z07:00"}}"}'

`))

// A trial is a request that a scope allows, while it does not allow DELETE.
type trial struct{ Scope, Path string }

// sampleTrial is the trial for the sample API and GitLab's scopes.
var sampleTrial = trial{"read_api", cloud.SamplePath + "hello"}

// tryOut finds a trial in the rules of an operator's catalog. The path is one that the rule's
// pattern matches. It returns the zero trial if there is none.
func tryOut(catalog *scope.Catalog) trial {
	for _, rule := range catalog.Rules {
		path := strings.ReplaceAll(strings.ReplaceAll(rule.Path, "/*", "/1"), "*", "")
		for _, name := range rule.Scopes {
			set, err := catalog.Parse([]string{string(name)})
			if err == nil && catalog.CheckPath(path) == nil &&
				catalog.Allows(set, scope.Everywhere(), "GET", path) && !catalog.Allows(set, scope.Everywhere(), "DELETE", path) {
				return trial{string(name), cloud.SamplePath + strings.TrimPrefix(path, "/")}
			}
		}
	}
	return trial{}
}

// lastWeek returns a time of the expiring scan at which a token made today, with the longest
// lifetime, has a few days left.
func lastWeek(now time.Time) time.Time {
	const left = 5
	return now.Truncate(24*time.Hour).AddDate(0, 0, settings.MaxLifetimeDays-left).Add(time.Hour)
}

// env returns a script that tells a shell about this instance.
func (g greeting) env() string {
	text := fmt.Sprintf("export LATCHKEY_URL=%s\nexport LATCHKEY_TOKEN=%s\n", g.URL, g.Bearer)
	if g.World != nil {
		text += fmt.Sprintf("export LATCHKEY_DEVELOPER_TOKEN=%s\nexport LATCHKEY_MAINTAINER_TOKEN=%s\nexport LATCHKEY_PROJECT_TOKEN=%s\n",
			g.World.Developer, g.World.Maintainer, g.World.Project)
	}
	return text
}
