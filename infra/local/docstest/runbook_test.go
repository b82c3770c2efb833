package docstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const runbook = "docs/runbook.md"

// Whoever is woken by an alarm finds what to do: the alarm's description names the section of the runbook
// that has its name, and no section is about an alarm that is gone.
func TestEveryAlarmIsInTheRunbook(t *testing.T) {
	t.Parallel()
	book := pageNamed(t, runbook)
	alarms := alarmDescriptions(t)
	if len(alarms) == 0 {
		t.Fatal("the templates have no alarms")
	}
	sections := sectionsOf(book.content)
	for name, description := range alarms {
		section := sections[name]
		for _, part := range []string{"**Means**", "**Look at**", "**Do**"} {
			if !strings.Contains(section, part) {
				t.Errorf("%s: the section ## %s has no %s", runbook, name, part)
			}
		}
		if link := runbook + "#" + strings.ToLower(name); !strings.Contains(description, link) {
			t.Errorf("the description of %s does not name %s: %s", name, link, description)
		}
	}
	for name := range sections {
		if strings.HasSuffix(name, "Alarm") && alarms[name] == "" {
			t.Errorf("%s: ## %s is no alarm of the templates", runbook, name)
		}
	}
}

// A query that looks for a line that nothing writes, or for a type that no error has, finds nothing on the
// night that it is needed.
func TestQueriesOfTheRunbookFindWhatIsWritten(t *testing.T) {
	t.Parallel()
	book := pageNamed(t, runbook)
	written := deployedSource(t)
	template, err := os.ReadFile(filepath.Join(root(t), "template.yaml"))
	check(t, err)
	written += string(template)                                              // the access log's format
	scans, err := os.ReadFile(filepath.Join(root(t), "infra", "scans.yaml")) // which gets the name as a parameter
	check(t, err)
	groups := strings.NewReplacer("${Deployment}", "${AWS::StackName}", `"`, "\n").Replace(string(template) + string(scans))
	queries := 0
	for _, b := range book.blocks {
		if b.language != "text" {
			continue
		}
		queries++
		for _, words := range regexp.MustCompile(`msg = ("[^"]+")`).FindAllStringSubmatch(b.content, -1) {
			if !strings.Contains(written, words[1]) {
				t.Errorf("%s: no function writes the line %s", b.at(book), words[1])
			}
		}
		for _, list := range regexp.MustCompile(`(?m)(?:^fields| by) ([a-z_@, ]+)$`).FindAllStringSubmatch(b.content, -1) {
			for name := range strings.SplitSeq(list[1], ",") {
				if name = strings.TrimSpace(name); !strings.HasPrefix(name, "@") && !strings.Contains(written, `"`+name+`"`) && name != "msg" {
					t.Errorf("%s: no function writes the field %s", b.at(book), name)
				}
			}
		}
		for _, field := range regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)+\b`).FindAllString(b.content, -1) {
			if !strings.Contains(written, `"`+field+`"`) {
				t.Errorf("%s: no function writes the field %s", b.at(book), field)
			}
		}
	}
	if queries < len(alarmDescriptions(t)) {
		t.Errorf("%s has %d queries, fewer than alarms", runbook, queries)
	}
	for _, words := range regexp.MustCompile(`/latchkey/STACK/([a-z]+)`).FindAllStringSubmatch(book.content, -1) {
		if !strings.Contains(groups, "/latchkey/${AWS::StackName}/"+words[1]+"\n") {
			t.Errorf("%s: there is no log group %s", runbook, words[0])
		}
	}
}

// pageNamed fails the test if there is no such page.
func pageNamed(tb testing.TB, name string) page {
	tb.Helper()
	all := pages(tb)
	i := slices.IndexFunc(all, func(p page) bool { return p.name == name })
	if i < 0 {
		tb.Fatalf("no page %s", name)
	}
	return all[i]
}

// sectionsOf returns the text below each heading of the second level.
func sectionsOf(content string) map[string]string {
	sections := map[string]string{}
	for _, part := range strings.Split(content, "\n## ")[1:] {
		heading, text, _ := strings.Cut(part, "\n")
		sections[heading] = text
	}
	return sections
}

// alarmDescriptions returns those of all templates, by the alarm's logical id.
func alarmDescriptions(tb testing.TB) map[string]string {
	tb.Helper()
	nested, err := filepath.Glob(filepath.Join(root(tb), "infra", "*.yaml"))
	check(tb, err)
	found := map[string]string{}
	for _, path := range append(nested, filepath.Join(root(tb), "template.yaml")) {
		source, err := os.ReadFile(path)
		check(tb, err)
		var file yaml.Node
		check(tb, yaml.Unmarshal(source, &file))
		plainTags(&file)
		var template struct {
			Resources map[string]struct {
				Type       string    `yaml:"Type"`
				Properties yaml.Node `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		check(tb, file.Decode(&template))
		for name, resource := range template.Resources {
			if resource.Type != "AWS::CloudWatch::Alarm" && resource.Type != "AWS::CloudWatch::CompositeAlarm" {
				continue
			}
			var properties struct {
				AlarmDescription string `yaml:"AlarmDescription"`
			}
			check(tb, resource.Properties.Decode(&properties))
			found[name] = properties.AlarmDescription
		}
	}
	return found
}

// plainTags takes the short forms of CloudFormation's functions for what stands behind them.
func plainTags(node *yaml.Node) {
	if strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!") {
		node.Tag = ""
	}
	for _, child := range node.Content {
		plainTags(child)
	}
}

// deployedSource returns the Go source of everything below pkg, without tests.
func deployedSource(tb testing.TB) string {
	tb.Helper()
	all := &strings.Builder{}
	check(tb, filepath.WalkDir(filepath.Join(root(tb), "pkg"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	}))
	return all.String()
}
