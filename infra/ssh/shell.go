package main

import (
	"fmt"
	"os/exec"
	"os/user"
	"regexp"
)

// gitCommand matches the commands of Git's clients, whose one argument is in single quotes. git-shell reads
// the quotes again; a path that needs more than these is refused.
var gitCommand = regexp.MustCompile(`^git[- ](upload-pack|upload-archive|receive-pack) '[^'!\x00-\x1f\x7f]+'$`)

// shell returns the program and the arguments for the command of a session: git-shell, which runs nothing
// but Git. A token that may not push gets no git-receive-pack.
func shell(cfg config, env func(string) string) (program string, args []string, err error) {
	caller, err := user.Current()
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	session, err := login{account: caller.Username, connection: env("SSH_CONNECTION")}.read(cfg)
	if err != nil {
		return "", nil, err
	}
	command := env("SSH_ORIGINAL_COMMAND")
	match := gitCommand.FindStringSubmatch(command)
	switch {
	case match == nil:
		return "", nil, fmt.Errorf("%w: only Git is served here", errRefused)
	case match[1] == "receive-pack" && !cfg.pushes(session.Scopes), !cfg.pulls(session.Scopes):
		return "", nil, fmt.Errorf("%w: the token's scopes do not permit git %s", errRefused, match[1])
	}
	if program, err = exec.LookPath("git-shell"); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	return program, []string{"git-shell", "-c", command}, nil
}
