# contactgate: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 10m
BENCHTIME ?= 10s

.PHONY: help build demo test deps vet lint unit browser fuzz soak mutants bench bench-redis golden screenshots fmt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/contactgate
	go build -trimpath -o bin/contactgate ./cmd/contactgate

demo: ## show the product on this machine
	go run ./cmd/contactgate gate demo

test: deps vet lint unit browser ## everything that has to pass, and what it needs

deps: ## install what the tests need (Debian packages, npm packages)
	@.ci/deps

vet:
	go vet ./...
	go vet -tags faults ./internal/verify

lint: ## golangci-lint, built from its own module
	go run $(GOLANGCI) run ./...

unit: ## all Go tests, with the race detector in the tests and in the binary that they drive
	go build -race -o bin/contactgate-race ./cmd/contactgate
	@# most of them wait: four at a time, however few processors there are
	CONTACTGATE_REDIS=1 CONTACTGATE_BINARY=$(CURDIR)/bin/contactgate-race go test -race -timeout 20m -parallel 4 $$(go list ./... | grep -v /pages$$)
	go test ./pages # thousands of pages, each on its own: only what many do at once is watched for races
	go test -race -run AtOnce ./pages

browser: ## the journeys in a real Chromium
	cd cmd/contactgate/browser && npm ci --no-audit --no-fund --loglevel=error
	CONTACTGATE_BROWSER=1 go test -timeout 30m -run '^TestBrowser' ./cmd/contactgate

screenshots: ## every page in every state and three languages to screenshots/, and docs/screenshot.png
	cd cmd/contactgate/browser && npm ci --no-audit --no-fund --loglevel=error
	CONTACTGATE_BROWSER=1 CONTACTGATE_SCREENSHOTS=$(CURDIR)/screenshots go test -timeout 30m -count=1 -run '^TestBrowser/(gallery|states)$$' ./cmd/contactgate
	cd cmd/contactgate/browser && node readme.mjs $(CURDIR)/screenshots $(CURDIR)/docs/screenshot.png

fuzz: ## long fuzzing of everything that a client can spell (FUZZTIME=10m each)
	@for folder in policy pages internal/identity internal/verify; do \
		for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$folder/*_test.go | cut -d' ' -f2); do \
			go test ./$$folder -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME); done; done

soak: mutants ## the big counts: kill -9 loops, master kills, flows, histories, newcomers
	CONTACTGATE_REDIS=1 CONTACTGATE_MASTER_KILLS=20 CONTACTGATE_KILL_LOOPS=500 CONTACTGATE_FLOWS=1000000 CONTACTGATE_HISTORIES=2000 go test -timeout 3h -count=1 ./internal/... ./policy
	CONTACTGATE_NEWCOMERS=50000 CONTACTGATE_RESETS=10000 go test -timeout 1h -count=1 -run '^TestO0[15]' ./cmd/contactgate

mutants: ## take each rule that a fault test guards out of the source, and see that the test goes red
	CONTACTGATE_MUTANTS=1 go test -timeout 1h -count=1 -v -run '^TestMutants' .

bench: ## requests per second beside bare reverse_proxy, in one run (CONTACTGATE_BENCH_REPORT=folder writes tables and plots)
	CONTACTGATE_BENCH=1 go test -timeout 120m -count=1 -v -run '^TestBench' ./cmd/contactgate
	go test -run '^$$' -bench . -benchmem ./policy ./internal/verify ./caddymodule

bench-redis: ## the same with its accounts on a Redis of its own
	CONTACTGATE_BENCH=1 CONTACTGATE_BENCH_STORE=redis go test -timeout 120m -count=1 -v -run '^TestBench' ./cmd/contactgate

golden: ## write the golden files anew; look at the diff
	go test ./pages ./caddymodule -update

fmt: ## gofmt, and the example Caddyfile
	gofmt -w $$(git ls-files '*.go')
	go run ./cmd/contactgate fmt --overwrite Caddyfile.example
