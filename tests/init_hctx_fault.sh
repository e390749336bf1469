#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# When a hardware queue cannot be made, no disk is, and nothing is left of it; a disk that is there goes
# on with the queues it has.
plan 6

expect_log 'Increasing nr_hw_queues to .* fails'

available_kib() { awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }

leaves_nothing() { # leaves_nothing PARAMETER=VALUE...: and says ENOMEM
    unload
    fails_with 'Cannot allocate memory' insmod "$RNULLBLK_KO" "$@"
    log_has 'rblk0: not made: ENOMEM'
    [ ! -e /sys/module/rnullblk ]
    [ ! -e "$DEBUGFS" ]
    [ ! -e /sys/block/rblk0 ]
    [ ! -e /dev/rblk0 ]
}

first_queue() {
    leaves_nothing size=16 submit_queues=2 init_hctx_fault_inject=1,100,0,-1
    load size=16 submit_queues=2
    works
}

second_queue() {
    leaves_nothing size=16 submit_queues=2 init_hctx_fault_inject=2,100,0,1
    leaves_nothing size=16 submit_queues=2 poll_queues=2 irqmode=2 init_hctx_fault_inject=4,100,0,1
    load size=16 submit_queues=2
    works
}

# The first disk is complete when the queue of the second fails.
second_disk() {
    leaves_nothing size=16 nr_devices=2 submit_queues=1 shared_tags=1 init_hctx_fault_inject=1,100,0,-1
    load size=16 nr_devices=2
    works
}

no_memory_is_lost() {
    unload
    before=$(available_kib)
    for _ in 1 2 3; do
        leaves_nothing size=256 submit_queues=2 hw_queue_depth=1024 init_hctx_fault_inject=2,100,0,1
    done
    after=$(available_kib)
    echo "$before KiB available before, $after KiB after"
    [ $((before - after)) -lt 49152 ]
}

# Each block that is written can be read.
works() {
    dd if=/dev/urandom of="$WORK/data" bs=64k count=16 status=none
    dd if="$WORK/data" of=/dev/rblk0 bs=64k oflag=direct status=none
    is_there
}

is_there() { dd if=/dev/rblk0 bs=64k count=16 iflag=direct status=none | cmp - "$WORK/data"; }

queues_are() {
    [ "$(cat "$DEBUGFS/rblk0/submit_queues")" -eq "$1" ]
    [ "$(find /sys/block/rblk0/mq -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq "$1" ]
    [ "$(tail -n +2 "$DEBUGFS/rblk0/queues" | wc -l)" -eq "$1" ]
}

# The shell's own echo does not say which error it met.
more_queues() { echo "$1" | tee "$DEBUGFS/rblk0/submit_queues"; }

# The first queue, which is made anew, is no chance: the kernel would not survive it.
new_queue_fails() {
    reload size=16 submit_queues=1 irqmode=2 init_hctx_fault_inject=2,100,0,1
    works
    fails_with 'Cannot allocate memory' more_queues 2
    log_has 'Increasing nr_hw_queues to 2 fails'
    queues_are 1
    is_there
    works
    # The fault is over.
    more_queues 2
    queues_are 2
    is_there
    works
}

# Under load: all of it succeeds, whatever becomes of the queues.
under_load() {
    reload size=16 submit_queues=1 init_hctx_fault_inject=2,100,0,1
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
        --bs=4k --size=8m --verify=crc32c --time_based --runtime=5 --output="$WORK/fio.log" &
    fio_pid=$!
    wait_for 20 is_loaded_with_work
    fails_with 'Cannot allocate memory' more_queues 2
    queues_are 1
    more_queues 2
    queues_are 2
    wait "$fio_pid" || {
        cat "$WORK/fio.log"
        return 1
    }
    works
}

is_loaded_with_work() { [ "$(counter writes)" -gt 100 ]; }

check "the first queue fails: no disk, and nothing is left" first_queue
check "the second does, or the last one to be polled" second_queue
check "one of two disks that share tags does" second_disk
check "no memory is lost" no_memory_is_lost
check "a queue that is added fails: the old one works on, and later it succeeds" new_queue_fails
check "the same under load" under_load
finish
