#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# test.sh [NAME...]: builds the module, boots the virtual machine and runs tests/ in it. Its last line is
# the totals. The kernel's log and all output stay in build/test/.
#   TEST_RESULTS      another directory below build/
#   TEST_ENV          words NAME=VALUE for the tests' environment
#   TEST_SECONDS      see tests/run.sh
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"
set -o pipefail

names=$(echo "$*" | tr ',' ' ')
known=$("$TOP/tests/run.sh" --list)
for name in $names; do
    case $name in
    */*) [ -x "$TOP/tests/$name.sh" ] ;;
    *) echo "$known" | grep -qx -- "$name" ;;
    esac || die "no test named '$name'; there are: $(echo "$known" | tr '\n' ' ')"
done

become_root "$@"
use_cache
script setup.sh vm
[ ! -d "$TOP/tests/kmod" ] || export RNULLBLK_TESTS=m
script build-module.sh vm
script build-tools.sh vm

results=$TOP/build/${TEST_RESULTS:-test}
exec 6<"$TOP/tests"
flock -n 6 || {
    say "waiting for another test run in this tree"
    flock 6
}
rm -rf "$results"
mkdir -p "$results"
booted=$(date +%s)
say "booting $(cat "$KERNEL_TREE/release")"

status=0
tied "$SCRIPTS/vm.sh" "$results" \
    "RESULTS=/results ${TEST_ENV-} ${TEST_SECONDS:+TEST_SECONDS=$TEST_SECONDS} ${SEED:+SEED=$SEED} exec tests/run.sh $names" |
    tee "$results/console.log" || status=$?
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
say "the virtual machine ran for $(($(date +%s) - booted)) s; its output and kernel log are in ${results#"$TOP/"}/"

if [ -e "$results/totals" ]; then
    [ ! -e "$results/failed" ] || sed 's/^/failed: /' "$results/failed"
    cat "$results/totals"
    exit "$status"
fi

# The machine went down under a test: what was seen counts, and that it went down is one failure more.
awk '
    BEGIN { script = "boot" }
    /^# [a-z0-9_\/-]+$/ { script = $2 }
    /^  ok [0-9]+ .*# SKIP/ { skipped++; next }
    /^  ok [0-9]+ / { passed++ }
    /^  (not ok [0-9]+ |# FAILED: )/ { failed++; print "failed: " script ":" substr($0, 9) }
    END {
        print "failed: " script ": the virtual machine did not come to its end"
        printf "%d passed, %d failed, %d skipped\n", passed, failed + 1, skipped
    }' "$results/console.log"
exit 1
