#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Every block that fio wrote comes back with its checksum: in I/Os of 512 bytes to 1 MiB, by system
# call and by io_uring, one and many at a time, direct and through the page cache, several jobs at once.
plan 8

pick_seed

DEVICE_MIB=48
JOBS=$WORK/jobs

start_jobs() { # start_jobs FIO-OPTION...: a new list of jobs, which run at the same time
    next_mib=0
    {
        echo "[global]"
        printf '%s\n' filename=/dev/rblk0 rw=randwrite verify=crc32c verify_fatal=1 thread \
            "randseed=$seed" "$@"
    } >"$JOBS"
}

job() { # job BLOCK-BYTES MIB FIO-OPTION...: writes all blocks of the next MIB, in random order
    job_block=$1 job_mib=$2
    shift 2
    {
        echo "[at-$next_mib-mib]"
        printf '%s\n' "bs=$job_block" "offset=${next_mib}m" "size=${job_mib}m" "$@"
    } >>"$JOBS"
    next_mib=$((next_mib + job_mib))
}

# An I/O is not smaller than a block of the device.
at_least_a_block() { # at_least_a_block BYTES
    [ "$1" -ge "$block_size" ] && echo "$1" || echo "$block_size"
}

# fio also succeeds when it does nothing, so what it did is counted.
run_jobs() { # run_jobs WRITTEN-BYTES VERIFIED-BYTES [FIO-OPTION...]
    [ "$next_mib" -le "$DEVICE_MIB" ]
    expected="[$1,$2]"
    shift 2
    fio "$@" --output-format=json --output="$WORK/fio.json" "$JOBS" || {
        grep -v '^[ {}]' "$WORK/fio.json" # what it says besides its numbers
        return 1
    }
    did=$(jq -c '[([.jobs[].write.io_bytes] | add), ([.jobs[].read.io_bytes] | add)]' "$WORK/fio.json")
    [ "$did" = "$expected" ] || {
        echo "bytes written and verified: $did instead of $expected"
        return 1
    }
}

# The part of the device that the jobs cover.
job_bytes() { echo $((next_mib << 20)); }

write_and_verify() { run_jobs "$(job_bytes)" "$(job_bytes)"; }

by_system_call() {
    start_jobs ioengine=psync direct=1
    for _ in 1 2; do
        job "$(at_least_a_block 512)" 1
        job 4096 2
        job 65536 4
        job 1048576 8
    done
    write_and_verify
}

by_io_uring() {
    start_jobs ioengine=io_uring direct=1
    for depth in 1 32 128; do
        job "$(at_least_a_block 512)" 1 "iodepth=$depth"
        job 4096 2 "iodepth=$depth"
        job 65536 4 "iodepth=$depth"
        job 1048576 6 "iodepth=$depth"
    done
    # I/Os that begin and end at any block.
    lengths=$block_size/30:$((block_size * 3))/30:$((block_size * 7))/20:$((block_size * 64))/20
    for _ in 1 2; do
        job "$block_size" 3 iodepth=16 "bssplit=$lengths"
    done
    write_and_verify
}

# Written back and dropped before it is read, so that it comes from the device.
through_page_cache() {
    start_jobs direct=0 end_fsync=1
    job "$(at_least_a_block 512)" 1 ioengine=psync
    job 4096 2 ioengine=psync
    job 65536 4 ioengine=io_uring iodepth=32
    job 1048576 4 ioengine=io_uring iodepth=32
    run_jobs "$(job_bytes)" 0 --do_verify=0
    blockdev --flushbufs /dev/rblk0
    # It counts the writes that it leaves out, too.
    run_jobs "$(job_bytes)" "$(job_bytes)" --verify_only=1
}

# The memory is in pieces of 1 MiB: requests that span several, and short ones that span two.
across_mib() {
    noise 8 >"$RAM/noise"
    for bytes in $((5 << 20)) $(((1 << 20) + block_size * 3)) $((block_size * 7)); do
        blkdiscard /dev/rblk0
        dd if="$RAM/noise" of=/dev/rblk0 oflag=direct,seek_bytes seek="$block_size" bs="$bytes" status=none
        dd if=/dev/rblk0 of="$RAM/back" iflag=direct,skip_bytes,count_bytes skip="$block_size" \
            bs="$bytes" count=$((8 << 20)) status=none
        cmp "$RAM/noise" "$RAM/back"
        cmp -n "$block_size" /dev/rblk0 /dev/zero
        cmp -n $((1 << 20)) -i $(((8 << 20) + block_size)):0 /dev/rblk0 /dev/zero
    done
    # From within one piece to within another.
    for zero in "blkdiscard" "blkdiscard -z"; do
        dd if="$RAM/noise" of=/dev/rblk0 oflag=direct bs=1M status=none
        first=$(((1 << 20) - block_size)) end=$(((4 << 20) + block_size))
        $zero -o "$first" -l $((end - first)) /dev/rblk0
        cmp -n "$first" /dev/rblk0 "$RAM/noise"
        cmp -n $((end - first)) -i "$first:0" /dev/rblk0 /dev/zero
        cmp -n $(((8 << 20) - end)) -i "$end" /dev/rblk0 "$RAM/noise"
    done
}

RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
for block_size in 512 4096; do
    load "size=$DEVICE_MIB" "blocksize=$block_size"
    check "blocks of $block_size: direct, by system call" by_system_call
    check "blocks of $block_size: direct, by io_uring, 1, 32 and 128 at a time, also of mixed length" by_io_uring
    check "blocks of $block_size: through the page cache" through_page_cache
    check "blocks of $block_size: across the pieces of the memory" across_mib
    unload
done
finish
