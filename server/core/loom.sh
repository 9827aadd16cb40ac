#!/bin/sh
# Tries the pool's models in every order their threads can run, and says of each how many there were. `--cfg loom` swaps
# the atomics of the whole build, so it has a target folder of its own.
#
#   server/core/loom.sh [part of a model's name]
#   LOOM_MAX_PREEMPTIONS=4 server/core/loom.sh       another bound than the models' own; 100 is as good as none
set -eu
cd "$(dirname "$0")/../.."
export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR=target/loom

exec cargo test --release -p leasehold-core --lib -- "pool::tests::${1:-}" --nocapture --test-threads=1
