#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# test-debug.sh [NAME...]: the whole test suite on the debug kernel, and tests/debug/, or those named. In several boots,
# as a kernel that reported one bug is blind for some others, and because kmemleak makes all else slow. The last
# line is the totals.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

become_root "$@"
use_cache
export FLAVOUR=debug
# What KASAN keeps of freed memory takes room.
export VM_MEMORY_MIB="${VM_MEMORY_MIB:-4096}" VM_SILENCE="${VM_SILENCE:-500}" VM_SECONDS="${VM_SECONDS:-14400}" TEST_SECONDS="${TEST_SECONDS:-900}"
export TEST_ENV="SLOWNESS=10 ${TEST_ENV-}"

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0

boot() { # boot NAME KERNEL-PARAMETERS TEST...
    export TEST_RESULTS="test-debug/$1" VM_APPEND="$2"
    say "debug kernel, $1"
    shift 2
    { script test.sh "$@" || echo "status $?"; } 2>&1 | tee -a "$output"
}

# KUnit would run its suites whenever a module is loaded.
quiet=kunit.enable=0
if [ $# -gt 0 ]; then
    case $* in
    *debug/kunit* | *debug/planted*) quiet= ;;
    esac
    # shellcheck disable=SC2046 # words
    boot chosen "slab_debug=U kasan_multi_shot $quiet" $(echo "$*" | tr ',' ' ')
else
    boot planted "slab_debug=U kasan_multi_shot" debug/kunit debug/planted
    boot leaks "slab_debug=U $quiet" debug/fail_nth load_unload many_devices
    # shellcheck disable=SC2046 # words
    boot suite "kmemleak=off $quiet" nightly/soak \
        $("$TOP/tests/run.sh" --list | grep -vxE 'load_unload|many_devices')
fi
! grep -q '^status ' "$output" || status=1
sed -n 's/^failed: /&/p' "$output"
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $1; failed += $3; skipped += $5 }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$output"
exit "$status"
