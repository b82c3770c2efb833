package docstest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The table of a month follows from the prices and assumptions above it. UPDATE_GOLDEN=1 writes it.
func TestCostsFollowFromTheirPrices(t *testing.T) {
	t.Parallel()
	const name = "docs/costs.md"
	content := pageNamed(t, name).content
	sections := sectionsOf(content)
	e := estimate{t: t, price: figures(t, sections["Prices"]), given: figures(t, sections["Assumptions"]), used: map[string]bool{}}
	want := e.table(0, 1e6, 100e6)
	for _, all := range []map[string]float64{e.price, e.given} {
		for row := range all {
			if !e.used[row] {
				t.Errorf("%s: nothing is computed from the row %q", name, row)
			}
		}
	}
	got := sections["A month"]
	start := strings.Index(got, "| item |")
	if start < 0 {
		t.Fatalf("%s has no table of a month", name)
	}
	got = strings.TrimRight(got[start:], "\n") + "\n"
	if got == want {
		return
	}
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		check(t, os.WriteFile(filepath.Join(root(t), name), []byte(strings.Replace(content, got, want, 1)), 0o600))
		return
	}
	t.Errorf("%s does not follow from its prices and assumptions. It should have\n%s", name, want)
}

// API Gateway's detailed metrics are the largest item of a small deployment, so their number follows the routes.
func TestCostsCountEveryMethod(t *testing.T) {
	t.Parallel()
	const metricsOfMethod = 5 // Count, Latency, IntegrationLatency, 4XXError, 5XXError (API Gateway dimensions and metrics)
	template, err := os.ReadFile(filepath.Join(root(t), "template.yaml"))
	check(t, err)
	methods := regexp.MustCompile(`\bType: Api\b`).FindAll(template, -1)
	assumed := figures(t, sectionsOf(pageNamed(t, "docs/costs.md").content)["Assumptions"])
	if got, want := assumed["detailed metrics of API Gateway"], float64(len(methods)*metricsOfMethod); got != want {
		t.Errorf("docs/costs.md has %v detailed metrics, and the %d methods of template.yaml make %v", got, len(methods), want)
	}
}

// figures returns the second column of the first table of a section, by the first.
func figures(tb testing.TB, section string) map[string]float64 {
	tb.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(cells[2]), 64); err == nil {
			all[strings.TrimSpace(cells[1])] = value
		}
	}
	return all
}

// An estimate knows the prices in USD, the assumptions, and which of both it has used.
type estimate struct {
	t            *testing.T
	price, given map[string]float64
	used         map[string]bool
}

// An item of the bill costs usd in a month with so many checks.
type item struct {
	name string
	usd  func(checks float64) float64
}

func (e estimate) of(table map[string]float64, row string) float64 {
	e.t.Helper()
	value, known := table[row]
	if !known {
		e.t.Fatalf("docs/costs.md has no row %q", row)
	}
	e.used[row] = true
	return value
}

// table has a column for each number of checks in a month.
func (e estimate) table(checks ...float64) string {
	const million, bytesOfGB, millisecond = 1e6, 1e9, 1e-3
	p := func(row string) float64 { return e.of(e.price, row) }
	a := func(row string) float64 { return e.of(e.given, row) }
	lambda := func(calls, ms float64) float64 {
		return calls/million*p("Lambda, a million calls") +
			calls*ms*millisecond*a("memory of a function, GB")/million*p("Lambda on arm64, a million GB-seconds")
	}
	table := func(reads, writes float64) float64 {
		return reads/million*p("DynamoDB on demand, a million read units") + writes/million*p("DynamoDB on demand, a million write units")
	}
	logs := func(bytes float64) float64 {
		return bytes / bytesOfGB * (p("CloudWatch Logs taken in, a GB") + a("months that logs are kept")*p("CloudWatch Logs kept for a month, a GB"))
	}
	requests := func(checks float64) float64 { return checks * a("requests to the API, in a hundred checks") / 100 }
	shards := a("shards scanned in a month")
	busy := func(checks, value float64) float64 { // what there is none of in an idle month
		if checks == 0 {
			return 0
		}
		return value
	}
	items := []item{
		{"checks: Lambda", func(n float64) float64 { return lambda(n, a("billed time of a check, ms")) }},
		{"checks: reads, and the writes of last uses", func(n float64) float64 {
			return table(n*a("read units of a check"), busy(n, a("tokens used on a day")*30))
		}},
		{"checks: logs", func(n float64) float64 {
			return logs(n * (a("bytes of Lambda's own log lines, a call") + a("refused checks, in a hundred")/100*a("bytes of Latchkey's log lines, a refused check")))
		}},
		{"requests: API Gateway", func(n float64) float64 { return requests(n) / million * p("API Gateway REST API, a million requests") }},
		{"requests: Lambda and table", func(n float64) float64 {
			r := requests(n)
			return lambda(r, a("billed time of a request, ms")) + table(r*a("read units of a request"), r*a("write units of a request"))
		}},
		{"requests: logs", func(n float64) float64 {
			return logs(requests(n) * (a("bytes of Lambda's own log lines, a call") + a("bytes of log lines, a request")))
		}},
		{"scans: Lambda, table, logs, Step Functions", func(float64) float64 {
			return lambda(shards, a("billed time of a shard, ms")) + table(shards*a("read units of a shard"), shards*a("write units of a shard")) +
				logs(shards*a("bytes of Lambda's own log lines, a call")) + shards*a("transitions of a shard")/million*p("Step Functions, a million transitions")
		}},
		{"endings: Lambda, table, logs, metrics", func(float64) float64 {
			runs := a("runs of endings in a month")
			return lambda(runs, a("billed time of a run of endings, ms")) + table(runs*a("read units of a run of endings"), 0) +
				logs(runs*a("bytes of Latchkey's log lines, a run of endings")) + a("metrics of endings")*p("CloudWatch metric, a month")
		}},
		{"mails", func(n float64) float64 { return busy(n, a("mails")/million*p("SES, a million mails")) }},
		{"events for other systems: Lambda, logs, EventBridge", func(n float64) float64 {
			calls := busy(n, a("events for other systems")*a("records for an event")+a("tokens used on a day")*30) // each in a call of its own, at the most
			return lambda(calls, a("billed time of a call for an event, ms")) + busy(n, a("events for other systems")/million*p("EventBridge, a million events")) +
				logs(busy(n, a("events for other systems")*a("bytes of log lines, a request")))
		}},
		{"table: storage and recovery", func(float64) float64 {
			return a("table, GB") * p("DynamoDB storage and point-in-time recovery, a GB")
		}},
		{"secrets", func(float64) float64 { return a("secrets") * p("Secrets Manager, a secret") }},
		{"alarms", func(float64) float64 {
			return a("metrics in alarms") * p("CloudWatch alarm, a month for each metric in it")
		}},
		{"dashboard", func(float64) float64 { return p("CloudWatch dashboard, a month") }},
		{"metrics of Latchkey", func(n float64) float64 { return busy(n, a("metrics of Latchkey")*p("CloudWatch metric, a month")) }},
	}
	options := []item{
		{"a key of your own, if there is one", func(float64) float64 { return p("KMS key, a month") }},
		{"tracing, if it is on", func(n float64) float64 {
			first := min(n, a("seconds in a month"))
			return (first + (n-first)*a("traces in a hundred, beyond one a second")/100) / million * p("X-Ray, a million traces")
		}},
		{"detailed metrics of API Gateway, if they are on", func(n float64) float64 {
			return busy(n, a("detailed metrics of API Gateway")*p("CloudWatch metric, a month"))
		}},
		{"the gateway of the API that is protected, if it is a REST API", func(n float64) float64 {
			return n / million * p("API Gateway REST API, a million requests")
		}},
	}

	text := &strings.Builder{}
	text.WriteString("| item | 0 checks | 1 million checks | 100 million checks |\n|---|---|---|---|\n")
	row := func(name string, usd func(float64) float64) {
		fmt.Fprintf(text, "| %s |", name)
		for _, n := range checks {
			fmt.Fprintf(text, " %.2f |", usd(n))
		}
		text.WriteString("\n")
	}
	rows := func(title string, items, before []item) []item {
		for _, i := range items {
			row(i.name, i.usd)
		}
		all := append(before, items...)
		row(title, func(n float64) (sum float64) {
			for _, i := range all {
				sum += i.usd(n)
			}
			return sum
		})
		return all
	}
	rows("**everything**", options, rows("**Latchkey**", items, nil))
	return text.String()
}
