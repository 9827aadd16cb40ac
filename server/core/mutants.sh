#!/bin/sh
# Plants each fault of `mutants/` in a copy of the tree, one at a time, and runs the one test that must notice it. Ends
# with a failure if one survives, or if its old text is no longer in the code. Takes some ten minutes.
#
#   server/core/mutants.sh [part of a mutant's name]
#
# A mutant is a text: `why:`, `file:` (under src/pool), `test:` (std, loom or shuttle, and its name under `pool`), and
# what is replaced by what, after the lines `--- old` and `--- new`.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
tree=$root/target/mutants/tree
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - --ignore-failed-read 2>/dev/null |
    tar -x -C "$tree"

# The part of mutant $1 after the line `--- $2`.
part() { awk -v want="--- $2" '/^--- (old|new)$/ { on = ($0 == want); next } on' "$1"; }
field() { sed -n "s/^$2: //p" "$1"; }

# Copies file $1 to $2 with the mutant's text $3 in place of $4, which must be there once.
plant() {
    new=$3 old=$4 awk '
        { all = all $0 "\n" }
        END {
            old = ENVIRON["old"]; at = index(all, old); rest = substr(all, at + length(old))
            if (!at || index(rest, old)) exit 1
            printf "%s%s%s", substr(all, 1, at - 1), ENVIRON["new"], rest
        }' "$1" >"$2"
}

# Runs test $2 under $1, or with $3 = --no-run only builds it. In a subshell: it changes folder.
run() (
    case $1 in
    std) flags= target=$root/target/mutants/std name=pool::$2 profile= ;;
    *) flags="--cfg $1" target=$root/target/mutants/$1 name=pool::tests::$2 profile=--release ;;
    esac
    cd "$tree"
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$target timeout 600 \
        cargo test --quiet $profile -p leasehold-core --lib ${3:-} -- --exact "$name"
)

survived=0 planted=0
for mutant in server/core/mutants/*"${1:-}"*.txt; do
    name=$(basename "$mutant" .txt) file=server/core/src/pool/$(field "$mutant" file)
    set -- $(field "$mutant" test)
    planted=$((planted + 1))
    if ! plant "$root/$file" "$tree/$file" "$(part "$mutant" new)" "$(part "$mutant" old)"; then
        verdict="NOT PLANTED: its old text is not in $file, or not once"
    elif ! run "$1" "$2" --no-run >target/mutants/log 2>&1; then
        verdict="NOT BUILT: see target/mutants/log"
    elif run "$1" "$2" >target/mutants/log 2>&1; then
        verdict=SURVIVED
        ! grep -q '^running 0 tests' target/mutants/log || verdict="NOT RUN: there is no such test"
    elif grep -q '^test result: FAILED\|panicked\|SIG' target/mutants/log; then
        verdict=caught
    else
        verdict="NOT RUN: see target/mutants/log"
    fi
    cp "$root/$file" "$tree/$file"
    [ "$verdict" = caught ] || survived=$((survived + 1))
    echo "$name: $verdict ($1 $2)"
done
echo "$planted planted, $((planted - survived)) caught"
[ "$survived" = 0 ]
