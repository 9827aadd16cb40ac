#!/bin/sh
# Runs the pool's larger models in random orders. `--cfg shuttle` swaps the pool's atomics, so it has a target folder of
# its own.
#
#   server/core/shuttle.sh [part of a model's name]           10 000 orders of each, some seconds
#   SHUTTLE_ITERATIONS=200000 server/core/shuttle.sh          a million of all five, some minutes
set -eu
cd "$(dirname "$0")/../.."
export RUSTFLAGS="--cfg shuttle"
export CARGO_TARGET_DIR=target/shuttle

exec cargo test --release -p leasehold-core --lib -- "pool::tests::${1:-}" --nocapture --test-threads=1
