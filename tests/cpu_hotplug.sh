#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A CPU goes and comes back while I/O is going on: nothing is lost, and nothing hangs.
CPU=1
SWITCH=/sys/devices/system/cpu/cpu$CPU/online
[ -w "$SWITCH" ] || skip_all "CPU $CPU cannot be taken offline here"
plan 5

seed=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')} # SEED=N repeats the I/O
ktap_print_msg "SEED=$seed"

# Wherever this stops, the CPU is there again.
bring_back_and_clean_up() {
    stop_status=$?
    set +e
    [ "$(cat "$SWITCH")" = 1 ] || echo 1 >"$SWITCH"
    (exit "$stop_status")
    cleanup
}
trap bring_back_and_clean_up EXIT

off_and_on() { # off_and_on TIMES
    for _ in $(seq "$1"); do
        echo 0 >"$SWITCH"
        sleep 0.2
        echo 1 >"$SWITCH"
        sleep 0.2
    done
}

verified_io() { # verified_io OPTION...: some seconds of it
    fio --name=verified --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --offset_increment=16m --size=16m --rw=randwrite --bs=4k --number_ios=1500 --randseed="$seed" \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 "$@" >"$WORK/fio.log" 2>&1 || {
        cat "$WORK/fio.log"
        return 1
    }
}

io_is_going_on() { [ "$(counter writes)" -gt 0 ]; }

io_until_done() {
    while [ ! -e "$WORK/done" ]; do
        verified_io "$@"
    done
}

queue_of_cpu() { grep -lx "$CPU" /sys/block/rblk0/mq/*/cpu_list | sed 's:.*/mq/\([0-9]*\)/.*:\1:'; }

under_io() { # under_io TIMES FIO-OPTION...
    times=$1
    shift
    rm -f "$WORK/done"
    io_until_done "$@" &
    io_pid=$!
    trap 'touch "$WORK/done"; wait "$io_pid"' EXIT # of this check
    wait_for 20 io_is_going_on
    off_and_on "$times"
    touch "$WORK/done"
    wait "$io_pid"
    trap - EXIT
    cat "$DEBUGFS/rblk0/queues" "$DEBUGFS/rblk0/in_flight"
    grep -q '^0 started' "$DEBUGFS/rblk0/in_flight"
    [ "$(counter errors)" -eq 0 ]
    [ "$(counter timeouts)" -eq 0 ]
    for queue in $(queue_of_cpu); do
        [ "$(counter writes "$queue")" -gt 0 ]
    done
}

irqmode() { # irqmode NUMBER
    reload size=32 "irqmode=$1"
    under_io 12
}

polled() {
    reload size=32 submit_queues=1 "poll_queues=$(getconf _NPROCESSORS_CONF)"
    under_io 6 --ioengine=io_uring --hipri
    [ "$(counter polled)" -gt 0 ]
}

# A queue whose only CPU is offline is made all the same, and used when the CPU is back.
loaded_without_it() {
    unload
    echo 0 >"$SWITCH"
    load size=16 "submit_queues=$(getconf _NPROCESSORS_CONF)" irqmode=2
    dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=20 status=none
    echo 1 >"$SWITCH"
    queue=$(queue_of_cpu)
    before=$(counter writes "$queue")
    taskset -c "$CPU" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=20 status=none
    [ $(($(counter writes "$queue") - before)) -eq 20 ]
}

check "with inline completion" irqmode 0
check "with softirq completion" irqmode 1
check "with timer completion" irqmode 2
check "with polled I/O" polled
check "loaded while it is offline" loaded_without_it
finish
