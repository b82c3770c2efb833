// Command bench measures what Latchkey promises about speed and memory: `make bench`. It prints one
// line a figure, `name value limit ok` or `over`, and comments that start with `#`. A figure is a
// ratio to a yardstick that is measured in the same run, in alternating turns, because the machine
// may be busy with other work. The command exits with 1 when a figure misses its limit. With arguments it
// measures only the sections of these names, such as `go run ./infra/bench cold`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var r report
	sections := []section{
		{"checks", checks},
		{"cold", coldStarts},
		{"forward", forwardAuths},
		{"refusals", refusals},
		{"leaks", leaks},
		{"lists", lists},
		{"admin", adminPages},
		{"scans", scans},
		{"lifetimes", lifetimes},
	}
	asked := os.Args[1:]
	for _, name := range asked {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			fmt.Fprintf(os.Stderr, "bench: there is no section %q\n", name)
			os.Exit(2)
		}
	}
	for _, section := range sections {
		if len(asked) > 0 && !slices.Contains(asked, section.name) {
			continue
		}
		if err := section.measure(ctx, &r); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
	if r.over {
		os.Exit(1)
	}
}

// A section measures figures that belong together.
type section struct {
	name    string
	measure func(context.Context, *report) error
}

type report struct{ over bool }

// atMost prints a figure that must not exceed limit.
func (r *report) atMost(name string, value, limit float64) {
	verdict := "ok"
	if value > limit {
		verdict, r.over = "over", true
	}
	fmt.Printf("%s %.4g %.4g %s\n", name, value, limit, verdict)
}

// atLeast prints a figure that must reach limit.
func (r *report) atLeast(name string, value, limit float64) {
	verdict := "ok"
	if value < limit {
		verdict, r.over = "over", true
	}
	fmt.Printf("%s %.4g %.4g %s\n", name, value, limit, verdict)
}

func (r *report) note(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// A turn is the time that a few calls in a row took.
type turn struct{ p50, cpu time.Duration }

// A sample holds the turns of one contender.
type sample []turn

func (s sample) p50() time.Duration { return s.median(turn.wall) }

func (s sample) cpuPerCall() time.Duration { return s.median(turn.processor) }

func (t turn) wall() time.Duration      { return t.p50 }
func (t turn) processor() time.Duration { return t.cpu }

func (s sample) median(of func(turn) time.Duration) time.Duration {
	values := make([]time.Duration, len(s))
	for i, t := range s {
		values[i] = of(t)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// against returns the median ratio of the turns of two contenders. The turns of a pair ran one
// right after the other, so other work on the machine affected both.
func (s sample) against(other sample, of func(turn) time.Duration) float64 {
	ratios := make([]float64, len(s))
	for i := range s {
		ratios[i] = float64(of(s[i])) / float64(of(other[i]))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// alternate calls each contender in turns of a few calls, in changing order, and returns a sample
// for each contender.
func alternate(turns, callsPerTurn int, contenders ...func() error) ([]sample, error) {
	samples := make([]sample, len(contenders))
	for n := range turns + 1 {
		for i := range contenders {
			c := (i + n) % len(contenders)
			t, err := measure(callsPerTurn, contenders[c])
			if err != nil {
				return nil, err
			}
			if n > 0 { // the first turn warms up
				samples[c] = append(samples[c], t)
			}
		}
	}
	return samples, nil
}

func measure(calls int, call func() error) (turn, error) {
	durations := make([]time.Duration, calls)
	before := cpuTime()
	for n := range durations {
		start := time.Now()
		if err := call(); err != nil {
			return turn{}, err
		}
		durations[n] = time.Since(start)
	}
	cpu := (cpuTime() - before) / time.Duration(calls)
	slices.Sort(durations)
	return turn{durations[calls/2], cpu}, nil
}

// cpuTime returns the processor time of this process, user and system.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // RUSAGE_SELF is always valid
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
