#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Silent faults: the disk says success and the data is wrong, exactly where and as often as it shall be; who checks his data
# finds it.
plan 13

expect_log 'BTRFS|I/O error|EXT4-fs'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
head -c $((2 << 20)) /dev/urandom >"$RAM/one"
head -c $((2 << 20)) /dev/urandom >"$RAM/two"

# fresh [ATTRIBUTE VALUE]...: a device "dut" of 8 MiB that has "one" in its first 2 MiB
fresh() {
    new dut
    set_to dut size 8
    set_to dut fault_seed "$seed"
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        shift 2
    done
    power dut 1
    put one
}

put() { dd if="$RAM/$1" of=/dev/dut bs=4k oflag=direct status=none; }         # put WHAT: 512 writes
get() { dd if=/dev/dut of="$RAM/got" bs=4k count=512 iflag=direct status=none; } # 512 reads
struck() { counter "$1" '' dut; }
# differing WHAT: the numbers of the blocks of 4 KiB that are not as in WHAT, and how many bits of each
differing() {
    python3 - "$RAM/$1" "$RAM/got" <<'END'
import sys
want, got = (open(name, "rb").read() for name in sys.argv[1:])
for number in range(512):
    block = slice(number * 4096, number * 4096 + 4096)
    bits = (int.from_bytes(want[block], "little") ^ int.from_bytes(got[block], "little")).bit_count()
    if bits:
        print(number, bits)
END
}
count() { wc -l <"$RAM/differing"; }

none() {
    fresh history_size 1
    get
    differing one >"$RAM/differing"
    [ "$(count)" -eq 0 ]
    for name in dropped_writes misdirected_writes flipped_writes flipped_reads stale_reads; do
        [ "$(struck $name)" -eq 0 ]
    done
}

dropped() {
    fresh
    set_to dut drop_write 10,100,0,7
    put two
    get
    differing two >"$RAM/differing"
    cat "$RAM/differing"
    [ "$(count)" -eq 7 ]
    [ "$(struck dropped_writes)" -eq 7 ]
    # Each of them has what it had before.
    while read -r number _; do
        cmp -n 4096 -i $((number * 4096)) "$RAM/one" "$RAM/got"
    done <"$RAM/differing"
    put two
    get
    differing two >"$RAM/differing"
    [ "$(count)" -eq 0 ]
}

misdirected() {
    fresh blocksize 4096
    set_to dut misdirect_write "1,100,0,1 0-4095"
    dd if="$RAM/two" of=/dev/dut bs=4k seek=100 skip=100 count=1 oflag=direct status=none
    [ "$(struck misdirected_writes)" -eq 1 ]
    get
    differing one >"$RAM/differing"
    cat "$RAM/differing"
    [ "$(count)" -eq 1 ]
    read -r number _ <"$RAM/differing"
    [ "$number" -ne 100 ]
    cmp -n 4096 -i $((number * 4096)):409600 "$RAM/got" "$RAM/two"
    # Within a range that has no other place it does not strike.
    set_to dut misdirect_write "1,100,0,-1 800-807"
    dd if="$RAM/two" of=/dev/dut bs=4k seek=100 skip=100 count=1 oflag=direct status=none
    [ "$(struck misdirected_writes)" -eq 1 ]
    cmp -n 4096 -i 409600 /dev/dut "$RAM/two"
    # Anywhere on the disk, never beyond it.
    set_to dut misdirect_write 1,100,0,-1
    put two
    [ "$(struck misdirected_writes)" -eq 513 ]
    [ "$(struck errors)" -eq 0 ]
}

flipped_writes() {
    fresh
    set_to dut flip_write 1,100,0,20
    put two
    for _ in 1 2; do # it stays
        get
        differing two >"$RAM/differing"
        [ "$(count)" -eq 20 ]
        [ "$(awk '$2 != 1' "$RAM/differing" | wc -l)" -eq 0 ]
    done
    [ "$(struck flipped_writes)" -eq 20 ]
}

flipped_reads() {
    fresh
    set_to dut flip_read 1,100,0,20
    get
    differing one >"$RAM/differing"
    [ "$(count)" -eq 20 ]
    [ "$(awk '$2 != 1' "$RAM/differing" | wc -l)" -eq 0 ]
    [ "$(struck flipped_reads)" -eq 20 ]
    get # it was the reading alone
    cmp -n $((2 << 20)) "$RAM/one" "$RAM/got"
}

# Somewhere in a large request of many segments, too.
in_large_ones() {
    fresh
    set_to dut flip_read 1,100,0,-1
    for _ in 1 2 3 4 5 6; do
        dd if=/dev/dut of="$RAM/got" bs=2M count=1 iflag=direct status=none
        differing one | tee "$RAM/differing"
        cat "$RAM/differing" >>"$RAM/places"
    done
    [ "$(struck flipped_reads)" -ge 6 ]
    [ "$(cut -d ' ' -f 1 "$RAM/places" | sort -u | wc -l)" -gt 3 ]
}

stale() {
    fresh history_size 1
    put two
    set_to dut stale_read 1,100,0,-1
    get
    # So far as the history reaches: the last MiB.
    [ "$(struck stale_reads)" -eq 256 ]
    cmp -n $((1 << 20)) "$RAM/got" "$RAM/two"
    cmp -n $((1 << 20)) -i $((1 << 20)) "$RAM/got" "$RAM/one"
    dd if=/dev/dut of="$RAM/got" bs=2M count=1 iflag=direct status=none # in one, and the parts where they belong
    cmp -n $((1 << 20)) "$RAM/got" "$RAM/two"
    cmp -n $((1 << 20)) -i $((1 << 20)) "$RAM/got" "$RAM/one"
    set_to dut stale_read 0,0,0,0
    get
    cmp -n $((2 << 20)) "$RAM/got" "$RAM/two"
    # A block that was never written before reads as zeroes then, and nobody else's memory.
    dd if="$RAM/two" of=/dev/dut bs=4k seek=1000 count=1 oflag=direct status=none
    set_to dut stale_read 1,100,0,-1
    dd if=/dev/dut bs=4k skip=1000 count=1 iflag=direct status=none | cmp -n 4096 - /dev/zero
    # Without history it cannot strike.
    fresh stale_read 1,100,0,-1
    put two
    get
    cmp -n $((2 << 20)) "$RAM/got" "$RAM/two"
    [ "$(struck stale_reads)" -eq 0 ]
}

in_range() {
    for fault in drop_write flip_write flip_read; do
        fresh
        set_to dut $fault "1,100,0,-1 80-159"
        has dut $fault "1,100,0,-1 80-159"
        put two
        get
        differing two | cut -d ' ' -f 1 >"$RAM/differing"
        seq 10 19 | diff - "$RAM/differing"
        # One sector within a block: nowhere else.
        set_to dut $fault "1,100,0,1 84-84"
        put two
        get
        differing two | cut -d ' ' -f 1 >"$RAM/differing"
        [ "$fault" = drop_write ] || cmp -n 2048 -i 40960 "$RAM/two" "$RAM/got"
        [ "$(cat "$RAM/differing")" = 10 ]
    done
}

same_again() {
    for time in 1 2 3; do
        fresh flip_write 1,30,0,-1 drop_write 1,10,0,-1
        get
        differing one >"$RAM/time$time"
        seed=$((seed + time / 2)) # another one the third time
    done
    [ "$(wc -l <"$RAM/time1")" -gt 100 ]
    cmp "$RAM/time1" "$RAM/time2"
    ! cmp "$RAM/time1" "$RAM/time3"
}

btrfs_finds_it() {
    fresh size 256
    mkfs.btrfs -q -f -m dup -d single /dev/dut
    dir=$(mount_dir)
    mount /dev/dut "$dir"
    cp "$RAM/one" "$dir/file"
    sync
    echo 3 >/proc/sys/vm/drop_caches
    set_to dut flip_read 1,100,0,-1
    fails_with "Input/output error" cat "$dir/file"
    set_to dut flip_read 0,0,0,0
    cmp "$RAM/one" "$dir/file"
    set_to dut flip_write 1,100,0,-1
    cp "$RAM/two" "$dir/other"
    sync
    set_to dut flip_write 0,0,0,0
    umount "$dir" || true
    fails_with "ERROR|error" btrfs check --check-data-csum /dev/dut
}

with_others() {
    # What is refused is no silent fault; nor is a bad block.
    fresh blocksize 512 drop_write 1,100,0,-1
    [ "$(struck dropped_writes)" -eq 512 ]
    set_to dut badblocks +8-8
    fails_with "Input/output error" dd if="$RAM/one" of=/dev/dut bs=4k count=1 seek=1 oflag=direct
    [ "$(struck dropped_writes)" -eq 512 ]
    # With a cache, and over a power cut: what was dropped is not there, what was flipped is.
    fresh cache_size 4
    sync /dev/dut
    set_to dut flip_write 1,100,0,-1
    put two
    set_to dut flip_write 0,0,0,0
    sync /dev/dut
    set_to dut power_cut "1 nothing"
    power dut 1
    get
    differing two >"$RAM/differing"
    [ "$(count)" -eq 512 ]
    # In the log is what was done.
    fresh write_log 4
    set_to dut drop_write 1,100,0,-1
    put two
    has dut cut_at "512 0 512"
    # Also a wrong bit, with which the disk comes back to what it had.
    fresh write_log 8
    set_to dut flip_write 1,100,0,-1
    put two
    set_to dut flip_write 0,0,0,0
    set_to dut cut_at 512
    power dut 1
    cmp -n $((2 << 20)) /dev/dut "$RAM/one"
    # Forced unit access makes the wrong bit durable, too.
    fresh cache_size 4
    sync /dev/dut
    dd if="$RAM/one" of=/dev/dut bs=4k count=8 oflag=direct status=none # in the cache by then
    set_to dut flip_write 1,100,0,-1
    dd if="$RAM/two" of=/dev/dut bs=4k count=8 oflag=direct,dsync status=none
    set_to dut flip_write 0,0,0,0
    set_to dut power_cut "1 nothing"
    power dut 1
    get
    differing two | head -n 8 >"$RAM/differing"
    [ "$(awk '$2 == 1' "$RAM/differing" | wc -l)" -eq 8 ]
}

as_parameter() {
    reload size=8 flip_read=1,100,0,-1
    [ "$(cat /sys/module/rnullblk/parameters/flip_read)" = 1,100,0,-1 ]
    dd if=/dev/rblk0 bs=4k count=1 iflag=direct status=none >"$RAM/got"
    cmp -n 4096 "$RAM/got" /dev/zero && return 1
    reload nr_devices=0 "flip_read=\"1,100,0,-1 8-15\""
    [ "$(cat /sys/module/rnullblk/parameters/flip_read)" = "1,100,0,-1 8-15" ]
    reload nr_devices=0
}

refused() {
    fresh
    for text in 1,100,0 "1,100,0,-1 8" "1,100,0,-1 8-" "1,100,0,-1 x-9" "1,100,0,-1 9-8" "1,101,0,-1 8-9" \
        "1,100,0,-1 0-18014398509481984" "8-9" "1,100,0,-1 8-9 read"; do
        fails_with "Invalid argument|out of range" set_to dut flip_read "$text"
        log_has "dut: flip_read=$text refused: allowed is interval,probability,space,times, or the same and FIRST-LAST"
    done
    has dut flip_read 0,0,0,0
    set_to dut flip_read "1,0,0,0 0-18014398509481983"
    has dut flip_read "1,0,0,0 0-18014398509481983"
}

load nr_devices=0
check "without them all is right" none
check "writes that are not done" dropped
check "writes that are done elsewhere" misdirected
check "bits that are written wrong" flipped_writes
check "bits that are read wrong" flipped_reads
check "also in large requests" in_large_ones
check "reads of what was there before" stale
check "only in their range" in_range
check "the same again for the same seed" same_again
check "btrfs finds what the disk does not say" btrfs_finds_it
check "with bad blocks, a cache, a log" with_others
check "as a parameter" as_parameter
check "what cannot be" refused
finish
