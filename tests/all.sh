#!/usr/bin/env bash
# All tests, on a machine that has cargo and nothing else: installs what it needs, runs every stage to its end whatever
# the one before said, and ends with one plain line, "N passed, N failed". Status 0 only if nothing failed.
#
#   bash tests/all.sh                    everything that a change must pass
#   LEASEHOLD_LONG=1 bash tests/all.sh   and loom, a million shuttle schedules, planted mutants, 10^7 steps of the pool beside
#                                        its twin and a minute of its histories, fuzzing for 10 minutes a target, 1 000
#                                        seeds, a day in the big worlds, 10^6 datagrams on the wire, supply-chain rules
#   bash tests/all.sh NAME...            only the stages whose names contain one of these
#
# A failing simulated world prints its seed and the command that repeats it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
long=${LEASEHOLD_LONG:-}
only=("$@")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0 began=$SECONDS
summary=()

# stage NAME COMMAND...: runs it in the open, adds up its "test result" lines. A stage without such lines counts as one,
# or as none if it says that it was skipped.
stage() {
    local name=$1 start=$SECONDS status ok bad skips
    shift
    wanted "$name" || return 0
    printf '\n=== %s: %s\n' "$name" "$*"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    ok=$(sum passed) bad=$(sum failed)
    skips=$(grep -c "^SKIPPED" "$log")
    if ((ok + bad + skips == 0 && status == 0)); then ok=1; fi
    if ((bad == 0 && status != 0)); then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skips))
    summary+=("$(printf '%-28s %6d passed %4d failed %6d s' "$name" "$ok" "$bad" $((SECONDS - start)))")
    printf '=== %s: %d passed, %d failed, %d s\n' "$name" "$ok" "$bad" $((SECONDS - start))
}

sum() {
    grep -oE "^test result: .*" "$log" | grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'
}

wanted() {
    ((${#only[@]})) || return 0
    local part
    for part in "${only[@]}"; do [[ $1 == *"$part"* ]] && return 0; done
    return 1
}

# need COMMAND PACKAGES WHY: installs Debian packages if a command is missing.
need() {
    command -v "$1" >/dev/null && return 0
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return 0
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        printf '=== installing %s: %s\n' "$2" "$3"
        apt-get install -y -qq $2 >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq $2; } && return 0
    fi
    printf '=== NOT HERE: %s (Debian package %s), and it cannot be installed: %s\n' "$1" "$2" "$3"
    return 1
}

component() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    command -v rustup >/dev/null && rustup component add "$2"
}

tools() {
    if ! command -v cargo >/dev/null; then
        echo "cargo is not on the PATH: install Rust 1.95 or newer, see https://rustup.rs"
        return 1
    fi
    cargo --version
    need cc gcc "rustc links with it" && need ip iproute2 "the two-host tests make network namespaces with it"
    # Without it that test says that it was skipped.
    need faketime faketime "a server's wall clock is moved to a midnight with it" || true
    component fmt rustfmt && component clippy clippy
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
}

fuzz_corpora() {
    cargo test --manifest-path fuzz/Cargo.toml &&
        cargo test --manifest-path fuzz/Cargo.toml --features planted-faults --test planted
}

supply_chain() {
    if ! cargo deny --version >/dev/null 2>&1; then
        if [[ -z $long ]]; then
            echo "SKIPPED, LOUDLY: cargo-deny is not here; LEASEHOLD_LONG=1 installs it (about 7 minutes of one core)"
            return 0
        fi
        cargo install --locked cargo-deny --quiet || return 1
    fi
    cargo deny --log-level error check licenses bans sources
}

stage "tools" tools
stage "format" cargo fmt --all --check
stage "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
stage "no history" cargo clippy -p leasehold-server -p leasehold-cli --no-default-features --quiet -- -D warnings
# Its tests of whole processes find the binary and the examples where this very command has put them.
LEASEHOLD_BINARY=$PWD/target/debug/leasehold stage "tests" cargo test --workspace --no-fail-fast
# The simulated LAN as it is meant to be run. The faults are compiled in and switched on one by one; the worlds of
# `simulated` run without any.
sim=(cargo test --release -p leasehold-tests --features planted-faults --no-fail-fast)
stage "simulated hour" "${sim[@]}" --test simulated -- --nocapture --test-threads=1 hour::
stage "simulated worlds" "${sim[@]}" --lib --test simulated --test planted_faults -- --nocapture --skip hour::
stage "fuzz corpora" fuzz_corpora
stage "docs" docs
stage "supply chain" supply_chain

if [[ -n $long ]]; then
    stage "long: loom" sh server/core/loom.sh
    stage "long: shuttle" env SHUTTLE_ITERATIONS="${SHUTTLE_ITERATIONS:-200000}" sh server/core/shuttle.sh
    stage "long: mutants" sh server/core/mutants.sh
    stage "long: the pool" env LEASEHOLD_MODEL_OPS=10000000 LEASEHOLD_HISTORY_SECONDS=60 \
        cargo test --release -p leasehold-core --test pool
    LEASEHOLD_SEEDS=${LEASEHOLD_SEEDS:-1000} stage "long: 1000 seeds" \
        "${sim[@]}" --test simulated -- --nocapture no_rule_breaks_in_worlds_of_many_seeds
    LEASEHOLD_HOURS=${LEASEHOLD_HOURS:-24} stage "long: soak" \
        "${sim[@]}" --test simulated -- --nocapture --test-threads=1 hour::
    stage "long: two hosts" env LEASEHOLD_BINARY="$PWD/target/debug/leasehold" \
        cargo test -p leasehold-tests --test two_hosts -- --nocapture
    need swtpm "swtpm libtss2-dev" "the TPM's tests ask one made of software" &&
        stage "long: tpm" cargo test -p leasehold-hostid --features tpm
    stage "long: fuzz" bash fuzz/run.sh 600
fi

printf '\n'
((${#summary[@]})) && printf '%s\n' "${summary[@]}"
((skipped == 0)) || printf '%d SKIPPED, see above\n' "$skipped"
printf 'in %d s\n%d passed, %d failed\n' $((SECONDS - began)) "$passed" "$failed"
((failed == 0 && passed > 0))
