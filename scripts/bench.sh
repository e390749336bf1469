#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# bench.sh [exact|times|quick]: builds the module and measures rnullblk, null_blk and brd: in a machine whose clock counts
# instructions, where the same run gives the same figures, whatever else this machine does; and by the clock, for
# which it should do nothing else. The figures stay in build/bench/, as a table, as JSON and as plots. Quick are the
# exact ones on which most depends. Fails if an exact figure is not what is asked for.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"
set -o pipefail

case ${1-} in
'') kinds="exact times" ;;
exact | times | quick) kinds=$1 ;;
*) die "make bench knows T=exact, T=times and T=quick, not T=$1" ;;
esac
become_root "$@"
use_cache
script setup.sh vm
export RNULLBLK_TESTS=m
script build-module.sh vm

results=$TOP/build/bench
rm -rf "$results"
mkdir -p "$results"

# measure NAME MINUTES COMMAND: boots a machine for tests/bench/COMMAND; shown is each figure as it comes.
measure() {
    say "booting $(cat "$KERNEL_TREE/release") for $1 figures, which takes about $2 minutes"
    tied "$SCRIPTS/vm.sh" "$results/$1" "set -o pipefail
        $3 | tee /results/figures |
            awk -F '\t' '\$1 == \"figure\" { printf \"%-19s %-36s %-9s %12.0f\\n\", \$2, \$3, \$4, \$5; fflush() }'" |
        tee "$results/$1.log"
}

compilers() { # as the module was built
    script in-builder.sh "$KERNEL_TREE" sh -c "rustc --version; $CC --version | head -n 1" | paste -s -d ,
}

for kind in $kinds; do
    case $kind in
    exact) (VM_ICOUNT=1 VM_MEMORY_MIB=${VM_MEMORY_MIB:-6144} measure exact 7 tests/bench/exact.sh) ;;
    times)
        (VM_CPUS=4 VM_NODES=1 measure times 6 tests/bench/times.sh) &&
            (VM_CPUS=2 VM_NODES=1 measure scaling 3 "tests/bench/times.sh scaling")
        ;;
    quick) (VM_ICOUNT=1 measure quick 1 "QUICK=1 tests/bench/exact.sh") ;;
    esac || {
        chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
        die "the measurement failed; the kernel's log is build/bench/$kind/kernel.log"
    }
done
status=0
accelerator=${VM_ACCEL:-$("$SCRIPTS/accel.sh")}
host=$(sha256sum /etc/machine-id 2>/dev/null || true)
cat "$results"/*/figures | in_tools python3 /module/tests/bench/report.py /module/build/bench \
    "kernel=$(cat "$KERNEL_TREE/release")" "compilers=$(compilers)" "emulator=$("$SCRIPTS/qemu.sh" --version | head -n 1)" \
    "exact=instructions, by QEMU -icount shift=0 on one CPU" "accelerator=${accelerator%%,*}" "host=${host:0:8}" "kinds=$kinds" \
    "host_cpu_model=$(sed -n '/^model name/ { s/.*: //; p; q }' /proc/cpuinfo)" "date=$(date -u +%F)" |
    tee "$results/table.txt" || status=$?
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
[ -e "$results/results.json" ] || die "the figures could not be read"
say "in build/bench/: table.txt, results.json, and the plots as SVG and PNG"
[ "$status" -eq 0 ] || die "some figures are not what is asked for"
