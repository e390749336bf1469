# SPDX-License-Identifier: GPL-2.0
# For test scripts: loading the module, checking, KTAP. A test script looks like this:
#
#   . "$(dirname "$0")/lib.sh"
#   # A discarded range reads as zeroes.
#   plan 2
#   pick_seed # if anything is done by chance
#   check "the module loads" load size=64
#   check "it reads as zeroes" reads_zeroes
#   finish
#
# Wherever it stops, what it mounted is unmounted and the module unloaded. Needs root and
#   RNULLBLK_KO    the module (default: rnullblk.ko of this tree)
#   KTAP_HELPERS   the kernel's tools/testing/selftests/kselftest/ktap_helpers.sh
# shellcheck shell=sh

set -eu

TESTS=$(cd "${TESTS:-$(dirname "$0")}" && pwd)
RNULLBLK_KO=${RNULLBLK_KO:-$TESTS/../rnullblk.ko}
# shellcheck disable=SC2034 # for the tests
DEBUGFS=/sys/kernel/debug/rnullblk
CONFIG=/sys/kernel/config/rnullblk
# shellcheck disable=SC2034
TRACING=/sys/kernel/tracing

[ -r "$RNULLBLK_KO" ] || { echo "no module $RNULLBLK_KO" >&2; exit 1; }
[ -r "${KTAP_HELPERS-}" ] || { echo "KTAP_HELPERS must name the kernel's ktap_helpers.sh" >&2; exit 1; }
# shellcheck source=/dev/null
. "$KTAP_HELPERS"

# A directory of this script's own; everything it mounts is below it.
WORK=$(mktemp -d)
EXPECTED_LOG=${EXPECTED_LOG:-$WORK/expected-log}

# A line in the kernel log that tells this script's lines from older ones.
LOG_MARK="rnullblk test: $(basename "$0") $$ starts"
echo "$LOG_MARK" >/dev/kmsg

mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
[ ! -d $TRACING ] || mountpoint -q $TRACING || mount -t tracefs tracefs $TRACING
[ -d /sys/kernel/config ] || modprobe configfs
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config

AT_END=
cleanup() {
    status=$?
    trap - EXIT
    cd /
    awk -v work="$WORK/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r mounted; do
            umount "$mounted" || status=1
        done
    [ -z "$AT_END" ] || $AT_END || status=1
    unload || status=1
    rm -rf --one-file-system "$WORK"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# at_end COMMAND: to be called wherever the script stops, between unmounting and unloading; for what lies on top of the
# devices.
at_end() { AT_END=$1; }

# plan N: there will be N results.
plan() {
    ktap_print_header
    ktap_set_plan "$1"
}

# check WHAT COMMAND...: one result. COMMAND may be a function of several steps; the first one that
# fails decides. It runs in a subshell, so it changes the machine but no variable of the script.
check() {
    check_what=$1
    shift
    set +e
    (
        set -e
        "$@"
    ) >"$WORK/check-output" 2>&1
    check_status=$?
    set -e
    if [ "$check_status" -eq 0 ]; then
        ktap_test_pass "$check_what"
        return
    fi
    ktap_test_fail "$check_what"
    echo "# exit status $check_status from: $*"
    tail -n 40 "$WORK/check-output" | sed 's/^/# /'
}

# skip WHAT WHY: one result that could not be had here.
skip() { ktap_test_skip "$1 ($2)"; }

# skip_all WHY: instead of a plan.
skip_all() {
    ktap_print_header
    ktap_skip_all "$1"
    exit "$KSFT_SKIP"
}

# finish: the last line of a test script.
finish() { ktap_finished; }

is_loaded() { [ -d /sys/module/rnullblk ]; }

# load [PARAMETER=VALUE...]: loads the module and waits for its device nodes.
load() {
    insmod "$RNULLBLK_KO" "$@"
    for device in /sys/block/rblk*; do
        [ ! -e "$device" ] || wait_for 5 test -b "/dev/${device##*/}"
        # The first open looks for partitions: let that be over before a test counts.
        [ ! -e "$device" ] || : <"/dev/${device##*/}"
    done
}

# unload: unloads the module if it is loaded. The device may be held for a moment, by udev for one.
unload() {
    is_loaded || return 0
    for description in "$CONFIG"/*/; do
        [ ! -d "$description" ] || rmdir "$description"
    done
    wait_for 5 rmmod rnullblk
}

# reload [PARAMETER=VALUE...]
reload() {
    unload
    load "$@"
}

# new NAME: a fresh description below configfs; one of that name goes first.
new() {
    [ ! -d "$CONFIG/$1" ] || rmdir "$CONFIG/$1"
    mkdir "$CONFIG/$1"
}

# set_to NAME ATTRIBUTE VALUE: of a description below configfs. The error is the kernel's.
set_to() { /bin/echo "$3" >"$CONFIG/$1/$2"; }

# has NAME ATTRIBUTE VALUE: the description shows it.
has() {
    read -r shown <"$CONFIG/$1/$2"
    [ "$shown" = "$3" ] || {
        echo "$1: $2 is '$shown', not '$3'"
        return 1
    }
}

# power NAME 1|0: and waits for the device node.
power() {
    set_to "$1" power "$2"
    [ "$2" -eq 0 ] || wait_for 5 test -b "/dev/$1"
}

# quick_power_off NAME SECONDS: it takes less.
quick_power_off() {
    power_off_at=$(date +%s)
    power "$1" 0
    power_off_took=$(($(date +%s) - power_off_at))
    echo "power off took $power_off_took s"
    [ "$power_off_took" -lt "$2" ]
}

# wait_for SECONDS COMMAND...: until COMMAND succeeds; shows what it said last if it never does. A debug kernel has so
# much longer as it is slower.
wait_for() {
    wait_until=$(($(date +%s) + $1 * ${SLOWNESS:-1}))
    shift
    until "$@" 2>"$WORK/wait-output"; do
        if [ "$(date +%s)" -ge "$wait_until" ]; then
            cat "$WORK/wait-output" >&2
            return 1
        fi
        sleep 0.1
    done
}

# fails_with PATTERN COMMAND...: COMMAND fails, and what it says matches PATTERN.
fails_with() {
    fails_pattern=$1
    shift
    if "$@" >"$WORK/fails-output" 2>&1; then
        echo "succeeded, but should fail: $*"
        return 1
    fi
    cat "$WORK/fails-output"
    grep -qE "$fails_pattern" "$WORK/fails-output" || {
        echo "failed, but without saying: $fails_pattern"
        return 1
    }
}

# pick_seed: sets and prints the seed of what the test does by chance. SEED=N repeats a run.
pick_seed() {
    # shellcheck disable=SC2034 # for the tests
    seed=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
    ktap_print_msg "SEED=$seed"
}

# scaled COUNT: so many, or so much less as a debug kernel is slower (SLOWNESS).
scaled() { echo $((($1 + ${SLOWNESS:-1} - 1) / ${SLOWNESS:-1})); }

# noise MIB [NUMBER]: so much of it, the same in each run with the seed of pick_seed, and another one for each number
noise() {
    python3 -c 'import random, sys; sys.stdout.buffer.write(
        random.Random(int(sys.argv[1])).randbytes(int(sys.argv[2]) << 20))' $((seed + ${2:-0})) "$1"
}

# used_kib: the memory that the kernel itself uses: vmalloc, slab, per-CPU. But KASAN holds back small objects that
# were freed, up to a 32nd of all memory: there only large allocations count, and a leak of others is for kmemleak.
used_kib() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    cat /proc/sys/vm/stat_refresh >/dev/null || true # what each CPU has counted by itself
    small=/dev/null
    ! has_kasan || small=/proc/slabinfo
    awk '/^(VmallocUsed|Slab|Percpu):/ { kib += $2 }
        /: slabdata / { kib -= 4 * $6 * $15 } # pages of each slab, slabs
        END { print kib }' /proc/meminfo "$small"
}

# Pages, which used_kib does not see.
available_kib() { awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }
are_available() { [ "$(available_kib)" -gt "$1" ]; } # are_available KIB

has_kasan() { grep -q ' kasan_report$' /proc/kallsyms; }

# memory_is_back BEFORE_KIB LIMIT_KIB: used_kib is less than so much above what it was before; what is freed is back
# within some seconds.
memory_is_back() { wait_for 10 uses_no_more "$@"; }
uses_no_more() {
    used_now=$(used_kib)
    echo "$1 KiB before, $used_now KiB now" >&2
    [ $((used_now - $1)) -lt "$2" ]
}

# while_verified_io COMMAND [ARGUMENT...] -- FIO-OPTION...: COMMAND, while two jobs write the first 32 MiB of
# rblk0 at random and verify them, again and again. No I/O fails, and in the end none is in flight.
while_verified_io() {
    while_command=
    while [ "$1" != -- ]; do
        while_command="$while_command $1"
        shift
    done
    shift
    rm -f "$WORK/done"
    verified_io_until_done "$@" &
    while_pid=$!
    trap 'touch "$WORK/done"; wait "$while_pid"' EXIT # of this check
    wait_for 20 writes_go_on
    $while_command
    touch "$WORK/done"
    wait "$while_pid"
    trap - EXIT
    cat "$DEBUGFS/rblk0/queues" "$DEBUGFS/rblk0/in_flight"
    grep -q '^0 started' "$DEBUGFS/rblk0/in_flight"
    [ "$(counter errors)" -eq 0 ]
    [ "$(counter timeouts)" -eq 0 ]
}

verified_io_until_done() { # verified_io_until_done FIO-OPTION...
    passes=0
    while [ ! -e "$WORK/done" ]; do
        # shellcheck disable=SC2154 # pick_seed sets it
        fio --name=verified --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
            --offset_increment=16m --size=16m --rw=randwrite --bs=4k --number_ios=1500 --randseed="$seed" \
            --verify=crc32c --verify_fatal=1 --verify_backlog=64 "$@" >"$WORK/fio.log" 2>&1 || {
            cat "$WORK/fio.log"
            return 1
        }
        passes=$((passes + 1))
    done
    echo "$passes passes of verified I/O"
}

# writes_go_on [BEFORE]: there were more of them.
writes_go_on() { [ "$(counter writes)" -gt "${1:-0}" ]; }

# verified_io NODE [FIO-OPTION...]: two jobs write 16 MiB at random and verify them once.
verified_io() {
    verified_node=$1
    shift
    fio --name=verified --filename="$verified_node" --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 \
        --offset_increment=8m --size=8m --rw=randwrite --bs=4k --number_ios=1000 --randseed="$seed" \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 "$@" >"$WORK/fio.log" 2>&1 || {
        cat "$WORK/fio.log"
        return 1
    }
}

# while_io NODE COMMAND [ARGUMENT...]: COMMAND, while verified_io goes on; none of it fails.
while_io() {
    while_node=$1
    shift
    rm -f "$WORK/done"
    (
        passes=0
        until [ -e "$WORK/done" ]; do
            verified_io "$while_node"
            passes=$((passes + 1))
        done
        echo "$passes passes of verified I/O"
    ) &
    while_pid=$!
    trap 'touch "$WORK/done"; wait "$while_pid"' EXIT # of this check
    while_before=$(sectors_written "$while_node")
    wait_for 20 has_written_more "$while_node" "$while_before"
    "$@"
    while_before=$(sectors_written "$while_node")
    wait_for 20 has_written_more "$while_node" "$while_before"
    touch "$WORK/done"
    wait "$while_pid"
    trap - EXIT
}

sectors_written() { awk '{ print $7 }' "/sys/dev/block/$(lsblk -dno MAJ:MIN "$1" | tr -d ' ')/stat"; } # sectors_written NODE
has_written_more() { [ "$(sectors_written "$1")" -gt "$2" ]; } # has_written_more NODE BEFORE

# sum_of NODE: a checksum of all that a device has, read from itself
sum_of() { dd if="$1" bs=1M iflag=direct status=none | sha256sum; }

# counter NAME [QUEUE [DEVICE]]: a number of rblk0's table of counters, of one hardware queue or over all.
counter() {
    awk -v name="$1" -v queue="${2-}" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i; next }
        queue == "" || $1 == queue { sum += $column }
        END { if (!column) exit 1; printf "%d\n", sum }' "$DEBUGFS/${3:-rblk0}/queues"
}

# mount_dir [NAME]: prints a directory to mount something on; it is unmounted at the end.
mount_dir() {
    mkdir -p "$WORK/${1:-mnt}"
    echo "$WORK/${1:-mnt}"
}

# fsck_finds_nothing TYPE DEVICE: the file system's own check finds no fault. It must not be mounted.
fsck_finds_nothing() {
    case $1 in
    ext4) e2fsck -fn "$2" ;;
    xfs) xfs_repair -n "$2" ;;
    btrfs) btrfs check --check-data-csum "$2" ;;
    *) return 1 ;;
    esac
}

# log_since_start: the kernel's lines since this script started.
log_since_start() { dmesg | awk -v mark="$LOG_MARK" 'index($0, mark) { found = 1; next } found'; }

# log_has PATTERN: the kernel said so since this script started.
log_has() {
    log_since_start | grep -E "$1" || {
        echo "the kernel log has no: $1"
        log_since_start
        return 1
    }
}

# expect_log PATTERN: kernel-log lines that match PATTERN belong to this test and are no failure.
expect_log() { echo "$1" >>"$EXPECTED_LOG"; }
