#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# What a plug holds comes to the driver as one list and ends as one batch.
plan 9

pick_seed

QUEUE=/sys/block/rblk0/queue

start() { # start [PARAMETER=VALUE...]: nothing is merged, so requests are I/Os
    reload size=32 submit_queues=1 "$@"
    echo 2 >"$QUEUE/nomerges"
    dd if=/dev/rblk0 of=/dev/null bs=4k count=1 iflag=direct # the partition scan is over
    batches=$(counter batches) batched=$(counter batched) writes=$(counter writes)
}

# results JQ-OPTION...: of fio, without what it says before them.
results() { sed -n '/^{/,$p' "$WORK/fio.json" | jq "$@"; }

# plugs SIZE MIB FIO-OPTION...: I/Os of 4 KiB, submitted SIZE at a time
plugs() {
    size=$1 mib=$2
    shift 2
    fio --name=plugs --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --rw=randwrite --bs=4k \
        --size="${mib}m" --randseed="$seed" --iodepth="$size" --iodepth_batch="$size" \
        --iodepth_batch_complete_min="$size" --iodepth_batch_complete_max="$size" \
        --output-format=json --output="$WORK/fio.json" "$@"
    results -e '[.jobs[].error] | add == 0'
    cat "$DEBUGFS/rblk0/queues"
}

grew_by() { # grew_by BATCHES BATCHED
    echo "batches: $(($(counter batches) - batches)), with $(($(counter batched) - batched)) requests"
    [ $(($(counter batches) - batches)) -eq "$1" ]
    [ $(($(counter batched) - batched)) -eq "$2" ]
}

known_size() { # known_size PLUG-SIZE [PARAMETER=VALUE...]
    plug_size=$1
    shift
    start "$@"
    plugs "$plug_size" 4
    grew_by $((1024 / plug_size)) 1024
}

# The block layer lets a plug grow to 32 requests.
larger_than_a_plug() {
    start
    plugs 64 4
    grew_by 32 1024
}

verified() {
    start submit_queues=2
    plugs 16 8 --verify=crc32c --numjobs=2 --offset_increment=8m
    [ "$(($(counter writes) - writes))" -eq 4096 ]
    [ $(($(counter batched) - batched)) -ge 8192 ]
    [ "$(counter errors)" -eq 0 ]
}

# The function tracer sees each call that ends a batch.
one_batch_each() {
    start
    echo blk_mq_end_request_batch >"$TRACING/set_ftrace_filter"
    echo function >"$TRACING/current_tracer"
    echo >"$TRACING/trace"
    plugs 16 4
    ends=$(grep -c ': blk_mq_end_request_batch <-.*rnullblk' "$TRACING/trace") || ends=0
    all_ends=$(grep -c ': blk_mq_end_request_batch <-' "$TRACING/trace") || all_ends=0
    grep ': blk_mq_end_request_batch <-' "$TRACING/trace" | head -n 3
    echo "$ends calls from the driver, $all_ends in all"
    grew_by 64 1024
    [ "$ends" -eq 64 ]
}

stop_tracing() {
    echo nop >"$TRACING/current_tracer"
    echo >"$TRACING/set_ftrace_filter"
}

with_a_scheduler() {
    start
    echo mq-deadline >"$QUEUE/scheduler"
    plugs 16 4 --verify=crc32c
    [ "$(($(counter writes) - writes))" -eq 1024 ]
    grew_by 0 0
    echo none >"$QUEUE/scheduler"
    plugs 16 4
    grew_by 64 1024
}

with_flush_and_fua() {
    start write_cache=1
    plugs 16 4 --sync=dsync --verify=crc32c --do_verify=0
    fua=$(counter fua_writes)
    [ "$fua" -eq 1024 ]
    grew_by 64 1024
    plugs 16 4 --verify=crc32c --fsync=20
    [ "$(counter flushes)" -ge 10 ]
    [ "$(counter errors)" -eq 0 ]
    [ "$(counter writes)" -ge 2048 ]
}

for size in 4 16 32; do
    check "plugs of $size come as lists of $size" known_size "$size"
done
check "plugs of 16 do with irqmode=2 too" known_size 16 irqmode=2
check "64 at a time come as two lists of 32" larger_than_a_plug
if [ -e "$TRACING/set_ftrace_filter" ] && grep -qw function "$TRACING/available_tracers"; then
    check "each list ends as one batch" one_batch_each
    stop_tracing
else
    skip "each list ends as one batch" "the kernel has no function tracer"
fi
check "on two queues at once every block is right" verified
check "with an I/O scheduler there are none, and every block is right" with_a_scheduler
check "FUA writes come in lists too, and with flushes between every block is right" with_flush_and_fua
finish
