#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# The KUnit suites of what needs no device (tests/kunit.rs), as the kernel ran them when the module was loaded.
RESULTS_OF_KUNIT=/sys/kernel/debug/kunit

insmod "$RNULLBLK_KO" nr_devices=0
cat "$RESULTS_OF_KUNIT"/rnullblk_*/results | awk '
    $1 == "ok" || $1 == "not" { at = $1 == "ok" ? 3 : 4 }
    /^ *# Subtest: / { suite = $3 }
    /^    (not )?ok / { print ($1 == "ok" ? "ok" : "failed"), suite ":", $at }' >"$WORK/results"
# A suite that is not there has no results.
plan $(($(wc -l <"$WORK/results") + 1))
suites=$(sed -n 's/^#\[kunit_tests(\(.*\))\]$/\1/p' "$TESTS/kunit.rs")
have_run() { for suite in $suites; do grep -q " $suite:" "$WORK/results"; done; }
check "all suites have run" have_run
passed() { [ "$1" = ok ] || { cat "$RESULTS_OF_KUNIT/${2%:}/results"; return 1; }; }
while read -r result suite name; do
    check "$suite $name" passed "$result" "$suite"
done <"$WORK/results"
finish
