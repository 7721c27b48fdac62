# Every target works from a fresh clone with Go, make and, where no container
# engine runs yet, apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin
# The machine's own, unless a release asks for another: see `dist`.
GOARCH  := $(shell go env GOARCH)

# The version is stamped below, so Go need not ask git, which refuses a checkout of another user.
# The binaries are static and say no paths; tests are compiled the same way, so that all of
# it is compiled once.
export GOFLAGS := $(GOFLAGS) -buildvcs=false -trimpath
export CGO_ENABLED := 0
# Only `build` compiles for another machine; what runs here is for this one.
unexport GOARCH

.PHONY: help
help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: engine build ## An orchestrator and its database, healthy
	@$(BIN)/inmanta-docker image ensure
	@$(BIN)/inmanta-docker up

.PHONY: down
down: build ## Stop and remove them; their data stays
	@$(BIN)/inmanta-docker down

.PHONY: test
test: engine clients ## Every test, the end-to-end ones included
	@# Nothing from the cache: a result of yesterday's engine says nothing about today's.
	@# The scenarios by themselves: what waits for real containers is not to wait for other tests.
	packages=$$(go list ./... | grep -v '/e2e$$'); failed=0; \
	go test -count=1 -timeout=60m $$packages || failed=1; \
	go test -count=1 -timeout=60m ./e2e || failed=1; \
	exit $$failed

.PHONY: soak
soak: engine clients ## What kills things at random, for longer: the logrotate sidecar 1,000 times, the pair of databases 200 times
	INMANTA_PROOF_SOAK=1 go test -count=1 -timeout=40m -v -run 'Killed|PowerCut' ./sidecar/logrotate/proof
	INMANTA_DURABLE_SOAK=1 go test -count=1 -timeout=90m -v -run 'DurableRounds' ./e2e

.PHONY: lint
lint: ## gofmt, go vet, staticcheck and, where its database can be reached, govulncheck
	@tools/lint

.PHONY: bench
bench: engine build ## Measure against stock docker compose
	@go run ./bench

.PHONY: build
build: binaries ## Both binaries, static, in bin/; the sidecars' beside the compose files, too
	@# Unless it is there already: what is new there makes containers anew.
	@install -C -m 755 $(BIN)/inmanta-sidecar inmanta-sidecar

.PHONY: binaries
binaries:
	@mkdir -p $(BIN)
	GOOS=linux GOARCH=$(GOARCH) go build \
		-ldflags '-s -w -X main.version=$(VERSION)' \
		-o $(BIN)/ ./cmd/inmanta-docker ./cmd/inmanta-sidecar

.PHONY: docs
docs: ## Write the generated parts of the documentation again
	@go run ./cmd/docs

.PHONY: dist
dist: ## One archive a platform, for machines without Go, in dist/
	@rm -rf dist
	@for arch in amd64 arm64; do \
		$(MAKE) binaries GOARCH=$$arch BIN=dist/build/$$arch; \
	done
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} \
		go run ./cmd/dist -version '$(VERSION)' -binaries dist/build -to dist

.PHONY: clean
clean: ## Remove what was built; images, containers and their data stay
	rm -rf bin dist inmanta-sidecar

# With what the end-to-end tests log in to the sidecars, what the proof of the
# logrotate sidecar needs, and the S3 server that backups are kept in.
.PHONY: clients
clients:
	@e2e/clients
	@sidecar/logrotate/proof/needs
	@store/needs

# No engine, no orchestrator: one is started, or installed first.
.PHONY: engine
engine:
	@go run ./cmd/host-engine
