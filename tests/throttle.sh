#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# mbps: so many MiB a second pass, within 5 percent over 10 s, in whatever way and however many jobs ask.
plan 12

RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"

# within MBPS SECONDS [FIO-OPTION...]: fio moves 95 to 105 percent of it. A debug kernel moves less.
within() {
    mbps=$(scaled "$1") seconds=$2
    shift 2
    power dut 0
    set_to dut mbps "$mbps"
    power dut 1
    fio --name=throttled --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --bs=64k --rw=randread \
        --randrepeat=1 --norandommap --time_based --runtime="$seconds" --group_reporting --output-format=json "$@" >"$RAM/fio.json"
    moved=$(jq '.jobs[0] | (.read.io_bytes + .write.io_bytes) / ([.read.runtime, .write.runtime] | max) * 1000 / 1048576' \
        "$RAM/fio.json")
    echo "$moved MiB/s of $mbps"
    awk -v moved="$moved" -v wanted="$mbps" 'BEGIN { exit !(moved >= wanted * 0.95 && moved <= wanted * 1.05) }'
    grep '^0 started' "$DEBUGFS/dut/in_flight"
}

in_each_way() {
    for mode in "irqmode 1" "irqmode 2" "memory_backed 0" "blocking 1" "submit_queues 1"; do
        power dut 0
        # shellcheck disable=SC2086 # two words
        set_to dut $mode
        within 20 3
        power dut 0
        # shellcheck disable=SC2086
        set_to dut ${mode% *} "$(echo "${mode% *}" | sed 's/memory_backed/1/; t; s/.*/0/')"
    done
}

polled() {
    power dut 0
    set_to dut poll_queues 1
    within 20 3 --ioengine=io_uring --hipri --iodepth=4
    [ "$(counter polled '' dut)" -gt 0 ]
    power dut 0
    set_to dut poll_queues 0
}

# What waits for its turn longer than the timeout has not timed out.
longer_than_the_timeout() {
    power dut 0
    set_to dut mbps 1
    power dut 1
    echo 1000 >/sys/block/dut/queue/io_timeout
    fio --name=waits --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=8 --bs=1m --rw=write --size=8m >"$RAM/fio.log"
    [ "$(counter timeouts '' dut)" -eq 0 ]
    [ "$(counter errors '' dut)" -eq 0 ]
}

# Behind seconds of writes a flush and a discard come in their turn, and do not time out.
behind_the_others() {
    power dut 0
    set_to dut mbps 1
    set_to dut irqmode "$1"
    set_to dut write_cache 1
    power dut 1
    echo 500 >/sys/block/dut/queue/io_timeout
    fio --name=writes --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=4 --bs=1m --rw=write --size=4m >"$RAM/fio.log" &
    fio_pid=$!
    wait_for 5 some_wait
    sync /dev/dut
    blkdiscard -f -o 0 -l 4096 /dev/dut
    wait "$fio_pid"
    [ "$(counter flushes '' dut)" -ge 1 ]
    [ "$(counter timeouts '' dut)" -eq 0 ]
    [ "$(counter errors '' dut)" -eq 0 ]
    power dut 0
    set_to dut irqmode 0
    set_to dut write_cache 0
}

in_each_mode() { # in_each_mode FUNCTION
    for irqmode in 0 1 2; do
        "$1" "$irqmode"
    done
}

some_wait() { ! grep '^0 started' "$DEBUGFS/dut/in_flight"; }

# Whoever turns the power off does not wait for minutes of requests.
power_off_with_a_backlog() {
    power dut 0
    set_to dut mbps 1
    set_to dut irqmode "$1"
    power dut 1
    fio --name=backlog --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=64 --bs=1m --rw=randwrite --norandommap \
        --number_ios=64 --time_based --runtime=100 >"$RAM/fio.log" 2>&1 &
    fio_pid=$!
    wait_for 5 some_wait
    sleep 1
    quick_power_off dut 6
    wait "$fio_pid" || true
    set_to dut irqmode 0
}

# A change of the number of queues waits for what is in flight, and not for those who wait for it: they get in between the two
# waits that it takes.
queues_with_a_backlog() {
    power dut 0
    set_to dut mbps 1
    power dut 1
    for mib in 0 1 2 3; do
        dd if=/dev/dut of=/dev/null bs=1M count=1 skip=$mib iflag=direct status=none &
    done
    wait_for 5 some_wait
    started=$(date +%s)
    set_to dut submit_queues 1 &
    change=$!
    sleep 0.5
    for _ in $(seq 60); do
        dd if=/dev/dut of=/dev/null bs=1M count=1 iflag=direct status=none &
    done
    wait "$change"
    took=$(($(date +%s) - started))
    echo "the change took $took s"
    [ "$took" -lt 20 ] # and not the minute of all the others
    has dut submit_queues 1
    quick_power_off dut 20
    wait
}

# Discards and flushes move nothing, so they cost nothing.
only_data_counts() {
    power dut 0
    set_to dut mbps 1
    set_to dut write_cache 1
    power dut 1
    start=$(date +%s)
    for _ in 1 2 3 4 5; do
        blkdiscard /dev/dut
        sync /dev/dut
    done
    [ $(($(date +%s) - start)) -lt $((10 * ${SLOWNESS:-1})) ] # of the 320 s that it would take
    power dut 0
    set_to dut write_cache 0
}

# Data goes where it belongs, and power goes off under it.
verified_and_powered_off() {
    power dut 0
    set_to dut mbps 8
    power dut 1
    fio --name=verified --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --bs=16k --rw=randwrite \
        --size=8m --verify=crc32c --verify_fatal=1 >"$RAM/fio.log" || { cat "$RAM/fio.log"; return 1; }
    fio --name=load --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=32 --bs=64k --rw=randwrite \
        --time_based --runtime=60 >"$RAM/fio.log" 2>&1 &
    fio_pid=$!
    sleep 1
    power dut 0
    wait "$fio_pid" || true
}

no_limit() {
    power dut 0
    set_to dut mbps 0
    power dut 1
    start=$(date +%s%N)
    dd if=/dev/dut of=/dev/null bs=1M count=64 iflag=direct status=none
    took=$((($(date +%s%N) - start) / 1000000))
    echo "64 MiB took $took ms"
    [ "$took" -lt $((5000 * ${SLOWNESS:-1})) ]
}

load nr_devices=0
new dut
set_to dut size 64
check "reads, over 10 s" within 50 10
check "writes, over 10 s" within 10 10 --rw=randwrite --bs=4k
check "both, by two jobs at once, over 10 s" within 30 10 --rw=randrw --numjobs=2 --thread
check "in each way of completion" in_each_way
check "polled" polled
check "what waits for its turn does not time out" longer_than_the_timeout
check "only data counts" only_data_counts
check "flushes and discards keep their turn" in_each_mode behind_the_others
check "power off does not wait for a backlog" in_each_mode power_off_with_a_backlog
check "the number of queues changes in spite of a backlog" queues_with_a_backlog
check "data is right, and power goes off meanwhile" verified_and_powered_off
check "0 is no limit" no_limit
finish
