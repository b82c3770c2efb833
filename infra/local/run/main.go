// Command run starts Latchkey on this machine: `make run`.
//
// The two scans, and the lifetime run where one was planned, run at their times
// while it runs, and /mailbox/ shows what they sent. PORT picks the port (8080). DYNAMODB_ENDPOINT names another engine than the
// embedded one, DynamoDB Local or a real region's; what it holds then outlives
// the program, so the pepper does too, in .local/pepper. SEED=1 also makes two
// accounts, a group with a project, and tokens of them; what is there already
// stays, and only the bearers are new. It prints an administrator's bearer and
// commands to try, writes .local/env, and ends on Ctrl-C.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/local"
	"latchkey/infra/local/dynamodblocal"
	"latchkey/infra/local/engine"
	"latchkey/infra/local/mailbox"
	"latchkey/infra/local/seed"
	"latchkey/pkg/clock"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "latchkey:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	seeded, err := wantsSeed()
	if err != nil {
		return err
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	template, err := local.ReadTemplate("template.yaml", map[string]string{"SenderAddress": local.Sender})
	if err != nil {
		return fmt.Errorf("%w (start it from the folder that holds template.yaml)", err)
	}
	if err := os.MkdirAll(".local", 0o700); err != nil {
		return err
	}
	box := mailbox.New(clock.System{}, mailsKept)
	product := local.Product{
		Template: template, Table: "latchkey",
		Mail: box.Client, Plans: local.NewPlans(template.Machines()), Scheduled: true,
		Pages: map[string]http.Handler{mailbox.PagesPath: box.Pages(), mailbox.APIPath: box.API()},
		Clock: clock.System{}, Random: rand.Reader,
		Log: func(function string) *slog.Logger { return telemetry.NewLogger(os.Stderr, function) },
	}
	engineName, err := chooseEngine(ctx, &product)
	if err != nil {
		return err
	}
	cloud, err := product.Run(ctx, listener, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	bearer, err := cloud.Administrator(ctx, "root", "make run "+clock.System{}.Now().Format(time.DateTime), "")
	if err != nil {
		return err
	}
	var world *seed.Bearers
	if seeded {
		bearers, err := seed.Make(ctx, cloud.URL(), bearer, clock.System{}.Now().AddDate(0, 0, settings.MaxLifetimeDays).Format(time.DateOnly))
		if err != nil {
			return err
		}
		world = &bearers
	}
	if err := greet(cloud.URL(), bearer, engineName, world); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Println("\nLatchkey stopped.")
	return nil
}

// mailsKept is how many mails the mailbox page shows.
const mailsKept = 500

func wantsSeed() (bool, error) {
	switch value := os.Getenv("SEED"); value {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, fmt.Errorf("SEED is %q, not 0 or 1", value)
	}
}

func listen() (net.Listener, error) {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return nil, fmt.Errorf("PORT is %q, not a number from 0 to 65535", port)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, fmt.Errorf("%w (choose another port: make run PORT=8081)", err)
	}
	return listener, nil
}

// chooseEngine points the product at the embedded engine or at the one that
// DYNAMODB_ENDPOINT names, with credentials that are made up unless the
// endpoint is not on this machine.
func chooseEngine(ctx context.Context, product *local.Product) (name string, err error) {
	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	if endpoint == "" {
		product.Pepper = rand.Text() + rand.Text()
		product.Client = engine.New().Client
		return "embedded, in memory; it forgets everything when it stops", nil
	}
	if product.Pepper, err = keptPepper(filepath.Join(".local", "pepper")); err != nil {
		return "", err
	}
	product.Client = func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return dynamodblocal.Client(endpoint, options...)
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") != "" || os.Getenv("AWS_PROFILE") != "" {
		aws, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return "", err
		}
		product.Client = func(options ...func(*dynamodb.Options)) *dynamodb.Client {
			first := func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint }
			return dynamodb.NewFromConfig(aws, append([]func(*dynamodb.Options){first}, options...)...)
		}
	}
	return endpoint, nil
}

func keptPepper(path string) (string, error) {
	kept, err := os.ReadFile(path)
	if err == nil {
		return string(kept), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	pepper := rand.Text() + rand.Text()
	return pepper, os.WriteFile(path, []byte(pepper), 0o600)
}

func greet(url, bearer, engineName string, world *seed.Bearers) error {
	env := filepath.Join(".local", "env")
	content := fmt.Sprintf("export LATCHKEY_URL=%s\nexport LATCHKEY_TOKEN=%s\n", url, bearer)
	if world != nil {
		content += fmt.Sprintf("export LATCHKEY_DEVELOPER_TOKEN=%s\nexport LATCHKEY_MAINTAINER_TOKEN=%s\nexport LATCHKEY_PROJECT_TOKEN=%s\n",
			world.Developer, world.Maintainer, world.Project)
	}
	if err := os.WriteFile(env, []byte(content), 0o600); err != nil {
		return err
	}
	nextYear := clock.System{}.Now().Truncate(24*time.Hour).AddDate(0, 0, settings.MaxLifetimeDays-5).Add(time.Hour)
	fmt.Printf(`
Latchkey runs at %[1]s
Engine: %[3]s
Administrator: root, bearer %[2]s
(for your shell: . ./%[4]s)
%[6]s
Make a token, use it on the sample API, see what it may not do:

  curl -sS -H "PRIVATE-TOKEN: %[2]s" %[1]s/api/v4/users/1/personal_access_tokens -d name=try -d 'scopes[]=read_api'
  curl -sS -H "PRIVATE-TOKEN: %[2]s" '%[1]s/api/v4/personal_access_tokens?state=active'
  curl -sS -H "Authorization: Bearer %[2]s" %[1]s/sample/hello

Mails about tokens that end, sent at 01:00 and 02:00 UTC: %[1]s/mailbox/
Tokens last a year unless they are told otherwise. To have the mail of their last week now:

  curl -sS %[1]s/2015-03-31/functions/expiring/invocations -d '{"time":"%[5]s"}'

Ctrl-C ends it.
`, url, bearer, engineName, env, nextYear.Format(time.RFC3339), introduce(world))
	return nil
}

// introduce names who is in the world, and their bearers.
func introduce(world *seed.Bearers) string {
	if world == nil {
		return ""
	}
	return fmt.Sprintf(`
Project %[1]s in the group %[2]s:

  %-12[3]s %[4]s
  %-12[5]s %[6]s
  %-12[7]s %[8]s
`, seed.Project, seed.Group, seed.Developer, world.Developer, seed.Maintainer, world.Maintainer, "its token", world.Project)
}
