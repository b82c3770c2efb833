package notify

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	texttemplate "text/template"

	"latchkey/pkg/project"
	"latchkey/pkg/sweep"
)

// A Mail is a rendered mail. The subject is one line of ASCII without text that people typed.
type Mail struct {
	Subject string
	Text    string
	HTML    string
}

//go:embed templates
var files embed.FS

var (
	textTemplate = texttemplate.Must(texttemplate.New("notice.txt").
			Funcs(texttemplate.FuncMap{"wrap": wrap}).ParseFS(files, "templates/notice.txt"))
	htmlTemplate = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/notice.html"))
)

// Render renders the mail for n. publicURL is the http or https address of Latchkey, without a slash at the end. It fails
// only for an invalid notice: of an unknown kind, without tokens or days, with fewer tokens counted
// than listed, or with an incomplete project. It is safe for concurrent use.
func Render(n sweep.Notice, publicURL string) (Mail, error) {
	if err := check(n); err != nil {
		return Mail{}, fmt.Errorf("render mail: %w", err)
	}
	l := letterOf(n, publicURL)
	text, err := execute(textTemplate, l)
	if err != nil {
		return Mail{}, err
	}
	html, err := execute(htmlTemplate, l)
	if err != nil {
		return Mail{}, err
	}
	return Mail{Subject: l.Subject, Text: text, HTML: html}, nil
}

func execute(t interface{ Execute(io.Writer, any) error }, l letter) (string, error) {
	var b strings.Builder
	b.Grow(8 << 10) // the size of most mails
	if err := t.Execute(&b, l); err != nil {
		// Omit the cause, because it may repeat text that people typed.
		return "", errors.New("render mail: template does not fit its data")
	}
	return b.String(), nil
}

func check(n sweep.Notice) error {
	switch {
	case !known(n.Kind):
		return fmt.Errorf("unknown kind of notice %q", n.Kind)
	case n.Today.IsZero():
		return errors.New("notice without a day")
	case len(n.Tokens) == 0:
		return errors.New("notice without tokens")
	case n.Total < len(n.Tokens):
		return fmt.Errorf("notice counts %d tokens and lists %d", n.Total, len(n.Tokens))
	}
	for _, t := range n.Tokens {
		switch of := t.Project; {
		case !known(why(n, t)):
			return fmt.Errorf("token %s in a notice for an unknown reason %q", t.ID, t.Kind)
		case t.ExpiresOn.IsZero() && !revoked(why(n, t)):
			return fmt.Errorf("token %s never expires", t.ID)
		case (of.Kind != "" || of.FullPath != "") && (of.FullPath == "" || of.Kind != project.KindProject && of.Kind != project.KindGroup):
			return fmt.Errorf("token %s of a project of kind %q without a path, or of no known kind", t.ID, of.Kind)
		}
	}
	return nil
}

func known(kind sweep.Kind) bool {
	return kind == sweep.Expiring || kind == sweep.Expired || revoked(kind)
}

// revoked reports whether tokens of this kind of notice have ended for good.
func revoked(kind sweep.Kind) bool {
	return kind == sweep.Lifetime || kind == sweep.Leaked || kind == sweep.Replaced || kind == sweep.Reused
}

// why returns why a token is in a notice.
func why(n sweep.Notice, t sweep.Token) sweep.Kind { return cmp.Or(t.Kind, n.Kind) }
