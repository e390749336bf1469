#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Memory runs short: devices are refused, nothing hangs, what is there keeps its data, and all memory comes back.
plan 6

pick_seed
MNT=$(mount_dir mnt)

free_mib() { awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo; }

# Devices of a 16th of it. Each is refused with ENOMEM or made.
until_it_is_short() {
    made=0 each=$(($(free_mib) / 16))
    while [ "$made" -lt 40 ]; do
        new "d$made"
        set_to "d$made" size "$each"
        set_to "d$made" power 1 2>"$WORK/why" || break
        made=$((made + 1))
    done
    echo "$made devices; $(free_mib) MiB are free; then: $(cat "$WORK/why")"
    grep -q "Cannot allocate memory" "$WORK/why"
    [ "$made" -gt 4 ]
    # When one goes, one that fits can be made, and the last one works.
    rmdir "$CONFIG/d0"
    set_to "d$made" size 1
    power "d$made" 1
    last=/dev/d$((made - 1))
    noise 1 | dd of="$last" bs=64k iflag=fullblock oflag=direct status=none
    noise 1 | cmp -n $((1 << 20)) - "$last"
}

all_comes_back() {
    for description in "$CONFIG"/d*; do
        rmdir "$description"
    done
    wait_for 10 is_back
}
is_back() {
    echo 3 >/proc/sys/vm/drop_caches
    [ "$(free_mib)" -gt $((before - spare)) ]
}

# hog MIB COMMAND...: while a process has so much memory, and uses it.
hog() {
    hog_mib=$1
    shift
    python3 -c '
import sys, time
memory = bytearray(int(sys.argv[1]) << 20)
while True:
    memory[::4096] = memory[1::4096]
    print("there", flush=True)
    time.sleep(0.5)' "$hog_mib" >"$WORK/hog" &
    hog_pid=$!
    wait_for 60 grep -q there "$WORK/hog"
    set +e
    (
        set -e
        "$@"
        kill -0 "$hog_pid" # it was there all the time
    )
    hog_status=$?
    set -e
    kill "$hog_pid" 2>/dev/null || true
    wait "$hog_pid" || true
    return "$hog_status"
}

# The page cache can only be emptied by writing to the device, which must not need memory for that.
write_back() {
    size=$(($(free_mib) / 3))
    new dut
    set_to dut size "$size"
    power dut 1
    mkfs.ext4 -q /dev/dut
    mount /dev/dut "$MNT"
    echo 90 >/proc/sys/vm/dirty_ratio
    hog $(($(free_mib) - 128)) fill_it
    echo 20 >/proc/sys/vm/dirty_ratio
    umount "$MNT"
    e2fsck -fn /dev/dut
    rmdir "$CONFIG/dut"
}
fill_it() {
    echo "$(free_mib) MiB are free; $((size * 2 / 3)) MiB are to be written"
    noise 8 >"$WORK/noise"
    for i in $(seq $((size / 12))); do
        timeout 300 cp "$WORK/noise" "$MNT/$i"
    done
    sync -f "$MNT"
    for i in $(seq $((size / 12))); do
        cmp "$WORK/noise" "$MNT/$i"
    done
}

# A process takes all memory and is killed, while a device is in use that stays.
killed() {
    set +e
    (
        echo 1000 >/proc/self/oom_score_adj
        exec python3 -c 'memory = [bytearray(b"x" * (8 << 20)) for _ in range(1 << 20)]'
    )
    status=$?
    set -e
    echo "the hog ended with $status"
    [ "$status" -eq 137 ]
    log_has 'Out of memory: Killed process'
}
under_the_oom_killer() {
    unload
    load size=32
    while_verified_io killed -- --size=16m
    unload
    load nr_devices=0
}

# More than there is: refused at once, and nothing of it is kept.
grow_too_far() {
    new dut
    set_to dut size 8
    power dut 1
    noise 8 | dd of=/dev/dut bs=1M iflag=fullblock oflag=direct status=none
    fails_with "Cannot allocate memory" set_to dut size $(($(free_mib) * 4))
    has dut size 8
    noise 8 | cmp - /dev/dut
    rmdir "$CONFIG/dut"
}

# The kernel says so with a trace.
expect_log 'Call Trace:|invoked oom-killer|Out of memory|page allocation failure|vmalloc error'

load nr_devices=0
echo 3 >/proc/sys/vm/drop_caches
before=$(free_mib)
spare=48
# What was freed KASAN holds back, up to a 32nd of all memory.
! has_kasan || spare=$((spare + $(awk '$1 == "MemTotal:" { print int($2 / 1024 / 32) }' /proc/meminfo)))
check "devices until memory is short" until_it_is_short
check "all of it comes back" all_comes_back
check "a device does not grow beyond memory" grow_too_far
check "a full page cache is written to a RAM disk" write_back
check "the OOM killer kills, and I/O goes on" under_the_oom_killer
check "all memory has come back" wait_for 10 is_back
finish
