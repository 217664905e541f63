# SPDX-License-Identifier: Apache-2.0
#
# What can be done here; the work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help run test build lint unit guests fuzz vulncheck clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## play the scenario on a real QEMU (FLAGS='--arch riscv64' and others: see mcdtest run --help)
	@scripts/run $(FLAGS)

test: ## every check, with what it needs installed (CHECKS="unit fuzz" runs some; scripts/test --help lists them)
	@scripts/test $(CHECKS)

build: ## bin/mcdtest
	@scripts/build

lint: ## the checks that run no test
	@scripts/test format shell modules build vet static

unit: ## the Go tests, with the race detector
	@scripts/test unit

guests: ## build the guest programs anew (needs lld and llvm)
	@scripts/need guests
	@scripts/build-guests

fuzz: ## every fuzz target (FUZZTIME=10s each)
	@FUZZTIME=$(or $(FUZZTIME),10s) scripts/test fuzz

vulncheck: ## known vulnerabilities in what the project calls (VULNDB=latest for the newest list)
	@scripts/vulncheck

clean: ## remove what was built and the results
	@rm -rf bin artifacts
