package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A login is a connection that logs in as an account. Both come from sshd.
type login struct{ account, connection string }

// A session is what a login's token permits. The file holds no bearer. The account's group may read it, and
// nobody else on the machine.
type session struct {
	Account    string    `json:"account"`
	Connection string    `json:"connection"`
	Owner      string    `json:"owner"`
	Scopes     []string  `json:"scopes"`
	At         time.Time `json:"authenticated_at"`
	Exp        int64     `json:"exp"`
}

const (
	maxSession = 64 << 10
	// oldSession is when the file of a session may be removed.
	oldSession = 2 * time.Hour
)

// address is the client's, which decides about tokens with networks.
func (l login) address() string {
	address, _, _ := strings.Cut(l.connection, " ")
	return address
}

func (l login) path(cfg config) string {
	name := sha256.Sum256([]byte(l.account + "\x00" + l.connection))
	return filepath.Join(cfg.Sessions, hex.EncodeToString(name[:]))
}

// forget removes the session of an earlier login with the same addresses and ports, and makes the directory
// if it is not there.
func (l login) forget(cfg config) error {
	if err := os.Mkdir(cfg.Sessions, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(cfg.Sessions)
	if err != nil {
		return err
	}
	system, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ok || int(system.Uid) != os.Getuid() {
		return fmt.Errorf("%s: not a directory that only the caller may write to", cfg.Sessions)
	}
	if err := os.Remove(l.path(cfg)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keep writes the session of a token, and removes those of long ago.
func (l login) keep(cfg config, t token) error {
	text, err := json.Marshal(session{Account: l.account, Connection: l.connection, Owner: t.Username, Scopes: t.scopes(), At: now().UTC(), Exp: t.Exp})
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	if err := create(l.path(cfg), text, groupOf(l.account)); err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	entries, _ := os.ReadDir(cfg.Sessions)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && now().Sub(info.ModTime()) > oldSession {
			_ = os.Remove(filepath.Join(cfg.Sessions, entry.Name()))
		}
	}
	return nil
}

// create writes a new file that only the caller and a group may read.
func create(path string, text []byte, group int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Chown(-1, group), file.Chmod(0o640), file.Close())
}

// groupOf returns the id of an account's group, or the caller's own for an account that is not here, whose
// shell then finds nothing that it may read.
func groupOf(account string) int {
	if known, err := user.Lookup(account); err == nil {
		if id, err := strconv.Atoi(known.Gid); err == nil {
			return id
		}
	}
	return os.Getgid()
}

// read returns the session of a login. It refuses a login without one, and one whose token has expired or
// that is older than the configuration allows.
func (l login) read(cfg config) (session, error) {
	text, err := readOwn(l.path(cfg), maxSession, 0o022)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return session{}, fmt.Errorf("%w: this connection has not logged in with a token", errRefused)
	case err != nil:
		return session{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	var s session
	if err := json.Unmarshal(text, &s); err != nil || s.Account != l.account || s.Connection != l.connection {
		return session{}, fmt.Errorf("%w: the session file is broken", errConfig)
	}
	age := now().Sub(s.At)
	switch {
	case s.Exp != 0 && s.Exp <= now().Unix():
		return session{}, fmt.Errorf("%w: the token has expired", errRefused)
	case age < 0 || age > cfg.session():
		return session{}, fmt.Errorf("%w: the login is too long ago; connect again, without a shared connection", errRefused)
	}
	return s, nil
}
