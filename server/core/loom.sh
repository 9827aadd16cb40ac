#!/bin/sh
# Tries the pool's models in every order their threads can run. `--cfg loom` swaps the atomics of the whole build, so it
# has a target folder of its own.
set -eu
cd "$(dirname "$0")/../.."
export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR=target/loom

exec cargo test --release -p leasehold-core --lib "$@" -- pool::tests
