# The commands a person types. Each sets up what it needs (see .ci/setup) and says what it does.
#
#   make demo         a relay at work: real mail in, plugins at all six hooks, delivery, deferral, bounce
#   make test         every test, and how many cases of suites passed
#   make bars         the long trials: kill -9, full disk, smuggling, MIME bombs, hostile plugins, other mail programs
#   make fuzz-smoke   every fuzz target for a minute (FUZZ_SECONDS=60); hours by hand: make fuzz-smoke FUZZ_SECONDS=7200
#   make bench        figures beside Debian's Postfix, by the same load on the same machine
#   make bench-bank   5,000 one-time codes among 50,000 confirmations
#   make script       the interpreter of scripted policies anew, as checked in at host/hooks/assets (needs clang)
#   make lint         formatting, clippy, licences and allowed dependencies
#
# One profile and one cache serve them all, so RocksDB and wasmtime are compiled once. The cache lies outside
# the checkout; set CARGO_TARGET_DIR to move it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: fuzz-smoke help setup script setup-test setup-bars relay plugins guests examples vectors browser demo test bars bench bench-relay bench-bank lint

export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/baton/target
# Where tests say how many cases of a suite passed.
export BATON_SUITES := $(CARGO_TARGET_DIR)/suites
PLUGIN_DIR := $(CARGO_TARGET_DIR)/wasm32-wasip2/plugin

# Names of the packages: the plugins that ship, and the ones that only tests load.
package_names = $(shell awk -F'"' '/^name = /{ print $$2; nextfile }' $(wildcard $(1)))
SHIPPED := $(call package_names,plugins/*/Cargo.toml)
GUESTS := $(SHIPPED) $(call package_names,tests/plugins/*/Cargo.toml sdk/rust/example/Cargo.toml)

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@.ci/setup build

setup-test:
	@.ci/setup test

setup-bars:
	@.ci/setup bars

# The whole workspace is named although one program is built: so its dependencies get the features that the
# tests need too, and neither command compiles them again after the other.
relay: setup
	@echo "==> building the relay"
	cargo build --workspace --bin baton

plugins: setup
	@echo "==> building the plugins that ship"
	cargo build --profile plugin --target wasm32-wasip2 $(addprefix -p ,$(SHIPPED))

guests: setup
	@echo "==> building the plugins, those for tests included"
	cargo build --profile plugin --target wasm32-wasip2 $(addprefix -p ,$(GUESTS))

demo: relay plugins
	"$(CARGO_TARGET_DIR)/debug/baton" demo --plugins "$(PLUGIN_DIR)" --corpus tests/corpus

# The common plugin of the SDKs, in languages other than Rust: by their own tools, when something changed.
examples: setup-test
	@.ci/examples

# Test suites that others wrote, fetched once.
vectors: setup-test
	@.ci/vectors

# What drives a browser, fetched once; npm comes with the tools of the SDKs where the machine has none.
browser: examples
	@.ci/browser

test: setup-test relay guests examples vectors browser
	@echo "==> running the tests"
	@rm -rf "$(BATON_SUITES)"
	cargo nextest run --workspace || status=$$?; \
		echo "==> cases of suites that passed"; cat "$(BATON_SUITES)"/*; exit $${status:-0}

bars: setup-bars relay guests
	cargo build --workspace --bin bare-parser --bin published
	tests/bars/run.py all

# Each fuzz target for a while, on stable Rust. What is built for it and what it learns lies in ~/.cache/baton/fuzz.
FUZZ_SECONDS ?= 60
fuzz-smoke: setup-test
	@echo "==> fuzzing, $(FUZZ_SECONDS) seconds for each target"
	@.ci/fuzz $(FUZZ_SECONDS)

# The relay that is measured is the same program, our own crates optimised and without debug assertions.
bench-relay: setup
	@echo "==> building the relay for measuring"
	CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false \
		cargo build --workspace --bin baton --example call_cost --example identity_cost
	mkdir -p "$(CARGO_TARGET_DIR)/bench"
	cp "$(CARGO_TARGET_DIR)/debug/baton" "$(CARGO_TARGET_DIR)"/debug/examples/{call_cost,identity_cost} "$(CARGO_TARGET_DIR)/bench/"

bench: bench-relay guests
	tests/bench/run.py all

bench-bank: bench-relay plugins
	tests/bench/run.py bank

script:
	@.ci/setup script
	sdk/script/build.sh

lint: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; else echo "cargo-deny is not installed: licences and bans are not checked"; fi
