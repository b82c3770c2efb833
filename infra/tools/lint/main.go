// Command lint checks the project's own rules, those that no stock linter knows: who imports whom,
// where the clock is read, what a main may do, what sample events are called.
//
// It prints one `file:line: message` per fault and exits with 1 if there are any. It reads syntax
// only and so needs no compiled packages, except to ask the go command what a function links in.
package main

import (
	"fmt"
	"os"
	"slices"
)

// rule looks at the whole module and returns what breaks one group of rules.
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

// check applies every rule to the module at root and returns the faults in reading order.
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
