#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Requests that are refused for want of resources or requeued come again: none is lost, none overtakes
# a flush; and the faults that do this strike when they are told to.
plan 10

pick_seed

QUEUE=/sys/block/rblk0/queue

strikes() { echo $(($(counter refusals) + $(counter requeues))); }

# Refusals and requeues take turns, from a refusal on.
struck_both_ways() {
    cat "$DEBUGFS/rblk0/queues"
    difference=$(($(counter refusals) - $(counter requeues)))
    [ "$(counter refusals)" -gt 0 ]
    [ "$difference" -eq 0 ] || [ "$difference" -eq 1 ]
    [ "$(counter errors)" -eq 0 ]
}

# results JQ-OPTION...: of fio, without what it says before them.
results() { sed -n '/^{/,$p' "$WORK/fio.json" | jq "$@"; }

# Each block is written once, and read back.
verified() {
    fio --name=deep --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=64 --rw=randwrite \
        --bs=4k --size=2m --randseed="$seed" --verify=crc32c \
        --output-format=json --output="$WORK/fio.json"
    results -e '.jobs[0].error == 0'
    [ "$(results '.jobs[0].read.io_bytes')" -eq $((2 << 20)) ]
    [ "$(cat "$DEBUGFS/rblk0/in_flight")" = "0 started, 0 of them wait in the device" ]
}

nothing_is_lost() { # nothing_is_lost PARAMETER=VALUE...
    reload size=16 requeue_inject=1,10,0,-1 "fault_seed=$seed" "$@"
    echo 2 >"$QUEUE/nomerges"
    verified
    struck_both_ways
    before=$(strikes)
    echo mq-deadline >"$QUEUE/scheduler"
    verified
    struck_both_ways
    [ "$(strikes)" -gt "$before" ]
}

files_are_whole() {
    reload size=128 requeue_inject=1,10,0,-1 "fault_seed=$seed" write_cache=1 irqmode=1
    mkfs.ext4 -q -E nodiscard /dev/rblk0
    mnt=$(mount_dir files)
    mount /dev/rblk0 "$mnt"
    fio --name=files --directory="$mnt" --rw=randwrite --bs=4k --size=1m --nrfiles=8 --fsync=8 \
        --numjobs=2 --randseed="$seed" --verify=crc32c --group_reporting \
        --output-format=json --output="$WORK/fio.json"
    results -e '.jobs[0].error == 0'
    umount "$mnt"
    e2fsck -fn /dev/rblk0
    struck_both_ways
    [ "$(counter flushes)" -ge 30 ]
}

# What fsync reports as written can be read, past the page cache.
flushed_is_written() {
    reload size=16 requeue_inject=1,30,0,-1 "fault_seed=$seed" write_cache=1 irqmode=2
    for round in 1 2 3 4 5 6 7 8; do
        flushes=$(counter flushes)
        dd if=/dev/urandom of="$WORK/data" bs=64k count=4 status=none
        # The second half overwrites blocks of the round before.
        dd if="$WORK/data" of=/dev/rblk0 bs=4k seek=$((round * 32)) conv=fsync status=none
        dd if=/dev/rblk0 bs=64k skip=$((round * 2)) count=4 iflag=direct status=none | cmp - "$WORK/data"
        [ "$(counter flushes)" -gt "$flushes" ]
    done
    struck_both_ways
}

# one_by_one COUNT: that many writes of 4 KiB, the next when one is done
one_by_one() {
    dd if=/dev/zero of=/dev/rblk0 bs=4k count="$1" oflag=direct status=none
}

strikes_with_seed() { # strikes_with_seed SEED: how many, and which way the last ones went
    reload size=16 submit_queues=1 requeue_inject=1,20,0,-1 "fault_seed=$1"
    one_by_one 200
    echo "$(counter refusals) $(counter requeues)"
}

same_seed_same_strikes() {
    first=$(strikes_with_seed "$seed")
    echo "seed $seed: $first"
    [ "$(strikes_with_seed "$seed")" = "$first" ]
    # Each seed has its own number, as a rule.
    others=
    for other in 1 2 3; do
        others="$others $(strikes_with_seed $((seed + other * 1000)) | tr ' ' +)"
    done
    echo "others: $others"
    echo "$others" | tr ' ' '\n' | grep . | grep -vxF "$(echo "$first" | tr ' ' +)"
}

served() { echo $(($(counter reads) + $(counter writes))); }

# Of 20 % of the chances; a request that is given back is a chance more.
probability_is_kept() {
    reload size=16 submit_queues=1 requeue_inject=1,20,0,-1 "fault_seed=$seed"
    one_by_one 1000
    chances=$(($(served) + $(strikes)))
    echo "$(strikes) of $chances"
    [ $(($(strikes) * 100)) -gt $((chances * 15)) ]
    [ $(($(strikes) * 100)) -lt $((chances * 25)) ]
}

# Of each ten chances the last one is used, so nine requests are served between two strikes.
interval_is_kept() {
    reload size=16 submit_queues=1 requeue_inject=10,100,0,-1
    one_by_one 200
    echo "$(strikes) strikes, $(served) served"
    [ "$(strikes)" -eq $((($(served) - 1) / 9)) ]
}

space_is_kept() {
    reload size=16 submit_queues=1 requeue_inject=1,100,1048576,1
    one_by_one 250 # of the first 256 blocks; the partition scan takes a few
    echo "$(strikes) strikes before"
    [ "$(strikes)" -eq 0 ]
    one_by_one 16
    echo "$(strikes) strikes after"
    [ "$(strikes)" -eq 1 ]
}

times_is_kept() {
    reload size=16 requeue_inject=1,100,0,5
    one_by_one 100
    [ "$(counter refusals)" -eq 3 ]
    [ "$(counter requeues)" -eq 2 ]
    reload size=16 requeue_inject=1,100,0,0
    one_by_one 100
    [ "$(strikes)" -eq 0 ]
}

for mode in 0 1 2; do
    check "irqmode=$mode: nothing is lost, without and with an I/O scheduler" nothing_is_lost "irqmode=$mode"
done
check "files written with fsync are whole, and so is the file system" files_are_whole
check "what was flushed is written" flushed_is_written
check "the same seed gives the same strikes" same_seed_same_strikes
check "probability is kept" probability_is_kept
check "interval is kept" interval_is_kept
check "space is kept" space_is_kept
check "times is kept" times_is_kept
finish
