# The one front door. `make help` lists the targets.

SHELL       := /bin/sh
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules --no-print-directory

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
GITLEAKS_VERSION      := v8.30.1

TOOLS         := $(CURDIR)/.tools
GOLANGCI_LINT := $(TOOLS)/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(TOOLS)/bin/govulncheck-$(GOVULNCHECK_VERSION)
GITLEAKS      := $(TOOLS)/bin/gitleaks-$(GITLEAKS_VERSION)
VENV          := $(TOOLS)/venv
ENGINE        := $(TOOLS)/dynamodb-local
NPM           := $(TOOLS)/npm
FUNCTIONS     := $(notdir $(patsubst %/,%,$(wildcard functions/*/)))

# Tests run `aws lambda invoke` against the local cloud with this one, whatever the machine has.
export AWS_CLI := $(VENV)/bin/aws

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: run
run: ## the whole cloud on this machine; PORT picks the port (default 8080), SEED=1 adds a project with people and tokens
	@infra/local/run/build.sh
	@exec ./build/local

.PHONY: test
test: tools ## every test, with the race detector
	go test -race -timeout 30m ./... # packages share the cores: one that takes four minutes alone takes ten beside others

.PHONY: lint
lint: lint-go lint-style lint-tidy lint-template lint-vulnerabilities ## format, stock linters, our own rules, template, vulnerabilities

.PHONY: ci
ci: lint test ## everything to pass before a push: lint and test

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the Go code and sort its imports
	$(GOLANGCI_LINT) fmt ./...

.PHONY: build
build: $(FUNCTIONS:%=build/%/bootstrap) ## every function as deployed (Linux, arm64), with its size in bytes
	@wc -c $^

.PHONY: bench
bench: tools ## measure checks, lists, scans and lifetime runs
	go run ./infra/bench

.PHONY: golden
golden: tools ## rewrite the golden files; review the diff like code
	UPDATE_GOLDEN=1 go test -count=1 $$(find ./pkg ./functions ./infra -path '*/testdata/golden' -type d | sed 's|/testdata/golden$$||')

.PHONY: tools
tools: system $(ENGINE)/.installed $(VENV)/.installed $(NPM)/.installed $(GITLEAKS) ## install what the tests need, under .tools

.PHONY: clean
clean: ## remove what build and run left
	rm -rf build .local coverage.out

.PHONY: distclean
distclean: clean ## remove the installed tools as well
	rm -rf $(TOOLS)

# The parts of lint

.PHONY: lint-go
lint-go: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) run ./...

.PHONY: lint-style
lint-style:
	go run ./infra/tools/lint

.PHONY: lint-tidy
lint-tidy:
	go mod tidy -diff

.PHONY: lint-template
lint-template: $(VENV)/.installed
	$(VENV)/bin/cfn-lint template.yaml infra/table.yaml
	$(VENV)/bin/python infra/translate.py

.PHONY: lint-vulnerabilities
lint-vulnerabilities: $(GOVULNCHECK)
	infra/tools/vulnerabilities.sh $(GOVULNCHECK)

# Builds. The go command decides what is out of date.

.PHONY: FORCE
build/%/bootstrap: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -ldflags '-s -w' -tags lambda.norpc -o $@ ./functions/$*

# Installations. Each leaves a file that says which version is there, so that a second run does nothing.

.PHONY: system
system:
	@infra/tools/system.sh

$(ENGINE)/.installed: infra/tools/dynamodb-local/pom.xml | system
	rm -rf $(@D)
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(@D)
	touch $@

$(VENV)/.installed: infra/tools/requirements.txt | system
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(NPM)/.installed: infra/tools/npm/package.json infra/tools/npm/package-lock.json | system
	rm -rf $(@D)
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Built here and not by `go run`, which would link them anew for every run and hide their exit codes.
$(GOLANGCI_LINT): PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
$(GOVULNCHECK): PACKAGE := golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
$(GITLEAKS): PACKAGE := github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)
$(GOLANGCI_LINT) $(GOVULNCHECK) $(GITLEAKS):
	GOBIN=$(@D) go install $(PACKAGE)
	mv $(@D)/$(word 1,$(subst -v, ,$(@F))) $@
