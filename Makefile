# Two modules: the product here, and standalone/, which embeds Temporal, NATS and PostgreSQL's
# management. Tools are installed by version into bin/tools and never enter a go.mod.

SQLC_VERSION          := v1.31.1
GOLANGCI_LINT_VERSION := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOVULNCHECK_VERSION   := v1.9.0
CYCLONEDX_VERSION     := v1.10.0

TOOLS         := $(CURDIR)/bin/tools
SQLC          ?= $(TOOLS)/sqlc-$(SQLC_VERSION)
GOLANGCI_LINT ?= $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
WORKFLOWCHECK ?= $(TOOLS)/workflowcheck-$(WORKFLOWCHECK_VERSION)
GOVULNCHECK   ?= $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
CYCLONEDX     ?= $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)

export TEST_TIMEOUT ?= 30m
FUZZTIME     ?= 30s

export OFFERFLOW_DATA_DIR ?= ./data

.DEFAULT_GOAL := help
.PHONY: help setup build run demo test lint generate verify record bench fuzz vulncheck sbom clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## check Go, and install PostgreSQL if it is missing
	@scripts/setup.sh

build: ## bin/offerflow and bin/standalone
	@scripts/build.sh offerflow . ./cmd/offerflow
	@scripts/build.sh standalone standalone .

run: setup build ## start everything in one process, on http://127.0.0.1:8080, data in ./data
	@exec bin/standalone

demo: setup build ## the same, then play the story of one rewarded offer and check every step
	@exec bin/standalone demo

test: setup ## vet and the tests of both modules; FULL=1 runs the long forms too, as CI does
	go vet ./...
	cd standalone && go vet ./...
	@scripts/test.sh $(if $(FULL),full)

lint: $(GOLANGCI_LINT) $(WORKFLOWCHECK) ## linters, the layer rule, determinism of the workflows
	$(GOLANGCI_LINT) run ./...
	cd standalone && $(GOLANGCI_LINT) run --config ../.golangci.yml ./...
	$(WORKFLOWCHECK) ./workflows/...

generate: $(SQLC) ## generate the bundle of /docs, sqlc's code, docs/openapi.json and docs/settings.md
	@scripts/reference.sh
	$(SQLC) generate
	@scripts/build.sh offerflow . ./cmd/offerflow
	bin/offerflow openapi > bin/openapi.json
	mv bin/openapi.json docs/openapi.json
	bin/offerflow config --table > bin/settings.md
	mv bin/settings.md docs/settings.md

verify: $(SQLC) ## fail if generated code, OpenAPI or go.mod is out of date
	@SQLC=$(SQLC) scripts/verify.sh

record: ## record replay histories into workflows/testdata
	cd standalone && go test ./replay -count=1 -timeout $(TEST_TIMEOUT) -record

bench: setup ## run the benchmarks; results: docs/benchmarks.md
	cd standalone && go run ./bench

fuzz: ## run every fuzz test for FUZZTIME (30s), and a million mutations of signed postbacks
	@scripts/fuzz.sh $(FUZZTIME)
	go test -vet=off ./api -run '^TestRule67Mutations$$' -count=1 -v -timeout 30m -mutations 1000000

vulncheck: $(GOVULNCHECK) ## check dependencies for known vulnerabilities; last result: docs/dependencies.md
	@GOVULNCHECK=$(GOVULNCHECK) scripts/vulncheck.sh

sbom: $(CYCLONEDX) build ## list the binaries' contents in CycloneDX format: bin/sbom-*.json
	$(CYCLONEDX) bin -json -std -version "$$(git rev-parse HEAD)" -output bin/sbom-offerflow.json bin/offerflow
	$(CYCLONEDX) bin -json -std -version "$$(git rev-parse HEAD)" -output bin/sbom-standalone.json bin/standalone
	@scripts/build.sh engine standalone ./cmd/engine
	$(CYCLONEDX) bin -json -std -version "$$(git rev-parse HEAD)" -output bin/sbom-engine.json bin/engine

clean: ## remove build results; data stays
	rm -rf bin

# CGO is off so that a tool builds the same with and without a C compiler.
$(TOOLS)/sqlc-$(SQLC_VERSION):
	@scripts/tool.sh $@ github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION)
$(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@scripts/tool.sh $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
$(TOOLS)/workflowcheck-$(WORKFLOWCHECK_VERSION):
	@scripts/tool.sh $@ go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
$(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION):
	@scripts/tool.sh $@ golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
$(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION):
	@scripts/tool.sh $@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
