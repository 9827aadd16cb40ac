#!/usr/bin/env bash
# Fuzzes every target for so many seconds each (20 by default) on the stable compiler, from corpus/TARGET. What it finds is
# left in artifacts/TARGET; inputs that reach new code in target/found/TARGET, outside the repository's corpora.
#
#   fuzz/run.sh [seconds] [target...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
shift || true
if [ $# -gt 0 ]; then targets=("$@"); else
    targets=()
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2

failed=()
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p "target/found/$target" "corpus/$target"
    # The longest input: a datagram, or a text of a few pages.
    case $target in datagram | frames) length=1300 ;; *) length=4096 ;; esac
    if ! cargo fuzz run --release --sanitizer none "$target" "target/found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len="$length" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        2>&1 | tee "target/found/$target.log" | grep -E "panicked|assertion|ERROR|SUMMARY|Test unit|stat::number_of_executed|stat::average_exec|error(\[|:)|^Done"; then
        failed+=("$target")
    elif grep -qE "SUMMARY: libFuzzer|panicked at|^error" "target/found/$target.log"; then
        failed+=("$target")
    fi
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "findings in: ${failed[*]} (fuzz/artifacts, fuzz/target/found/*.log)"
    exit 1
fi
echo "no findings in: ${targets[*]}"
