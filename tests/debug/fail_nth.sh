#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# Each allocation fails in turn: what was begun works or fails cleanly, and works the next time.
# Where kmemleak is on, run.sh sees that nothing leaks.
#   ATTEMPTS    about how many of each operation's allocations, or 0: all of them (30)
plan 20
pick_seed

# in_turn WHAT ARGUMENT... [-- UNDO ARGUMENT...]
in_turn() {
    ATTEMPTS=${ATTEMPTS:-30} SEED=$seed python3 "$TESTS/debug/fail_nth.py" "$@" >"$WORK/seen" || {
        cat "$WORK/seen"
        return 1
    }
    echo "# $(cat "$WORK/seen")" >&3
    grep -Eq "^[1-9][0-9]* of .*${NEEDED-[1-9][0-9]* ENOMEM}" "$WORK/seen" || {
        echo "no allocation failed"
        return 1
    }
}
exec 3>&1

described() { # described [ATTRIBUTE VALUE]...
    new dut
    set_to dut size 2
    set_to dut hw_queue_depth 4
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        shift 2
    done
}

# EINVAL is what the kernel's add_disk() says where there was no memory for the device's name (dev_set_name()).
load_module() {
    ALSO=EINVAL in_turn insmod "$RNULLBLK_KO" nr_devices=1 size=2 hw_queue_depth=4 -- rmmod rnullblk
}

power_on() {
    described "$@"
    ALSO=EINVAL in_turn write "$CONFIG/dut/power" 1 -- write "$CONFIG/dut/power" 0
}

resize() {
    described
    power dut 1
    in_turn write "$CONFIG/dut/size" "$1" -- write "$CONFIG/dut/size" "2 force"
    power dut 0
}

queues() {
    described "$1" "$3"
    power dut 1
    # Most of the allocations are for files in sysfs and debugfs, which the kernel does without.
    NEEDED='' in_turn write "$CONFIG/dut/$1" "$2" -- write "$CONFIG/dut/$1" "$3"
    power dut 0
}

bad_blocks() {
    described
    power dut 1
    in_turn write "$CONFIG/dut/badblocks" +1-5 -- write "$CONFIG/dut/badblocks" -0-100
    power dut 0
}

first_io() {
    described
    power dut 1
    ALSO=EIO in_turn open /dev/dut # of a page cache without memory
    power dut 0
}

thin() { # a thin device with something in it
    described store thin
    power dut 1
    dd if=/dev/urandom of=/dev/dut bs=64k count=4 oflag=direct status=none
}

snapshots() {
    thin
    for on in 1 0; do
        power dut $on
        in_turn write "$CONFIG/dut/snapshot" one -- write "$CONFIG/dut/drop" one
    done
}

rollbacks() {
    thin
    set_to dut snapshot one
    for on in 1 0; do
        power dut $on
        in_turn write "$CONFIG/dut/rollback" "one force"
    done
}

# Two tables and three pages; it asks again for one that it does not get.
thin_writes() {
    thin
    blkdiscard /dev/dut
    ALSO=ENOSPC NEEDED='' in_turn fill /dev/dut -- discard /dev/dut
    power dut 0
}

# Where it does not reach the driver, as there was no memory for opening the file, it works the next time.
powers_off() {
    described "$@"
    power dut 1
    NEEDED='' in_turn write "$CONFIG/dut/power" 0 -- write "$CONFIG/dut/power" 1
    power dut 0
}

removed_while_on() {
    described
    power dut 1
    NEEDED='' in_turn rmdir "$CONFIG/dut" -- make "$CONFIG/dut"
    rmdir "$CONFIG/dut"
}

unloaded() {
    unload
    load nr_devices=1 size=2 hw_queue_depth=4
    NEEDED='' in_turn rmmod rnullblk -- insmod "$RNULLBLK_KO" nr_devices=1 size=2 hw_queue_depth=4
}

# vmalloc shows who asked in vain, the partition scan say. Whatever is a bug says more than that.
expect_log 'Call Trace:$|critical space allocation error'
check "insmod" load_module
load nr_devices=0 size=2 hw_queue_depth=4
check "a new description" in_turn mkdir "$CONFIG/it" -- rmdir "$CONFIG/it"
check "power on" power_on
check "with a timer, a throttle, polling, shared tags" \
    power_on irqmode 2 mbps 100 poll_queues 1 shared_tags 1
check "with a cache and faults" power_on cache_size 1 timeout_inject 1,1,0,-1 init_hctx_fault_inject 1,1,0,0
check "with a thin store, a log and a history" power_on store thin write_log 1 history_size 1
check "a snapshot" snapshots
check "a rollback" rollbacks
check "a write to a thin store" thin_writes
check "it grows" resize 4
check "it shrinks" resize "1 force"
check "more hardware queues" queues submit_queues 2 1
check "poll queues" queues poll_queues 2 1
check "bad blocks" bad_blocks
check "looking for partitions and a read" first_io
check "power off" powers_off
check "power off with a cache, a throttle and a timer" powers_off irqmode 2 mbps 100 cache_size 1
check "power off with a thin store, a log and a history" powers_off store thin write_log 1 history_size 1
check "rmdir with the power on" removed_while_on
check "rmmod" unloaded
finish
