#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# A bug of each class is planted, and makes the test that meets it fail: what the debug kernel does not report here
# it would not report of ours. The order matters: most reports turn lockdep off. kmemleak: planted_leak.
plan 14

PLANT=/sys/kernel/debug/rblk_planted/plant

expect_log '.' # all of it

# A test run of its own, of one script that meets the bug, does nothing else, and passes by itself.
mkdir "$WORK/tests"
cp "$TESTS/run.sh" "$TESTS/lib.sh" "$WORK/tests/"
cat >"$WORK/tests/meets_it.sh" <<'SCRIPT'
#!/bin/sh
. "$(dirname "$0")/lib.sh"
plan 1
meet() { (echo 1 >"$PLANT/$BUG") || true; }
check "it seems to work" meet
finish
SCRIPT
chmod +x "$WORK/tests/meets_it.sh"
export PLANT

meets() { BUG=$1 RESULTS='' "$WORK/tests/run.sh" meets_it; }

# makes_it_fail BUG PATTERN: and the reason is shown.
makes_it_fail() {
    fails_with "FAILED: the kernel log has complaints" meets "$1"
    grep -E "^ *# .*($2)" "$WORK/fails-output"
}

nothing_is_reported() {
    meets allocate
}

injects_faults() {
    python3 "$TESTS/debug/fail_nth.py" write "$PLANT/allocate" 1 >"$WORK/injected"
    cat "$WORK/injected"
    grep -q 'ENOMEM' "$WORK/injected"
}

kunit_fails() {
    grep '^ *not ok . it_fails' /sys/kernel/debug/kunit/rblk_planted/results
    grep '^ *ok . it_passes' /sys/kernel/debug/kunit/rblk_planted/results
}

insmod "$TESTS/kmod/rblk_planted.ko"
check "without a bug nothing is reported" nothing_is_reported
check "a KUnit test that fails is seen" kunit_fails
check "fault injection: an allocation fails" injects_faults
check "PROVE_LOCKING: two locks in either order" makes_it_fail lock_order 'circular locking dependency'
check "UBSAN: a shift that is too far, in C" makes_it_fail c_shift 'UBSAN: shift-out-of-bounds'
check "UBSAN: an index that is too large, in C" makes_it_fail c_index 'UBSAN: array-index-out-of-bounds'
check "DEBUG_OBJECTS: a timer that runs is freed" makes_it_fail active_timer 'ODEBUG: free active'
check "DEBUG_ATOMIC_SLEEP: a mutex under a spinlock" makes_it_fail sleep_in_atomic 'BUG: sleeping function called'
check "KASAN: beyond the end of slab memory" makes_it_fail slab_bounds 'KASAN: slab-out-of-bounds'
check "KASAN: beyond the end of vmalloc memory" makes_it_fail vmalloc_bounds 'KASAN: vmalloc-out-of-bounds'
check "KASAN: beyond an array on the stack" makes_it_fail stack_bounds 'KASAN: stack-out-of-bounds'
check "KASAN: use after free" makes_it_fail use_after_free 'KASAN: slab-use-after-free'
check "RUST_OVERFLOW_CHECKS: a sum that is too large" makes_it_fail overflow 'BUG'
check "RUST_DEBUG_ASSERTIONS: an assertion" makes_it_fail debug_assertion 'BUG'
finish
