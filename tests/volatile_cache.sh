#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# cache_size: what is written can be read at once, but survives the power only if it was flushed, written with FUA,
# or pushed out by later writes.
plan 11

expect_log 'I/O error, dev dut|Buffer I/O error on dev(ice)? dut'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
MNT=$(mount_dir)
noise 8 >"$RAM/noise"

put() { # put BLOCK COUNT [DD-OPTION...]: blocks of 4 KiB of the noise, each to its own place
    block=$1 count=$2
    shift 2
    dd if="$RAM/noise" of=/dev/dut bs=4k skip="$block" seek="$block" count="$count" oflag=direct conv=notrunc status=none "$@"
}

is_noise() { cmp -n $(($2 * 4096)) -i $(($1 * 4096)) "$RAM/noise" /dev/dut; } # is_noise BLOCK COUNT

is_zero() { cmp -n $(($2 * 4096)) -i 0:$(($1 * 4096)) /dev/zero /dev/dut; } # is_zero BLOCK COUNT

flush() { sync /dev/dut; }

again() { # again: off and on
    power dut 0
    power dut 1
}

fresh() { # fresh CACHE-MIB [ATTRIBUTE VALUE]
    [ ! -d "$CONFIG/dut" ] || rmdir "$CONFIG/dut"
    mkdir "$CONFIG/dut"
    set_to dut size 8
    set_to dut cache_size "$1"
    [ $# -eq 1 ] || set_to dut "$2" "$3"
    power dut 1
}

lost_and_flushed() {
    fresh 4
    put 0 16
    is_noise 0 16
    flush
    put 100 16
    is_noise 100 16
    again
    is_noise 0 16
    is_zero 100 16
}

# What was durable comes back where it was overwritten, sector by sector.
overwritten() {
    fresh 4
    put 0 64
    flush
    dd if=/dev/zero of=/dev/dut bs=512 seek=9 count=30 oflag=direct conv=notrunc status=none
    cmp -n $((30 * 512)) -i $((9 * 512)):0 /dev/dut /dev/zero
    again
    is_noise 0 64
}

# 1 MiB are 256 blocks: of 300 the first 44 had to leave, and are durable.
pushed_out() {
    fresh 1
    put 0 300
    again
    is_noise 0 44
    is_zero 44 256
}

# FUA is durable by itself, in the middle of what is not.
fua() {
    fresh 4
    put 10 1
    fails_with "canceled" insmod "$TESTS/kmod/poke.ko" device=/dev/dut fua=82 # 1 KiB behind the block's start
    [ "$(counter fua_writes '' dut)" -eq 1 ]
    [ "$(counter flushes '' dut)" -eq 0 ]
    again
    yes "$(printf '\372')" | LC_ALL=C tr -d '\n' | head -c 512 >"$RAM/fa"
    cmp -n 512 -i 0:$((10 * 4096 + 1024)) "$RAM/fa" /dev/dut
    cmp -n 1024 -i 0:$((10 * 4096)) /dev/zero /dev/dut
    cmp -n 2560 -i 0:$((10 * 4096 + 1536)) /dev/zero /dev/dut
}

# Without FUA the block layer flushes instead.
no_fua() {
    fresh 4 fua 0
    dd if="$RAM/noise" of=/dev/dut bs=4k count=4 oflag=direct,dsync conv=notrunc status=none
    [ "$(counter fua_writes '' dut)" -eq 0 ]
    [ "$(counter flushes '' dut)" -ge 1 ]
    again
    is_noise 0 4
}

# They are durable at once.
discards_and_zeroes() {
    fresh 4
    put 0 64
    flush
    put 0 64
    blkdiscard -o 0 -l $((16 * 4096)) /dev/dut
    blkdiscard -z -o $((16 * 4096)) -l $((16 * 4096)) /dev/dut
    again
    is_zero 0 32
    is_noise 32 32
}

pulled_out() {
    fresh 4
    put 0 16
    flush
    put 0 32
    echo 1 >"$DEBUGFS/dut/pull_out"
    again
    is_noise 0 16
    is_zero 16 16
}

# Growing and shrinking are done by a device that writes its cache back first.
resized() {
    fresh 4
    put 0 16
    set_to dut size 16
    put 16 16
    again
    is_noise 0 16
    is_zero 16 16
    put 16 16
    set_to dut size 4
    again
    is_noise 0 32
}

# A database's way: after each flush all before it is there, whatever came later.
flushed_is_durable() {
    fresh 2
    for round in 1 2 3 4; do
        fio --name=durable --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 --offset_increment=2m \
            --size=2m --rw=randwrite --bs=4k --randseed=$((seed + round)) --verify=crc32c --do_verify=0 --end_fsync=1 \
            --verify_state_save=0 >"$RAM/fio.log"
        # Beyond these 4 MiB: lost.
        fio --name=lost --filename=/dev/dut --direct=1 --offset=6m --size=1m --rw=randwrite --bs=4k \
            --randseed="$seed" >"$RAM/lost.log"
        again
        fio --name=durable --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 --offset_increment=2m \
            --size=2m --rw=randwrite --bs=4k --randseed=$((seed + round)) --verify=crc32c --verify_only --verify_fatal=1 \
            >"$RAM/fio.log" || { cat "$RAM/fio.log"; return 1; }
        is_zero $((6 << 8)) 256
    done
}

# A file system sends its barriers, so what it synced is there; its journal puts the rest right.
file_system() {
    fresh 4 size 64
    mkfs.ext4 -q /dev/dut
    flush
    mount /dev/dut "$MNT"
    for i in 1 2 3 4 5; do
        noise 1 >"$MNT/synced$i"
        sync "$MNT/synced$i"
        noise 1 >"$MNT/not$i"
    done
    echo 1 >"$DEBUGFS/dut/pull_out"
    umount "$MNT"
    again
    mount /dev/dut "$MNT"
    for i in 1 2 3 4 5; do
        noise 1 | cmp - "$MNT/synced$i"
    done
    umount "$MNT"
    e2fsck -fn /dev/dut
}

# Without memory there is nothing to lose, and a cache costs nothing.
without_memory() {
    fresh 4 memory_backed 0
    put 0 16
    flush
    again
}

load nr_devices=0
check "flushed or lost" lost_and_flushed
check "what was overwritten comes back" overwritten
check "what had to leave the cache is durable" pushed_out
check "FUA is durable" fua
check "without FUA a flush makes it so" no_fua
check "discards and zeroes are durable" discards_and_zeroes
check "pulled out loses as much" pulled_out
check "a resize makes all durable" resized
check "under load all that was flushed is there" flushed_is_durable
check "ext4 loses nothing that it synced" file_system
check "without memory" without_memory
finish
