#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The sample driver, which has nothing to do with RAM, works on the same abstractions.
SAMPLE_KO=${SAMPLE_KO:-$TESTS/../samples/rblk_null.ko}
[ -r "$SAMPLE_KO" ] || skip_all "no module $SAMPLE_KO; make RNULLBLK_TESTS=m builds it"
plan 12

DISK=/dev/rblknull
SYSFS=/sys/block/rblknull
STATE=/sys/kernel/debug/rblk_null/state
BLK_DEBUGFS=/sys/kernel/debug/block/rblknull
BUDGET=4
CAPACITY_SECTORS=2097152

unload_sample() { [ ! -d /sys/module/rblk_null ] || wait_for 5 rmmod rblk_null; }

unload_sample_and_clean_up() {
    stop_status=$?
    set +e
    unload_sample
    (exit "$stop_status")
    cleanup
}
trap unload_sample_and_clean_up EXIT

load_sample() {
    insmod "$SAMPLE_KO"
    wait_for 5 test -b "$DISK"
}

state() { awk -v name="$1" '$1 == name { print $2 }' "$STATE"; } # state NAME

state_is() { [ "$(state "$1")" -eq "$2" ]; } # state_is NAME VALUE

identified() {
    load_sample
    log_has "rblk_null: the device says it has $CAPACITY_SECTORS sectors"
    [ "$(blockdev --getsize64 "$DISK")" -eq $((CAPACITY_SECTORS * 512)) ]
    [ "$(blockdev --getss "$DISK")" -eq 4096 ]
    [ "$(state commands)" -ge 1 ]
}

# The first CPU has the last queue.
map_is_reversed() {
    cpus=$(getconf _NPROCESSORS_ONLN)
    grep -H . "$SYSFS"/mq/*/cpu_list
    for cpu in $(seq 0 $((cpus - 1))); do
        [ "$(cat "$SYSFS/mq/$((cpus - 1 - cpu))/cpu_list")" = "$cpu" ]
    done
}

load_io() {
    fio --name=load --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --rw=randrw --bs=4k --size=512m --number_ios=2000 --group_reporting \
        --output-format=json --output="$WORK/fio.json"
}

# under_load: runs load, and meanwhile keeps what debugfs shows of the requests: those in flight, and
# those that wait for a piece of the budget.
under_load() {
    before=$(state commands)
    load_io &
    load_pid=$!
    : >"$WORK/shown"
    most=0 hung=0 limit=$(($(date +%s) + 60))
    while kill -0 "$load_pid" 2>/dev/null; do
        # Nothing else would end it: the driver waits for its answers for ever.
        [ "$(date +%s)" -lt "$limit" ] || {
            hung=1
            echo run >"$BLK_DEBUGFS/state"
        }
        read -r _ out <"$STATE" # its first line
        [ "$out" -le "$most" ] || most=$out
        cat "$BLK_DEBUGFS"/hctx*/busy "$BLK_DEBUGFS"/hctx*/cpu*/default_rq_list >>"$WORK/shown"
    done
    wait "$load_pid"
    jq -e '.jobs[0].error == 0' "$WORK/fio.json"
    ios=$(jq '.jobs[0].read.total_ios + .jobs[0].write.total_ios' "$WORK/fio.json")
    merged=$(awk '{ print $2 + $6 }' "$SYSFS/stat")
    cat "$STATE"
    echo "$ios I/Os, $merged merged; at most $most out; hung: $hung"
    [ "$hung" -eq 0 ]
    # Each request was one command, or two if it was counted before it was merged.
    [ $(($(state commands) - before)) -ge $((ios - merged)) ]
    [ "$most" -ge 1 ]
    [ "$most" -le "$BUDGET" ]
    state_is out 0
}

shows_requests() {
    sort -u "$WORK/shown" | head -n 5
    grep -q 'op=READ.*, opcode=0}' "$WORK/shown"
    grep -q 'op=WRITE.*, opcode=0}' "$WORK/shown"
    ! grep -v ', opcode=0}' "$WORK/shown" || return 1
}

# Less often than there were commands; and some of it when the series ended otherwise than foreseen.
doorbells() {
    cat "$STATE"
    [ "$(state late_doorbells)" -gt 0 ]
    [ "$(state doorbells)" -gt "$(state late_doorbells)" ]
    [ "$(state doorbells)" -lt "$(state commands)" ]
    [ "$(state interrupts)" -le "$(state doorbells)" ]
}

from_python() { # from_python CODE: with fd, the open disk
    python3 -c "
import errno, fcntl, os, struct
fd = os.open('$DISK', os.O_RDWR)
$1"
}

own_ioctl() {
    from_python "
assert fcntl.ioctl(fd, 0x7250) == $BUDGET
try:
    fcntl.ioctl(fd, 0x7251)
    raise SystemExit('the unknown command was taken')
except OSError as error:
    assert error.errno == errno.ENOTTY, error
"
}

geometry() {
    from_python "
HDIO_GETGEO = 0x0301
answer = fcntl.ioctl(fd, HDIO_GETGEO, bytes(16))
heads, sectors, cylinders, start = struct.unpack('BBHxxxxL', answer)
print(heads, sectors, cylinders, start)
assert (heads, sectors, cylinders, start) == (64, 32, 1024, 0)
"
}

is_removable() { [ "$(cat "$SYSFS/removable")" = 1 ]; }

opens_are_counted() {
    wait_for 5 state_is opened 0
    exec 3<"$DISK"
    state_is opened 1
    exec 4<>"$DISK"
    state_is opened 2
    exec 3<&-
    state_is opened 1
    fails_with "is in use" rmmod rblk_null
    fails_with "temporarily unavailable" busybox rmmod rblk_null
    exec 4>&-
    wait_for 5 state_is opened 0
}

# The driver is told how it is opened.
open_mode() {
    python3 -c "import os; os.open('$DISK', os.O_RDWR | os.O_EXCL)"
    log_has "rblk_null: opened to write, by one alone"
    said=$(log_since_start | grep -c "opened to write, by one alone")
    python3 -c "import os; os.open('$DISK', os.O_RDONLY | os.O_EXCL)"
    [ "$(log_since_start | grep -c "opened to write, by one alone")" -eq "$said" ]
}

beside_rnullblk() {
    load size=16
    dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=64k count=16 status=none
    dd if="$DISK" of=/dev/null iflag=direct bs=64k count=16 status=none
    unload
    state_is out 0
}

load_and_unload() { # load_and_unload TIMES
    for _ in $(seq "$1"); do
        load_sample
        dd if="$DISK" of=/dev/null iflag=direct bs=4k count=4 status=none
        unload_sample
    done
}

memory_comes_back() {
    unload_sample
    load_and_unload 3 # the kernel's own caches fill up at first
    before=$(used_kib)
    load_and_unload 20
    memory_is_back "$before" 4096
    [ ! -e "$DISK" ]
    [ ! -e "$STATE" ]
}

check "it asks its device for the capacity through the admin queue" identified
check "it maps the CPUs its own way" map_is_reversed
check "64 requests are asked for at once, and no more than the budget are out" under_load
check "debugfs shows the opcode of each request" shows_requests
check "the doorbell rings for a series" doorbells
check "a command of its own, and none it does not know" own_ioctl
check "the geometry for old partition tables" geometry
check "it is removable" is_removable
check "opens and closes are counted, and an open one cannot be unloaded" opens_are_counted
check "it sees how it is opened" open_mode
check "both modules together" beside_rnullblk
check "20 times loaded and unloaded, the memory is back" memory_comes_back
finish
