// Command ssh lets people log in to OpenSSH with a token as password, for Git. Install it as
// /usr/local/sbin/latchkey-ssh; docs/ssh.md says how.
//
//	latchkey-ssh pam CONFIG     for pam_exec, in the stages auth and account
//	latchkey-ssh shell CONFIG   for ForceCommand: runs the Git command of a session if its token permits it
//
// The stage auth introspects the password (RFC 7662) and keeps what the token permits in a session file,
// without the bearer. The stage account and the shell read that file. So whoever was let in without a token,
// by a key for instance, gets no further. Everything that cannot be decided is refused.
//
// The exit code of pam is 0 for yes, 1 for no, 2 for undecided, 3 for a broken configuration. The shell
// becomes the Git command, or exits with 1 or 3.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"syscall"
	"time"

	"latchkey/pkg/clock"
)

var (
	errRefused   = errors.New("refused")
	errUndecided = errors.New("undecided")
	errConfig    = errors.New("configuration")
	// errDecoy is a refusal that is not logged: what was typed as a user's name may be a password.
	errDecoy = errors.New("decoy")
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdin, loggers(os.Args[1:], os.Stderr)))
}

// run returns the exit code.
func run(args []string, env func(string) string, input io.Reader, log io.Writer) int {
	err := do(args, env, input)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDecoy):
		return 1
	}
	about := ""
	if stage := env("PAM_TYPE"); stage != "" { // what comes from the client is quoted
		about = fmt.Sprintf("stage %s, account %q, from %q: ", stage, env("PAM_USER"), env("PAM_RHOST"))
	}
	_, _ = fmt.Fprintf(log, "latchkey-ssh: %s%v\n", about, err)
	switch {
	case errors.Is(err, errRefused):
		return 1
	case errors.Is(err, errUndecided):
		return 2
	default:
		return 3
	}
}

func do(args []string, env func(string) string, input io.Reader) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: usage: latchkey-ssh pam|shell CONFIG", errConfig)
	}
	cfg, err := readConfig(args[1])
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	switch args[0] {
	case "pam":
		ctx, cancel := context.WithTimeout(context.Background(), cfg.limit())
		defer cancel()
		return pam(ctx, cfg, env, input)
	case "shell":
		program, command, err := shell(cfg, env)
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", errConfig, syscall.Exec(program, command, os.Environ()))
	default:
		return fmt.Errorf("%w: usage: latchkey-ssh pam|shell CONFIG", errConfig)
	}
}

// pam serves one stage of PAM.
func pam(ctx context.Context, cfg config, env func(string) string, input io.Reader) error {
	login := login{account: env("PAM_USER"), connection: env("SSH_CONNECTION")}
	if login.account == "" || login.connection == "" {
		return fmt.Errorf("%w: PAM_USER or SSH_CONNECTION is missing; this is for sshd and pam_exec", errConfig)
	}
	switch stage := env("PAM_TYPE"); stage {
	case "auth":
		return authenticate(ctx, cfg, login, input)
	case "account":
		_, err := login.read(cfg)
		return err
	default:
		return fmt.Errorf("%w: stage %q is none of auth and account", errConfig, stage)
	}
}

func authenticate(ctx context.Context, cfg config, login login, input io.Reader) error {
	if err := login.forget(cfg); err != nil { // of an earlier attempt, or connection
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	password, err := readPassword(ctx, input)
	if err != nil {
		return err
	}
	token, err := introspect(ctx, cfg, password, login.address())
	if err != nil {
		return err
	}
	if !cfg.owns(token.Username, login.account) {
		return fmt.Errorf("%w: the account is not the one of the token's owner %q, and no mapping says so", errRefused, token.Username)
	}
	if !cfg.pulls(token.scopes()) {
		return fmt.Errorf("%w: no scope of the token opens Git", errRefused)
	}
	return login.keep(cfg, token)
}

// loggers returns where refusals are told: the system's log, and standard error, which pam_exec can put into
// a file and the shell shows to the client.
func loggers(args []string, stderr io.Writer) io.Writer {
	log, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "latchkey-ssh")
	switch {
	case err != nil: // no system log here
		return stderr
	case len(args) > 0 && args[0] == "shell":
		return io.MultiWriter(stderr, log)
	default:
		return io.MultiWriter(log, stderr)
	}
}

func now() time.Time { return clock.System{}.Now() }
