package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"latchkey/pkg/secret"
)

// traces are the ways in which some encoder could write a part of text: as it
// is, in hexadecimal, as numbers, in base 64, character by character.
func traces(text string) []string {
	part := text[len(text)-12:]
	numbers := func(format, separator string) string {
		var each []string
		for i := range len(part) {
			each = append(each, fmt.Sprintf(format, part[i]))
		}
		return strings.Join(each, separator)
	}
	return []string{
		part,
		hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))),
		numbers("%x", " "), numbers("0x%x", " "), numbers("0x%x", ", "), numbers("%d", " "), numbers("%d", ","), numbers("%d", ", "),
		numbers("%o", " "), numbers("%b", " "), numbers("%U", " "), numbers("%q", " "), numbers("%c", " "), numbers("&#%d;", ""),
		base64.StdEncoding.EncodeToString([]byte(text))[:20],
	}
}

type (
	exported[T any]             struct{ Secret T }
	unexported[T any]           struct{ secret T }
	deep[T any]                 struct{ inner *unexported[T] }
	unexportedMap[T comparable] struct {
		values map[string]T
		keys   map[T]string
	}
	unexportedSlice[T any] struct{ list []T }
	unexportedAny          struct{ value any }
	embedding[T any]       struct {
		unexported[T]
		Name string
	}
)

// holders put the secret where a log line or an error might find it.
func holders[T comparable](s T) map[string]any {
	return map[string]any{
		"value":                            s,
		"pointer":                          &s,
		"exported field":                   exported[T]{s},
		"unexported field":                 unexported[T]{s},
		"pointer to exported field":        &exported[T]{s},
		"pointer to unexported field":      &unexported[T]{s},
		"unexported pointer":               deep[T]{&unexported[T]{s}},
		"unexported pointer to pointer":    unexported[*T]{&s},
		"slice":                            []T{s},
		"array":                            [1]T{s},
		"slice of pointers":                []*T{&s},
		"slice of structs":                 []unexported[T]{{s}},
		"map value":                        map[string]T{"k": s},
		"map key":                          map[T]string{s: "v"},
		"map of structs":                   map[string]unexported[T]{"k": {s}},
		"unexported maps":                  unexportedMap[T]{map[string]T{"k": s}, map[T]string{s: "v"}},
		"unexported slice":                 unexportedSlice[T]{[]T{s}},
		"unexported interface":             unexportedAny{s},
		"unexported interface of pointer":  unexportedAny{&s},
		"unexported interface of a struct": unexportedAny{unexported[T]{s}},
		"embedded struct":                  embedding[T]{unexported[T]{s}, "n"},
		"slice of any":                     []any{s, &s},
	}
}

// Breaks if a bearer, a digest or the pepper can reach a log, an error text
// or a reply through a formatter.
func TestSecretsDoNotPrintThemselves(t *testing.T) {
	p := pepper(t, pepperKey)
	b := bearer(t, prefix, 58)
	digest := p.Digest(b)
	checkRedaction(t, "bearer", b, b.Reveal())
	checkRedaction(t, "chosen bearer", mustChoose(t, "token-string-here123"), "token-string-here123")
	checkRedaction(t, "pepper", p, pepperKey)
	checkRedaction(t, "digest", digest, digest.Key())
	checkRedaction(t, "idempotent request", &secret.Request{Caller: digest, Key: "k", Body: []byte("b")}, digest.Key())
}

func mustChoose(t *testing.T, value string) secret.Bearer {
	t.Helper()
	b, err := format.Choose(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkRedaction[T comparable](t *testing.T, kind string, s T, plain string) {
	t.Helper()
	hidden := traces(plain)
	for place, holder := range holders(s) {
		t.Run(kind+" in "+place, func(t *testing.T) {
			for how, output := range outputs(holder) {
				for _, trace := range hidden {
					if strings.Contains(output, trace) {
						t.Errorf("%s shows %q: %s", how, trace, output)
					}
				}
			}
		})
	}
}

func outputs(holder any) map[string]string {
	out := map[string]string{
		"Sprint":   fmt.Sprint(holder),
		"Sprintln": fmt.Sprintln(holder, "and", holder),
		"Append":   string(fmt.Append(nil, holder)),
	}
	for _, flags := range []string{"", "+", "#", " ", "# ", "0", "-60", "200", ".200", "+#"} {
		// Not only verbs that fit: %p, a %w that is none and unknown ones
		// print without asking Format.
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwz!" {
			verb := "%" + flags + string(verb)
			out[verb] = fmt.Sprintf(verb, holder)
			out["Errorf "+verb] = fmt.Errorf(verb, holder).Error()
		}
	}
	out["extra argument"] = fmt.Sprintf("text"+fmt.Sprint(), holder)
	out["as width"] = fmt.Sprintf("%"+"*d", holder, 1)
	out["wrapped twice"] = fmt.Errorf("outer: %w", fmt.Errorf("inner: "+"%v", holder)).Error()
	if text, err := json.Marshal(holder); err == nil {
		out["JSON"] = string(text)
	} else {
		out["JSON error"] = err.Error()
	}
	if text, err := xml.Marshal(holder); err == nil {
		out["XML"] = string(text)
	} else {
		out["XML error"] = err.Error()
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(handler(&b))
		log.With("with", holder).WithGroup("group").Info("happened", "key", holder, slog.Group("inner", "key", holder))
		log.Info("happened", slog.Any("error", fmt.Errorf("wrapped: "+"%+v", holder)))
		out[name] = b.String()
	}
	var b bytes.Buffer
	if err := template.Must(template.New("").Parse(`{{.}} {{printf "%v %s %x" . . .}} {{html .}} {{js .}}`)).Execute(&b, holder); err == nil {
		out["template"] = b.String()
	}
	return out
}

func TestPlaceholdersNameWhatTheyHide(t *testing.T) {
	p := pepper(t, pepperKey)
	b := bearer(t, prefix, 58)
	for want, value := range map[string]any{
		"[redacted bearer]": b, "[redacted pepper]": p, "[redacted digest]": p.Digest(b),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, value); got != want {
				t.Errorf("%s prints %q, want %q", verb, got, want)
			}
		}
		if got := value.(slog.LogValuer).LogValue().String(); got != want {
			t.Errorf("LogValue() = %q, want %q", got, want)
		}
	}
	text, err := json.Marshal([]any{b, p.Digest(b), p})
	if err != nil || string(text) != `["[redacted bearer]","[redacted digest]",{}]` {
		t.Errorf("JSON = %s, %v", text, err)
	}
	if got := b.String(); got != "[redacted bearer]" {
		t.Errorf("String() = %q", got)
	}
}
