#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# With store=thin memory is taken for what is written, and comes back with a discard; a disk can be far larger than memory,
# and one that gets no more memory says so.
plan 20

expect_log 'critical space allocation error|I/O error|EXT4-fs|JBD2|lost async page write|Aborting journal'
pick_seed

# thin MIB [ATTRIBUTE VALUE]...: a thin device "dut" of that size
thin() {
    new dut
    set_to dut store thin
    set_to dut size "$1"
    shift
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        shift 2
    done
    power dut 1
}

kib() { cat $CONFIG/dut/memory_kib; }
takes() { # takes KIB LIMIT: at least KIB of memory, and less than LIMIT
    echo "takes $(kib) KiB, not $1 to $2"
    [ "$(kib)" -ge "$1" ] && [ "$(kib)" -lt "$2" ]
}
write() { noise "$1" | dd of=/dev/dut bs=1M oflag=direct,seek_bytes seek="$2" iflag=fullblock status=none; } # write MIB AT-BYTE
read_at() { dd if=/dev/dut bs=1M count="$1" iflag=direct,skip_bytes,fullblock skip="$2" status=none; }
is_noise() { # is_noise MIB AT-BYTE
    noise "$1" >"$WORK/expected"
    read_at "$1" "$2" | cmp - "$WORK/expected"
}
is_zero() { read_at "$1" "$2" | cmp -n $(($1 << 20)) - /dev/zero; } # is_zero MIB AT-BYTE

TIB=$((1 << 40))

nothing_at_first() {
    thin 4096
    takes 0 1
    is_zero 8 $((1 << 30))
    dd if=/dev/dut of=/dev/null bs=64k count=64 status=none # through the page cache
    takes 0 1
}

as_written() {
    thin 4096
    write 4 $(((1 << 30) - (1 << 20))) # across the end of a table
    takes 4096 4200
    is_noise 4 $(((1 << 30) - (1 << 20)))
    is_zero 1 $(((1 << 30) - (2 << 20)))
    is_zero 1 $(((1 << 30) + (3 << 20)))
}

gives_back() { # gives_back COMMAND...: with --offset and --length
    thin 4096
    queue=/sys/block/dut/queue
    [ "$(cat $queue/write_zeroes_unmap_max_hw_bytes)" -eq "$(cat $queue/write_zeroes_max_bytes)" ]
    write 8 0
    "$@" --offset $((1 << 20)) --length $((6 << 20)) /dev/dut
    takes 2048 2148
    is_zero 6 $((1 << 20))
    read_at 1 0 >"$WORK/first"
    noise 8 >"$WORK/expected"
    cmp -n $((1 << 20)) "$WORK/first" "$WORK/expected"
    # Parts of pages stay, as zeroes.
    "$@" --offset 512 --length 3584 /dev/dut
    takes 2048 2148
    cmp -n 512 /dev/dut "$WORK/expected"
    cmp -n 3584 -i 512:0 /dev/dut /dev/zero
    cmp -n 4096 -i 4096 /dev/dut "$WORK/expected"
    "$@" /dev/dut
    takes 0 13 # tables
}

verified() {
    thin 64
    verified_io /dev/dut --bsrange=512-65536 --bs_unaligned=0 --blockalign=512
    while_io /dev/dut trim_beside
}

trim_beside() { # the second half, while fio uses the first one
    for _ in 1 2 3 4 5; do
        dd if=/dev/urandom of=/dev/dut bs=1M seek=32 count=8 oflag=direct status=none
        blkdiscard --offset $((32 << 20)) --length $((8 << 20)) /dev/dut
    done
}

xfs_of_16_tib() {
    thin $((16 << 20))
    mkfs.xfs -q /dev/dut
    dir=$(mount_dir mnt)
    mount /dev/dut "$dir"
    [ "$(df --output=size -B1 "$dir" | tail -n 1)" -gt $((15 * TIB)) ]
    noise 8 >"$dir/file"
    sync "$dir/file"
    umount "$dir"
    mount /dev/dut "$dir"
    noise 8 | cmp - "$dir/file"
    umount "$dir"
    xfs_repair -n /dev/dut
    takes 8192 $((256 << 10))
    # The very end.
    write 1 $((16 * TIB - (1 << 20)))
    is_noise 1 $((16 * TIB - (1 << 20)))
}

full() {
    thin 64 memory_limit 8
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M count=16 oflag=direct
    takes 7168 8193
    blkdiscard --length 4M /dev/dut
    write 2 0
    is_noise 2 0
    # What is there can be changed, also when there is no more.
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M count=16 oflag=direct
    write 2 0
    is_noise 2 0
}

full_under_ext4() {
    thin 256 memory_limit 24
    mkfs.ext4 -q /dev/dut
    dir=$(mount_dir mnt)
    mount /dev/dut "$dir"
    fails_with "No space left|Input/output|Read-only" dd if=/dev/urandom of="$dir/file" bs=1M count=64 conv=fsync
    umount "$dir"
    # With memory it is well again.
    power dut 0
    set_to dut memory_limit 0
    power dut 1
    e2fsck -fy /dev/dut || [ $? -eq 1 ]
    e2fsck -fn /dev/dut
}

waits() {
    thin 64 memory_limit 4 memory_wait_msec 60000
    dd if=/dev/urandom of=/dev/dut bs=1M count=3 oflag=direct status=none
    write 3 $((16 << 20)) &
    writer=$!
    wait_for 20 was_put_back
    kill -0 "$writer"
    blkdiscard --length 3M /dev/dut
    wait "$writer"
    is_noise 3 $((16 << 20))
}
was_put_back() { [ "$(counter requeues "" dut)" -gt 3 ]; }

waits_no_longer() {
    thin 64 memory_limit 4 memory_wait_msec 500
    started=$(date +%s%N)
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M count=8 oflag=direct
    took_msec=$((($(date +%s%N) - started) / 1000000))
    echo "took $took_msec ms"
    [ "$took_msec" -ge 500 ]
    grep '^0 started' "$DEBUGFS/dut/in_flight"
    # Nor does the power wait for who waits.
    power dut 0
    set_to dut memory_wait_msec 600000
    power dut 1
    dd if=/dev/urandom of=/dev/dut bs=1M count=8 oflag=direct status=none &
    writer=$!
    wait_for 20 was_put_back
    quick_power_off dut 20
    ! wait "$writer"
}

# All the memory that there is, but for the reserve.
all_memory() {
    thin $((1 << 20))
    fails_with "No space left on device" dd if=/dev/zero of=/dev/dut bs=4M oflag=direct
    available=$(available_kib)
    echo "$available KiB are left"
    [ "$available" -gt $((32 << 10)) ]
    [ "$available" -lt $((160 << 10)) ]
    # What a discard gives back can be taken at once, but for what the reserve wants of it; and the kernel does not count what
    # its processors keep for themselves.
    python3 - <<'END'
import fcntl, mmap, os, struct
BLKDISCARD = 0x1277
disk = os.open("/dev/dut", os.O_RDWR | os.O_DIRECT)
data = mmap.mmap(-1, 4 << 20)
fcntl.ioctl(disk, BLKDISCARD, struct.pack("QQ", 0, 512 << 20))
os.pwrite(disk, data, 0)
END
    blkdiscard /dev/dut
    takes 0 257 # a table for each GiB
    write 4 0
    is_noise 4 0
}

resized() {
    thin 64
    write 8 $((56 << 20))
    set_to dut size 60
    takes 4096 4200
    set_to dut size $((4 << 20))
    is_zero 4 $((60 << 20))
    write 1 $((4 * TIB - (1 << 20)))
    is_noise 1 $((4 * TIB - (1 << 20)))
    set_to dut size 57
    takes 1024 1124
    read_at 1 $((56 << 20)) >"$WORK/read"
    noise 8 | cmp -n $((1 << 20)) - "$WORK/read"
    fails_with "out of range" set_to dut size $(((1 << 30) + 1))
    log_has "dut: size=$(((1 << 30) + 1)) refused: allowed is 1 to $((1 << 30))"
}

# With the power off, to the largest there is: that takes its root, 8 MiB, and no table for each MiB.
resized_while_off() {
    thin 64
    write 1 0
    power dut 0
    set_to dut size $((1 << 30))
    power dut 1
    is_noise 1 0
    is_zero 1 $((1024 * TIB - (1 << 20)))
    power dut 0
    set_to dut size 64
    power dut 1
    is_noise 1 0
}

# What another device has given back is there at once, though it is not yet free.
given_back_by_another() {
    thin $((1 << 20))
    fails_with "No space left on device" dd if=/dev/zero of=/dev/dut bs=4M oflag=direct
    new other
    set_to other store thin
    set_to other size 1024
    power other 1
    rmdir $CONFIG/dut
    dd if=/dev/zero of=/dev/other bs=4M count=32 oflag=direct status=none
    rmdir $CONFIG/other
}

# Flushes bring what waits for memory back before its time, and do not count.
waits_beside_flushes() {
    thin 64 memory_limit 4 memory_wait_msec 3000 write_cache 1
    dd if=/dev/urandom of=/dev/dut bs=1M count=3 oflag=direct status=none
    rm -f "$WORK/done"
    (until [ -e "$WORK/done" ]; do sync /dev/dut; done) &
    flusher=$!
    started=$(date +%s%N)
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M seek=8 count=8 oflag=direct
    took_msec=$((($(date +%s%N) - started) / 1000000))
    touch "$WORK/done"
    wait "$flusher"
    echo "took $took_msec ms, beside $(counter flushes "" dut) flushes"
    [ "$took_msec" -ge 3000 ]
    [ "$(counter flushes "" dut)" -gt 10 ]
}

stays() {
    thin 4096
    write 2 $((3 << 30))
    power dut 0
    takes 2048 2148
    power dut 1
    is_noise 2 $((3 << 30))
    # Another kind of store is another one.
    power dut 0
    set_to dut store linear
    set_to dut size 4
    power dut 1
    is_zero 4 0
    power dut 0
    set_to dut store thin
    power dut 1
    is_zero 4 0
    takes 0 1
}

with_cache() {
    # What a cache takes does not depend on the size of the disk.
    thin $((16 << 20)) cache_size 4 history_size 1
    noise 2 >"$WORK/old"
    dd if="$WORK/old" of=/dev/dut bs=64k oflag=direct status=none
    sync /dev/dut
    dd if=/dev/urandom of=/dev/dut bs=64k count=48 oflag=direct status=none
    blkdiscard --offset $((1 << 20)) --length 64k /dev/dut
    # Nor does the cut take memory for what was nothing and is nothing.
    dd if=/dev/urandom of=/dev/dut bs=64k seek=128 count=8 oflag=direct status=none
    blkdiscard --offset $((8 << 20)) --length 512k /dev/dut
    before=$(kib)
    set_to dut power_cut "1 nothing"
    takes 2048 $((before + 1))
    power dut 1
    cmp -n $((1 << 20)) /dev/dut "$WORK/old"
    cmp -n $((64 << 10)) -i $((1 << 20)):0 /dev/dut /dev/zero
    cmp -n $((960 << 10)) -i $((1088 << 10)) /dev/dut "$WORK/old"
    is_zero 1 $((2 << 20))
}

refused() {
    new dut
    set_to dut store thin
    fails_with "Invalid argument" set_to dut store thick
    log_has "dut: store=thick refused: allowed is linear or thin"
    has dut store thin
    set_to dut shared_tags 1
    fails_with "Invalid argument" set_to dut power 1
    log_has "dut: shared_tags=1 refused: allowed is at most 0 with store=thin"
    set_to dut shared_tags 0
    set_to dut size $(((1 << 30) + 1))
    fails_with "Invalid argument" set_to dut power 1
    log_has "dut: size=$(((1 << 30) + 1)) refused: allowed is at most $((1 << 30)) with store=thin"
    set_to dut size 64
    power dut 1
    new other
    fails_with "Invalid argument" set_to other share_store dut
    log_has "other: share_store=dut refused"
    rmdir $CONFIG/other
    fails_with "Operation not permitted" set_to dut memory_kib 1
}

comes_back() {
    new dut
    before=$(used_kib)
    available=$(available_kib)
    thin $((16 << 20))
    dd if=/dev/urandom of=/dev/dut bs=1M count=64 oflag=direct status=none
    rmdir $CONFIG/dut
    memory_is_back "$before" $((8 << 10))
    wait_for 10 are_available $((available - (16 << 10)))
}

as_parameter() {
    reload store=thin size=$((1 << 20))
    [ "$(cat /sys/module/rnullblk/parameters/store)" = thin ]
    [ "$(blockdev --getsize64 /dev/rblk0)" -eq $TIB ]
    verified_io /dev/rblk0
}

load nr_devices=0
check "no memory before something is written, nor for reading" nothing_at_first
check "what is written is there, and nothing beside it" as_written
check "a discard gives memory back" gives_back blkdiscard
check "so do zeroes" gives_back blkdiscard --zeroout
check "verified I/O, also with discards beside it" verified
check "a file system of 16 TiB" xfs_of_16_tib
check "no space left at memory_limit, and again some after a discard" full
check "a file system on it that gets no memory survives" full_under_ext4
check "a write waits for memory, and gets it" waits
check "it waits no longer than memory_wait_msec, nor than the power is on" waits_no_longer
check "so it does beside flushes" waits_beside_flushes
check "no space left when memory ends; some is left to others" all_memory
check "what another device gave back can be had" given_back_by_another
check "another size" resized
check "another size while the power is off" resized_while_off
check "data stays over power off, but not over another store" stays
check "power cut with a cache" with_cache
check "what cannot be" refused
check "all memory comes back" comes_back
check "store=thin as a parameter" as_parameter
finish
