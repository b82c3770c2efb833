package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/quote"
)

//go:embed templates
var templateFiles embed.FS

// templates are the pages by name. Each has the layout and the parts that pages share.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/admin.html"))
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic(err) // the files are part of the program
	}
	pages := map[string]*template.Template{}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), path.Ext(entry.Name()))
		if name != "layout" && name != "parts" && name != "admin" {
			pages[name] = template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, "templates/"+entry.Name()))
		}
	}
	return pages
}

// functions are those of every template.
var functions = template.FuncMap{
	"shown":    shown,
	"instant":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"at":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
	"dayWords": dayWords,
	"count":    count,
}

// shown is a name that somebody chose, so that nothing of it looks like ours.
func shown(name string) string { return quote.Name(name) }

// A frame is what the layout shows around a page.
type frame struct {
	// Template is the name of the page's template.
	Template string
	// Base is the site's base path, in front of every link.
	Base      string
	Title     string
	RequestID string
	// Username is who is signed in, or "".
	Username string
	// Section is the part of the site that the page belongs to: "tokens", "projects", "ends", one of
	// those for administrators, such as "admin/users", or "".
	Section string
	// Admin says that an administrator is signed in.
	Admin bool
	// Soon says what of the person's own tokens ends soon, or is nil.
	Soon *soon
	// Unreachable says why the person gets no mails, or is "".
	Unreachable account.Unreachable
	Now         time.Time
	Page        any
}

// InAdmin reports whether the page is one for administrators.
func (f frame) InAdmin() bool { return strings.HasPrefix(f.Section, "admin/") }

// render replies with a page.
func (v *visit) render(status int, name, title string, page any) error {
	found, ok := templates[name]
	if !ok {
		return fmt.Errorf("no template %s", name)
	}
	var body bytes.Buffer
	err := found.ExecuteTemplate(&body, "layout", frame{
		Base: v.base, Title: title, RequestID: v.request.ID, Username: v.by.Account.Username, Section: v.section(), Admin: v.by.Account.Admin, Now: v.now, Page: page,
		Soon: v.endsSoon(status), Unreachable: v.by.Account.Unreachable, Template: name,
	})
	if err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return v.write(status, "text/html; charset=utf-8", body.Bytes())
}

// section returns the part of the site that the visit is to.
func (v *visit) section() string {
	switch {
	case v.route == nil:
		return ""
	case v.route.admin:
		section, _, _ := strings.Cut(strings.TrimPrefix(v.route.path, adminPath+"/"), "/")
		return "admin/" + section
	case strings.HasPrefix(v.route.path, endsPath):
		return "ends"
	case strings.HasPrefix(v.route.path, tokensPath):
		return "tokens"
	case strings.HasPrefix(v.route.path, managedPath), v.route.kind != "":
		return "projects"
	default:
		return ""
	}
}

// A soon is what a banner says: how many tokens end soon, and when the first.
type soon struct {
	Count int
	First moment
	// Whose is "yours", or names the kind of a project. List is the path of their list.
	Whose, List string
}

// endsSoon returns what the banner says, or nil. Every page is worth having without it, and one that
// shows a new value must not be lost, so a failure is only logged.
func (v *visit) endsSoon(status int) *soon {
	switch {
	case v.by.Account.Username == "", v.shows, status >= http.StatusInternalServerError:
		return nil
	case v.soonKnown:
		return v.soon
	}
	own, err := v.site.parts.Lister.ListOwn(v.ctx, v.by, lifecycle.Selection{Group: lifecycle.Ending})
	if err != nil {
		v.site.parts.Log.Warn("banner left out", "request_id", v.request.ID, "reason", err.Error())
		return nil
	}
	v.knowSoon(own.Counts[lifecycle.Ending], own.First)
	return v.soon
}

// knowSoon keeps what the banner says, for a page that has counted anyway.
func (v *visit) knowSoon(count int, first time.Time) {
	v.soonKnown = true
	if count > 0 {
		v.soon = &soon{count, until(first, v.now), "yours", v.base + tokensPath}
	}
}
