#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The write log has each write, and cut_at puts the disk into the state after any of them, back and forth.
plan 13

expect_log 'critical space allocation error|I/O error|EXT4-fs|JBD2|lost async page write|Aborting journal'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"

# logged [ATTRIBUTE VALUE]...: a device "dut" of 16 MiB with a log of 4 MiB
logged() {
    new dut
    set_to dut size 16
    set_to dut write_log 4
    set_to dut write_cache 1
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        shift 2
    done
    power dut 1
}

log() { sed 1d "$DEBUGFS/dut/write_log"; }
states_are() { has dut cut_at "$1"; } # states_are "AT FIRST LAST"
at() { # at NUMBER: the disk as after that write
    set_to dut cut_at "$1"
    has dut power 0
    power dut 1
}

# What crc32c and the kernel give for a file.
crc32c() {
    python3 - "$1" <<'END'
import sys
table = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    table.append(byte)
crc = 0xFFFFFFFF
for byte in open(sys.argv[1], "rb").read():
    crc = table[(crc ^ byte) & 255] ^ crc >> 8
print(f"{crc ^ 0xFFFFFFFF:08x}")
END
}

each_write() {
    logged
    states_are "0 0 0"
    head -c 4096 /dev/urandom >"$RAM/data"
    head -c 8192 /dev/zero >"$RAM/zeroes"
    dd if="$RAM/data" of=/dev/dut bs=4k seek=3 oflag=direct status=none
    python3 - "$RAM/data" <<'END'
import mmap, os, sys
device = os.open("/dev/dut", os.O_WRONLY | os.O_DIRECT | os.O_DSYNC) # forced unit access
page = mmap.mmap(-1, 4096)
page[:] = open(sys.argv[1], "rb").read()
os.pwrite(device, page, 512 * 9)
END
    sync /dev/dut
    blkdiscard --offset 4096 --length 8192 /dev/dut
    blkdiscard --zeroout --offset 4096 --length 8192 /dev/dut
    log
    log | grep -v ' flush ' | cut -d ' ' -f 2- >"$RAM/log"
    diff - "$RAM/log" <<END
write 24 8 - $(crc32c "$RAM/data")
write 9 8 fua $(crc32c "$RAM/data")
discard 8 16 - $(crc32c "$RAM/zeroes")
zeroes 8 16 - $(crc32c "$RAM/zeroes")
END
    [ "$(log | grep -c ' flush 0 0 - 00000000$')" -ge 1 ]
}

# 40 writes of a block of which each has its own content; the state after write N is known of each N.
forty_writes() {
    python3 - "$seed" >"$RAM/states" <<'END'
import hashlib, mmap, os, random, sys
dice = random.Random(int(sys.argv[1]))
device = os.open("/dev/dut", os.O_RDWR | os.O_DIRECT)
model = bytearray(64 * 4096)
def show():
    print(hashlib.sha256(model).hexdigest())
show()
for number in range(40):
    sectors = dice.randrange(1, 24)
    at = dice.randrange(0, len(model) // 512 - sectors) * 512
    data = mmap.mmap(-1, sectors * 512)
    data[:] = bytes([number + 1]) * (sectors * 512)
    os.pwrite(device, data, at)
    model[at:at + sectors * 512] = data[:]
    show()
END
}
is_state() { # is_state NUMBER
    dd if=/dev/dut bs=256k count=1 iflag=direct status=none | sha256sum | cut -d ' ' -f 1 >"$RAM/sum"
    sed -n "$(($1 + 1))p" "$RAM/states" | diff - "$RAM/sum"
}

back_and_forth() {
    logged "$@"
    forty_writes
    states_are "40 0 40"
    for number in 39 0 17 18 40 1 25 40; do
        at $number
        is_state $number
        states_are "$number 0 40"
    done
}

forgets_what_was_taken_back() {
    logged
    forty_writes
    at 20
    dd if=/dev/urandom of=/dev/dut bs=4k count=1 seek=100 oflag=direct status=none
    states_are "21 0 21"
    at 20
    cmp -n 4096 -i $((409600)):0 /dev/dut /dev/zero
    at 5
    is_state 5
    at 20
    is_state 20
}

# Only the last ones are there; what cannot be taken back is where it begins.
no_longer_than_it_is() {
    logged write_log 1
    dd if=/dev/urandom of=/dev/dut bs=64k count=40 oflag=direct status=none
    states_are "40 24 40"
    dd if=/dev/dut of="$RAM/before" bs=1M count=2 iflag=direct status=none
    dd if=/dev/urandom of=/dev/dut bs=4k count=3 oflag=direct status=none
    states_are "43 25 43"
    fails_with "out of range" set_to dut cut_at 24
    log_has "dut: cut_at=24 refused: allowed is the number of a write that is in the log"
    fails_with "out of range" set_to dut cut_at 44
    has dut power 1
    at 40
    cmp -n $((2 << 20)) /dev/dut "$RAM/before"
    at 43
    # So many entries, however small.
    for _ in 1 2 3; do
        dd if=/dev/urandom of=/dev/dut bs=512 count=100 oflag=direct status=none
    done
    states_are "343 87 343"
    at 87
    at 343
    blkdiscard /dev/dut
    [ "$(log | wc -l)" -eq 0 ]
    states_are "344 344 344"
    dd if=/dev/urandom of=/dev/dut bs=4k count=1 oflag=direct status=none
    at 344
    cmp -n 4096 /dev/dut /dev/zero
}

wraps() {
    logged write_log 1
    dd if=/dev/urandom of=/dev/dut bs=192k count=5 oflag=direct status=none
    dd if=/dev/dut of="$RAM/before" bs=1M count=1 iflag=direct status=none
    read -r now _ <$CONFIG/dut/cut_at
    dd if=/dev/urandom of=/dev/dut bs=192k count=5 oflag=direct status=none
    dd if=/dev/dut of="$RAM/after" bs=1M count=1 iflag=direct status=none
    at "$now"
    cmp "$RAM/before" /dev/dut -n 983040
    at $((now + 5))
    cmp "$RAM/after" /dev/dut -n 983040
}

# Each state that a file system left on the disk recovers, and has what was promised by then.
each_state_recovers() {
    logged size 16 write_log 8
    mkfs.ext4 -q -E nodiscard /dev/dut
    dir=$(mount_dir)
    mount /dev/dut "$dir"
    read -r _ _ begin <$CONFIG/dut/cut_at
    for number in 1 2 3 4 5; do
        echo "$number" >"$dir/file$number"
        sync "$dir/file$number"
        read -r _ _ promised <$CONFIG/dut/cut_at
        echo "$promised $number" >>"$RAM/promises"
        rm -f "$dir/file$((number - 2))"
    done
    read -r _ first end <$CONFIG/dut/cut_at
    [ "$first" -le "$begin" ]
    set_to dut cut_at "$end"
    umount "$dir" || true
    echo "states $begin to $end"
    for number in $(seq "$begin" 3 "$end"); do
        set_to dut cut_at "$number"
        power dut 1
        dd if=/dev/dut of="$RAM/image" bs=1M iflag=direct status=none
        e2fsck -fp "$RAM/image" >"$RAM/fsck" || [ $? -eq 1 ]
        last=$(awk -v now="$number" '$1 <= now { last = $2 } END { print last }' "$RAM/promises")
        [ -z "$last" ] || [ "$(debugfs -R "cat file$last" "$RAM/image" 2>/dev/null)" = "$last" ]
    done
}

at_once() {
    logged
    fio --name=load --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --numjobs=4 --rw=randwrite --bs=4k \
        --size=4m --offset_increment=4m --io_size=1m --randseed="$seed" >"$WORK/fio.log"
    dd if=/dev/dut of="$RAM/before" bs=1M iflag=direct status=none
    read -r end first _ <$CONFIG/dut/cut_at
    [ $((end - first)) -eq 1024 ]
    at "$first"
    at "$end"
    cmp "$RAM/before" /dev/dut
}

other_ways() {
    logged
    forty_writes
    set_to dut size 17
    states_are "40 40 40"
    power dut 0
    set_to dut size 16
    power dut 1
    states_are "0 0 0"
    logged store thin
    set_to dut snapshot empty
    forty_writes
    at 20
    is_state 20
    set_to dut rollback empty
    states_are "20 20 20"
    # With another log it begins again.
    power dut 0
    set_to dut write_log 5
    power dut 1
    states_are "0 0 0"
    power dut 0
    set_to dut write_log 0
    power dut 1
    fails_with "No such device or address" set_to dut cut_at 0
}

# A power on that fails.
failed() {
    logged store "$1"
    forty_writes
    power dut 0
    memory_kib=$(cat $CONFIG/dut/memory_kib)
    set_to dut init_hctx_fault_inject 1,100,0,-1
    for change in "write_log 5" "write_log 0" "store thin" "store linear" "memory_backed 0" "size 32" "size 8"; do
        # shellcheck disable=SC2086 # two words
        set_to dut ${change% *} "${change#* }"
        fails_with "Cannot allocate memory" set_to dut power 1
        has dut power 0
        states_are "40 0 40"
        has dut memory_kib "$memory_kib"
        set_to dut memory_backed 1
        set_to dut size 16
    done
    set_to dut store "$1"
    set_to dut write_log 4
    set_to dut init_hctx_fault_inject 0,0,0,0
    at 20
    is_state 20
}

# A write that waits for memory is tried again and again, and is one write; one that gets none is none.
waits_for_memory() {
    logged store thin memory_limit 2 memory_wait_msec 1000
    dd if=/dev/urandom of=/dev/dut bs=64k count=24 oflag=direct status=none
    states_are "24 0 24"
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M seek=8 count=1 oflag=direct
    [ "$(counter requeues "" dut)" -gt 3 ]
    # What there was memory for is written.
    states_are "25 0 25"
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=64k seek=200 count=1 oflag=direct
    states_are "25 0 25"
    at 24
    cmp -n $((1 << 20)) -i $((8 << 20)):0 /dev/dut /dev/zero
}

refused() {
    logged
    for number in x -1 1x ''; do
        fails_with "Invalid argument" set_to dut cut_at "$number"
        log_has "dut: cut_at=$number refused"
    done
    fails_with "out of range" set_to dut cut_at 18446744073709551615
    has dut power 1
    power dut 0
    set_to dut cache_size 1
    fails_with "Invalid argument" set_to dut power 1
    log_has "dut: cache_size=1 refused: allowed is at most 0 with write_log"
    set_to dut cache_size 0
    set_to dut shared_tags 1
    fails_with "Invalid argument" set_to dut power 1
    log_has "dut: shared_tags=1 refused: allowed is at most 0 with write_log"
    set_to dut shared_tags 0
    power dut 1
    new other
    fails_with "Invalid argument" set_to other share_store dut
    rmdir $CONFIG/other
}

load nr_devices=0
check "each write is in it, with its checksum" each_write
check "back and forth between 40 writes" back_and_forth
check "also with a thin store" back_and_forth store thin
check "what was taken back is forgotten by the next write" forgets_what_was_taken_back
check "it remembers so much, and no more" no_longer_than_it_is
check "what is partly at its end and partly at its begin" wraps
check "each state of a file system recovers" each_state_recovers
check "four jobs at once" at_once
check "another size, a rollback, another log" other_ways
check "a power on that fails changes nothing, linear" failed linear
check "thin" failed thin
check "a write that waits for memory is one" waits_for_memory
check "what cannot be" refused
finish
