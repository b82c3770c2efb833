package mailbox

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strconv"
)

// PagesPath is the root of the mailbox page.
const PagesPath = "/mailbox/"

//go:embed pages.html
var source string

var pages = template.Must(template.New("").Parse(source))

const (
	// pagePolicy allows no scripts, and frames only for mails of this mailbox.
	pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// mailPolicy gives a mail an opaque origin, also when it is opened on its own. Links still
	// open.
	mailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; " +
		"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

// Pages shows the mails: a list at PagesPath, and each by its number.
func (m *Mailbox) Pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PagesPath+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "list", struct {
			Mails    []Mail
			Received int
		}{m.Mails(), m.received()})
	})
	mux.HandleFunc("GET "+PagesPath+"{number}", func(w http.ResponseWriter, r *http.Request) {
		if mail, ok := m.find(r); ok {
			show(w, http.StatusOK, "mail", mail)
			return
		}
		show(w, http.StatusNotFound, "missing", nil)
	})
	mux.HandleFunc("GET "+PagesPath+"{number}/html", func(w http.ResponseWriter, r *http.Request) {
		mail, ok := m.find(r)
		if !ok || mail.HTML == "" {
			show(w, http.StatusNotFound, "missing", nil)
			return
		}
		write(w, http.StatusOK, mailPolicy, []byte(mail.HTML))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { show(w, http.StatusNotFound, "missing", nil) })
	return mux
}

func (m *Mailbox) find(r *http.Request) (Mail, bool) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		return Mail{}, false
	}
	for _, mail := range m.Mails() {
		if mail.Number == number {
			return mail, true
		}
	}
	return Mail{}, false
}

func show(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "the page does not fit its data", http.StatusInternalServerError)
		return
	}
	write(w, status, pagePolicy, page.Bytes())
}

func write(w http.ResponseWriter, status int, policy string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader has gone
}
