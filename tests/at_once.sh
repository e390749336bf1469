#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Queues, schedulers, sizes, power, CPUs, traces, debugfs and I/O, all at once and each as fast as it can: whatever comes of
# each, nothing hangs, and in the end the device works.
plan 4
pick_seed

CPU=/sys/devices/system/cpu/cpu1/online
BLOCK=/sys/block/dut

# again ACTION: until the end, a moment later where the device is not there; a line for each time that it worked is in the
# file of that name.
again() {
    until [ -e "$WORK/done" ]; do
        if "$1"; then echo worked >>"$WORK/$1"; else sleep 0.1; fi
    done >/dev/null 2>&1
}

schedulers() { for name in mq-deadline kyber none; do echo $name >$BLOCK/queue/scheduler; done; }
depths() { echo 20 >$BLOCK/queue/nr_requests && echo 64 >$BLOCK/queue/nr_requests; }
submit_queues() { set_to dut submit_queues 1 && set_to dut submit_queues 2 && sleep 0.4; }
poll_queues() { echo 2 >"$DEBUGFS/dut/poll_queues" && echo 1 >"$DEBUGFS/dut/poll_queues" && sleep 0.3; }
switched() { set_to dut power 0; set_to dut power 1 && sleep 1; }
sizes() { set_to dut size "8 force" && echo 16 >"$DEBUGFS/dut/size"; }
read_only() { set_to dut read_only 1 && set_to dut read_only 0 && sleep 0.5; }
faults() { set_to dut requeue_inject 3,50,0,20 && set_to dut badblocks +8-9 && set_to dut badblocks -0-100; }
pulled_out() { sleep 3 && echo 1 >"$DEBUGFS/dut/pull_out" && set_to dut power 0; set_to dut power 1; }
looked_at() {
    cat /sys/kernel/debug/block/dut/state /sys/kernel/debug/block/dut/hctx0/busy /sys/kernel/debug/block/dut/hctx0/tags \
        /sys/kernel/debug/block/dut/hctx0/dispatch "$DEBUGFS/dut/queues" "$DEBUGFS/dut/in_flight" "$DEBUGFS/dut/write_log"
}
traced() { echo 1 >$BLOCK/trace/enable && echo 0 >$BLOCK/trace/enable; } # by blktrace, which does not survive that itself
cpus() { if [ -w $CPU ]; then echo 0 >$CPU && echo 1 >$CPU; fi && sleep 0.5; }
reads() { dd if=/dev/dut of=/dev/null bs=64k iflag=direct count=16; }
writes() { dd if=/dev/zero of=/dev/dut bs=16k oflag=direct conv=nocreat count=16; }
buffered() { dd if=/dev/zero of=/dev/dut bs=16k conv=nocreat,fsync count=16; }
discards() { blkdiscard -f /dev/dut && blkdiscard -f -z /dev/dut; }

ACTIONS="schedulers depths submit_queues poll_queues switched sizes read_only faults pulled_out looked_at traced cpus reads
 writes buffered discards"
SECONDS_LONG=$((6 + 2 * ${SLOWNESS:-1}))
# Each of these works some time, or nothing was tried. A slow machine takes longer.
SURE="switched sizes reads writes discards"
each_has_worked() {
    for action in $SURE; do
        [ -s "$WORK/$action" ] || return 1
    done
}

all_at_once() { # all_at_once [SETTING VALUE]...
    new dut
    new beside # of the same tag set, if that is shared
    for device in dut beside; do
        set_to $device size 16
        set_to $device submit_queues 2
        set_to $device poll_queues 1
    done
    is_shared=no
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        [ "$1" != shared_tags ] || { set_to beside "$1" "$2" && is_shared=yes; }
        shift 2
    done
    power dut 1
    power beside 1
    # A change of the number of queues adds the directory of a disk's scheduler to sysfs while the other disks of the tag set
    # are frozen: blk-mq's, of which lockdep complains once, and then of nothing else.
    actions=$ACTIONS
    [ "$is_shared" = no ] || actions=${ACTIONS#schedulers }
    rm -f "$WORK/done"
    pids=
    for action in $actions; do
        : >"$WORK/$action"
        again "$action" &
        pids="$pids $!"
    done
    (until [ -e "$WORK/done" ]; do verified_io /dev/beside; done) &
    pids="$pids $!"
    sleep $SECONDS_LONG
    all_worked=yes
    wait_for 60 each_has_worked || all_worked=no
    touch "$WORK/done"
    for pid in $pids; do
        wait "$pid"
    done
    [ ! -w $CPU ] || echo 1 >$CPU
    for action in $actions; do
        echo "$action: $(wc -l <"$WORK/$action")"
    done
    [ $all_worked = yes ]
    rmdir "$CONFIG/dut"
    new dut
    power dut 1
    verified_io /dev/dut
    rmdir "$CONFIG/dut" "$CONFIG/beside"
}

# The kernel's own words about I/O that could not be.
expect_log 'I/O error|lost async page write'
load nr_devices=0 size=32
check "a plain device" all_at_once
check "with a timer and another disk on its tags" all_at_once irqmode 2 shared_tags 1
check "a thin one, with a log and a history" all_at_once store thin write_log 1 history_size 1
check "a throttled one, with latencies and a cache" \
    all_at_once irqmode 2 mbps 50 cache_size 1 lanes 2 read_latency "uniform 0 200000"
finish
