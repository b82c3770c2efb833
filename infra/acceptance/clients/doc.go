// Package clients holds no code. Its tests drive Latchkey with clients for GitLab that people have and whose start
// takes too long for `make test`: python-gitlab as a library and as a command.
package clients
