#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# bench.sh: builds the module, boots a virtual machine whose clock counts instructions, and measures rnullblk, null_blk
# and brd in it. The same run gives the same figures, whatever else this machine does. They stay in build/bench/.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"
set -o pipefail

become_root "$@"
use_cache
script setup.sh vm
export RNULLBLK_TESTS=m
script build-module.sh vm

results=$TOP/build/bench
rm -rf "$results"
mkdir -p "$results"
say "booting $(cat "$KERNEL_TREE/release"); this takes about a minute"

status=0
VM_ICOUNT=1 tied "$SCRIPTS/vm.sh" "$results" "set -o pipefail
    tests/bench/measure.sh | tee /results/figures |
        awk -F '\t' '{ printf \"%-17s %-18s %10d\\n\", \$2, \$3, \$4; fflush() }' &&
        tests/bench/report.py instructions /results/results.json </results/figures" |
    tee "$results/console.log" || status=$?
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
[ "$status" -eq 0 ] || die "the measurement failed; the kernel's log is build/bench/kernel.log"
say "the figures are in build/bench/results.json"
