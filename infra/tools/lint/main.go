// Command lint checks the project's own rules, which no stock linter knows: the direction of
// imports, reads of the clock, the content of a main, the names of sample events.
//
// It prints one `file:line: message` per fault and exits with 1 if there are any. It reads only
// syntax, so it needs no compiled packages, except that it asks the go command what each function
// links.
package main

import (
	"fmt"
	"os"
	"slices"
)

// rule checks the whole module against one group of rules.
type rule func(module) ([]fault, error)

var rules = []rule{
	importDirection,
	restrictedModules,
	requestData,
	reachableModules,
	clockReads,
	functionMains,
	exits,
	hiddenTests,
	packageNames,
	sampleEvents,
}

func main() {
	faults, err := check(".")
	for _, f := range faults {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// check applies every rule to the module at root and returns the faults in the order of files and
// lines.
func check(root string) ([]fault, error) {
	m, err := load(root)
	if err != nil {
		return nil, err
	}
	var all []fault
	for _, apply := range rules {
		faults, err := apply(m)
		if err != nil {
			return all, err
		}
		all = append(all, faults...)
	}
	slices.SortFunc(all, fault.compare)
	return all, nil
}
