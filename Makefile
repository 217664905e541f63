# SPDX-License-Identifier: Apache-2.0
#
# What can be done here; the work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help run test build lint unit suite sharpness fuzz bench soak nightly guests vulncheck container-check clean-room clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## play the scenario on a real QEMU (FLAGS='--arch riscv64' and others: see mcdtest run --help)
	@scripts/run $(FLAGS)

test: ## every check, with what it needs installed (CHECKS="unit fuzz" runs some; scripts/test --help lists them)
	@scripts/test $(CHECKS)

build: ## bin/mcdtest
	@scripts/build

lint: ## the checks that run no test
	@scripts/test tools format shell modules build vet static

unit: ## the Go tests, with the race detector
	@scripts/test tools unit

suite: ## the Ginkgo suite on every QEMU version
	@scripts/test tools suite suite-native suite-smp suite-10.0 suite-7.2 suite-race

sharpness: ## put every fault into the stub and see which spec notices it; writes docs/sharpness.md
	@scripts/sharpness

guests: ## build the guest programs anew (needs lld and llvm)
	@scripts/need guests
	@scripts/build-guests

fuzz: ## every fuzz target (FUZZTIME=10s each)
	@FUZZTIME=$(or $(FUZZTIME),10s) scripts/test tools fuzz

bench: ## measure the stub beside the alternatives; writes docs/benchmarks.md (COUNT=10 figures each)
	@COUNT=$(or $(COUNT),10) scripts/bench

soak: ## hostile clients and ends of QEMU until nothing can leak (SOAK=60s)
	@SOAK=$(or $(SOAK),60s) scripts/soak

nightly: ## the long form of soak, fuzz and race (PARTS="soak fuzz" runs some; scripts/nightly --help)
	@scripts/nightly $(PARTS)

vulncheck: ## known vulnerabilities in what the project calls (VULNDB=latest for the newest list)
	@scripts/vulncheck

container-check: ## build the container image and check it (as root, or with docker or podman)
	@scripts/container-check

clean-room: ## make run and make test on a bare Debian in a temporary folder (as root)
	@scripts/clean-room

clean: ## remove what was built and the results
	@rm -rf bin artifacts
