#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A disk that is pulled out under load fails all I/O at once, also what waits in the device for an answer
# that never comes; who used it goes on, and the module can be unloaded with nothing left behind.
plan 8

expect_log 'I/O error, dev rblk0|Buffer I/O error on dev(ice)? rblk0|timeout error, dev rblk0'
expect_log 'EXT4-fs.*rblk0|JBD2:.*rblk0|Aborting journal on device rblk0'
pick_seed

# Longer than an end may take: no request ends by its timeout.
TIMEOUT_MSEC=40000
BOUND_SECONDS=20

pull_out() { echo 1 >"$DEBUGFS/rblk0/pull_out"; }

start() { # start PARAMETER=VALUE...
    unload
    used_before=$(used_kib)
    load size=64 "fault_seed=$seed" "$@"
    echo "$TIMEOUT_MSEC" >/sys/block/rblk0/queue/io_timeout
}

# fails_soon PID: the job ends within the time, with an error.
fails_soon() {
    wait_for "$BOUND_SECONDS" is_gone "$1" || {
        cat "$DEBUGFS/rblk0/in_flight" "$DEBUGFS/rblk0/queues" "/proc/$1/stack"
        kill -KILL "$1"
        return 1
    }
    if wait "$1"; then
        echo "process $1 ended without an error"
        return 1
    fi
}

is_gone() { ! kill -0 "$1"; }

some_are_done() { [ $(($(counter reads) + $(counter writes))) -gt 200 ]; }
some_wait_in_the_device() { [ "$(awk '{ print $3 }' "$DEBUGFS/rblk0/in_flight")" -gt 0 ]; }

# Nothing is in flight, the module goes, and so does its memory.
all_comes_back() {
    [ "$(cat "$DEBUGFS/rblk0/in_flight")" = "0 started, 0 of them wait in the device" ]
    unload
    memory_is_back "$used_before" 16384
}

# under_load PARAMETER=VALUE... [-- FIO-OPTION...]: two jobs on two CPUs
under_load() {
    parameters=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        parameters="$parameters $1"
        shift
    done
    [ $# -eq 0 ] || shift
    # shellcheck disable=SC2086 # several
    start $parameters
    # Its memory is in use.
    dd if=/dev/urandom of=/dev/rblk0 bs=1M count=32 oflag=direct status=none || :
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --iodepth=32 --numjobs=2 \
        --thread --rw=randrw --bs=4k --size=32m --offset_increment=32m --norandommap --randseed="$seed" \
        --time_based --runtime=600 "$@" >"$WORK/fio.log" 2>&1 &
    fio_pid=$!
    wait_for 20 some_are_done
    case $parameters in *timeout_inject*) wait_for 20 some_wait_in_the_device ;; esac
    cat "$DEBUGFS/rblk0/in_flight"
    pull_out
    fails_soon "$fio_pid"
    # Beyond the end of a disk that now has no size there is no space.
    grep -m 2 -E 'Input/output error|No such device|No space left' "$WORK/fio.log"
    [ "$(cat /sys/block/rblk0/size)" -eq 0 ]
    fails_with 'Input/output error|No such device|No space' \
        dd if=/dev/zero of=/dev/rblk0 bs=4k count=1 oflag=direct conv=notrunc
    # Again does no harm.
    pull_out
    all_comes_back
}

# One tag, and all are forgotten: those that wait for the tag when it is pulled out fail too, and none
# of them is served.
waiting_for_a_tag() {
    start submit_queues=1 hw_queue_depth=1 irqmode=1 "timeout_inject=1,100,1048576,-1"
    dd if=/dev/rblk0 of=/dev/null bs=1M count=1 iflag=direct status=none # goes by before the first fault
    pids=
    for writer in 1 2 3 4; do
        dd if=/dev/zero of=/dev/rblk0 bs=4k seek="$writer" count=1 oflag=direct &
        pids="$pids $!"
    done
    wait_for 10 some_wait_in_the_device
    sleep 1
    writes=$(counter writes)
    pull_out
    for pid in $pids; do
        fails_soon "$pid"
    done
    [ "$(counter writes)" -eq "$writes" ]
    all_comes_back
}

# The file system gives errors, and is unmounted; what was cached is lost, as it must be.
mounted() {
    start irqmode=1 write_cache=1
    mkfs.ext4 -q -E nodiscard /dev/rblk0
    mnt=$(mount_dir files)
    mount /dev/rblk0 "$mnt"
    fio --name=files --directory="$mnt" --rw=randwrite --bs=4k --size=4m --fsync=16 --numjobs=2 --thread \
        --randseed="$seed" --time_based --runtime=600 >"$WORK/fio.log" 2>&1 &
    fio_pid=$!
    wait_for 20 some_are_done
    pull_out
    fails_soon "$fio_pid"
    fails_with 'Input/output error|Read-only|shutdown|shut down' dd if=/dev/zero of="$mnt/new" bs=4k count=1 conv=fsync
    timeout "$BOUND_SECONDS" umount "$mnt"
    log_has 'EXT4-fs.*rblk0'
    all_comes_back
}

check "with irqmode=0" under_load irqmode=0
check "with irqmode=1" under_load irqmode=1
check "with irqmode=2" under_load irqmode=2 completion_nsec=5000000
check "polled" under_load poll_queues=2 -- --hipri
check "with forgotten requests in flight" under_load irqmode=2 timeout_inject=50,100,0,-1
check "polled, with forgotten requests in flight" under_load poll_queues=1 timeout_inject=50,100,0,-1 -- --hipri
check "with a file system mounted" mounted
check "what waits for a tag fails too, and is not served" waiting_for_a_tag
finish
