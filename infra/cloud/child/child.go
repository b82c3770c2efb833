// Package child runs programs that never outlive the process that started them, however that process ends.
// Start with Start. It installs nothing.
package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
)

// wrapper execs the program and leaves a watcher behind that kills it when standard input closes.
// The kernel closes a parent's pipe even after SIGKILL. A parent-death signal belongs to one thread
// and exists only on Linux. A line on the pipe tells the watcher that the program has exited,
// because another process may have its process id by now.
const wrapper = `exec 3<&0
(read -r _ <&3 || kill -9 $$) &
exec "$@" </dev/null 3<&-`

const tail = 2 << 10 // bytes of the output in an error

// A Child is a program that was started. Its methods are safe for concurrent use.
type Child struct {
	keeper *os.File // the program runs as long as this is open; see wrapper
	exited chan struct{}
	output *os.File
}

// Start runs a program in a folder ("" for this one), with further environment variables. It does not wait until
// the program serves anything.
func Start(folder string, environ []string, program string, arguments ...string) (*Child, error) {
	// The output goes to an unlinked file. A pipe could fill up and stop the program, or keep `go
	// test` waiting, and a named file would stay behind.
	output, err := os.CreateTemp("", "child-*.log")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(output.Name()); err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", append([]string{"-c", wrapper, "child", program}, arguments...)...)
	watched, keeper, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Dir, cmd.Env = folder, append(os.Environ(), environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = watched, output, output
	err = cmd.Start()
	watched.Close()
	if err != nil {
		keeper.Close()
		output.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	c := &Child{keeper: keeper, exited: make(chan struct{}), output: output}
	go c.reap(cmd)
	return c, nil
}

// reap waits until the program has exited, then stops its watcher.
func (c *Child) reap(cmd *exec.Cmd) {
	_ = cmd.Wait() // the output says more than the exit status
	_, _ = c.keeper.WriteString("\n")
	close(c.exited)
}

// Exited is closed when the program has exited.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Stop kills the program and waits for its exit. A second call does nothing.
func (c *Child) Stop() {
	c.keeper.Close()
	<-c.exited
	c.output.Close()
}

// Tail returns the end of what the program has printed, until Stop.
func (c *Child) Tail() []byte {
	info, err := c.output.Stat()
	if err != nil {
		return nil
	}
	last := make([]byte, min(info.Size(), tail))
	n, _ := c.output.ReadAt(last, info.Size()-int64(len(last)))
	return last[:n]
}

// ErrExited means that a program exited before it served anything, for example because its port was taken.
var ErrExited = errors.New("program exited")

const tries = 3

// Retry calls start with a free port of 127.0.0.1, and again with another one if that ends with ErrExited: another
// process may take the port first.
func Retry[T any](ctx context.Context, start func(port int) (T, error)) (started T, err error) {
	for try := 1; ; try++ {
		port, err := freePort(ctx)
		if err != nil {
			return started, err
		}
		if started, err = start(port); !errors.Is(err, ErrExited) || try == tries {
			return started, err
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
