#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# test-debug.sh [all | NAME...]: tests/debug/ and tests/ on the debug kernel: those that fit into twenty minutes, all,
# or those named. In several boots, as a kernel that reported one bug is blind for some others, and because kmemleak
# makes all else slow; two machines run at a time. The last line is the totals. What boot-tests.sh leaves is in
# build/test-debug/.
. "$(dirname "$0")/lib.sh"
export FLAVOUR=debug
. "$SCRIPTS/kernels.sh"

# What makes the kernel report bugs; what wants kmemleak; what takes two minutes and more there.
PLANTED="debug/kunit debug/planted"
LEAKS="debug/planted_leak debug/fail_nth load_unload many_devices surprise_removal"
LONG="attributes backpressure badblocks configfs cpu_hotplug data_integrity docs filesystems geometry hostile latency
 limits live_medium many_devices memory parameters reference silent_faults snapshots stressed_filesystems tag_sets thin_store
 throttle timeouts write_log"
# What wants modules that this kernel has not.
STOCK="$(cd "$TOP/tests" && echo stack_*.sh | sed 's/\.sh//g')"

# What KASAN keeps of freed memory takes room.
export VM_MEMORY_MIB="${VM_MEMORY_MIB:-4096}" VM_SILENCE="${VM_SILENCE:-500}" VM_SECONDS="${VM_SECONDS:-14400}" TEST_SECONDS="${TEST_SECONDS:-1200}"

words() { echo "$*" | tr -s ' \n' '\n'; }

among() { words "$2" | grep -xF "$(words "$1")" || true; }      # among LIST WORDS: those that are in the list
not_among() { words "$2" | grep -vxF "$(words "$1")" || true; } # and those that are not

# boot NAME KERNEL-PARAMETERS TESTS: if there are any.
boot() {
    [ -n "$3" ] || return 0
    left=$TOP/build/test-debug/$1
    # shellcheck disable=SC2086 # words
    VM_APPEND=$2 script boot-tests.sh "test-debug/$1" $3 2>&1 | sed -u "s/^/$1: /"
    [ -e "$left/totals" ] || {
        mkdir -p "$left"
        echo "$1: no totals came of it" >"$left/failed"
        echo "0 passed, 1 failed, 0 skipped" >"$left/totals"
    }
}

# Of those that need no boot of their own one of three comes after kmemleak, which makes all slow; after the planted bugs the
# other two.
one_of_three() { not_among "$PLANTED $LEAKS" "$1" | awk 'NR % 3 == 0'; }
two_of_three() { not_among "$PLANTED $LEAKS" "$1" | awk 'NR % 3'; }

# KUnit would run its suites whenever a module is loaded.
quiet=kunit.enable=0
case ${1-} in
--planted)
    boot planted "kmemleak=off kasan_multi_shot" "$(among "$PLANTED" "$2")"
    boot many "kmemleak=off $quiet" "$(two_of_three "$2")"
    exit
    ;;
--leaks)
    # kmemleak looks at all memory.
    (export VM_MEMORY_MIB=2048 && boot leaks "slab_debug=U $quiet" "$(among "$LEAKS" "$2")")
    boot few "kmemleak=off $quiet" "$(one_of_three "$2")"
    exit
    ;;
esac

tests=$(words "$@" | tr ',' '\n')
everything="$PLANTED debug/planted_leak debug/fail_nth nightly/soak $(not_among "$STOCK" "$("$TOP/tests/run.sh" --list)")"
case $tests in
"") tests=$(not_among "$LONG" "$everything") ;;
all) tests=$(words "$everything") ;;
esac
become_root "$@"
# shellcheck disable=SC2086 # words
build_for_tests $tests
rm -rf "$TOP/build/test-debug"
export TEST_ENV="SLOWNESS=10 ${TEST_ENV-}"
tied "$SCRIPTS/test-debug.sh" --planted "$tests" &
script test-debug.sh --leaks "$tests"
wait
show_totals build/test-debug
