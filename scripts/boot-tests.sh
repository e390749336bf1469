#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# boot-tests.sh RESULTS [NAME...]: boots the virtual machine with what is built in this tree and runs tests/ in it,
# all or those named. All output, the kernel's log, the totals and the names of what failed stay in build/RESULTS.
#   TEST_ENV        words NAME=VALUE for the tests' environment
#   TEST_SECONDS    see tests/run.sh
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"
set -o pipefail

results=$TOP/build/$1
shift

rm -rf "$results"
mkdir -p "$results"
booted=$(date +%s)
say "booting $(cat "$KERNEL_TREE/release")"

status=0
tied "$SCRIPTS/vm.sh" "$results" \
    "RESULTS=/results ${TEST_ENV-} ${TEST_SECONDS:+TEST_SECONDS=$TEST_SECONDS} ${SEED:+SEED=$SEED} exec tests/run.sh $*" |
    tee "$results/console.log" || status=$?
say "the virtual machine ran for $(($(date +%s) - booted)) s; its output and kernel log are in ${results#"$TOP/"}/"

# The machine went down under a test: what was seen counts, and that it went down is one failure more.
[ -e "$results/totals" ] || {
    status=1
    awk -v failures="$results/failed" '
        BEGIN { script = "boot" }
        /^# [a-z0-9_\/-]+$/ { script = $2 }
        /^  ok [0-9]+ .*# SKIP/ { skipped++; next }
        /^  ok [0-9]+ / { passed++ }
        /^  (not ok [0-9]+ |# FAILED: )/ { failed++; print script ":" substr($0, 9) >failures }
        END {
            print script ": the virtual machine did not come to its end" >failures
            printf "%d passed, %d failed, %d skipped\n", passed, failed + 1, skipped
        }' "$results/console.log" >"$results/totals"
}
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
exit "$status"
