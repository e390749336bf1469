#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A snapshot has what the disk had, for nothing but what is changed later; a rollback brings it back, and clone_of makes
# another device of it.
plan 16

expect_log 'critical space allocation error|I/O error|EXT4-fs|JBD2|lost async page write|Aborting journal'
pick_seed

# thin NAME MIB [ATTRIBUTE VALUE]...
thin() {
    name=$1
    new "$name"
    set_to "$name" store thin
    set_to "$name" size "$2"
    shift 2
    while [ $# -gt 0 ]; do
        set_to "$name" "$1" "$2"
        shift 2
    done
    power "$name" 1
}

kib() { cat "$CONFIG/$1/memory_kib"; }
# fill DEVICE WHAT [MIB]: noise that differs by WHAT
fill() { noise "${3:-4}" "$2" | dd of="/dev/$1" bs=1M oflag=direct iflag=fullblock status=none; }
has_noise() { # has_noise DEVICE WHAT [MIB]
    dd if="/dev/$1" of="$WORK/read" bs=1M count="${3:-4}" iflag=direct status=none
    noise "${3:-4}" "$2" | cmp - "$WORK/read"
}
snapshots_are() { [ "$(paste -s -d ' ' "$CONFIG/dut/snapshot")" = "$1" ]; }

back_and_forth() {
    thin dut 4096
    fill dut 1
    set_to dut snapshot one
    fill dut 2 2
    set_to dut snapshot two
    blkdiscard /dev/dut
    fill dut 3 1
    set_to dut rollback one
    has_noise dut 1
    set_to dut rollback two
    has_noise dut 2 2
    fill dut 4
    set_to dut rollback one
    has_noise dut 1
    set_to dut rollback one
    has_noise dut 1
}

# Every page in turn, so that all tables are parted; the snapshot must not move.
page_by_page() {
    thin dut 64
    fill dut 1 8
    set_to dut snapshot golden
    fio --name=pages --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k --size=8m \
        --randseed="$seed" --verify=crc32c --verify_fatal=1 >"$WORK/fio.log"
    fio --name=parts --filename=/dev/dut --direct=1 --rw=randwrite --bs=512 --size=1m --randseed="$seed" >"$WORK/fio.log"
    blkdiscard --offset 6M --length 1M /dev/dut
    blkdiscard --zeroout --offset $((7 << 20)) --length 2560 /dev/dut
    set_to dut rollback golden
    has_noise dut 1 8
}

golden_file_system() {
    thin dut 256
    mkfs.ext4 -q /dev/dut
    dir=$(mount_dir mnt)
    mount /dev/dut "$dir"
    noise 4 >"$dir/golden"
    umount "$dir"
    set_to dut snapshot golden
    for round in $(seq "$(scaled 10)"); do
        mount /dev/dut "$dir"
        noise 4 | cmp - "$dir/golden"
        [ ! -e "$dir/more" ]
        echo "$round" >"$dir/more"
        rm "$dir/golden"
        umount "$dir"
        set_to dut rollback golden
    done
    e2fsck -fn /dev/dut
}

# As after a power cut: the journal is replayed.
under_a_mount() {
    thin dut 256
    mkfs.ext4 -q /dev/dut
    dir=$(mount_dir mnt)
    mount /dev/dut "$dir"
    noise 4 >"$dir/file"
    sync "$dir/file"
    set_to dut snapshot mounted
    rm "$dir/file"
    fails_with "Device or resource busy" set_to dut rollback mounted
    log_has "dut: rollback=mounted refused: allowed is nothing while it is open"
    umount "$dir"
    set_to dut rollback mounted
    mount /dev/dut "$dir"
    noise 4 | cmp - "$dir/file"
    set_to dut rollback "mounted force"
    umount "$dir" || true
}

while_written() {
    thin dut 64
    fill dut 1 2
    while_io /dev/dut take_and_drop
}
take_and_drop() {
    for number in 1 2 3 4 5 6 7 8; do
        set_to dut snapshot "$number"
    done
    snapshots_are "1 2 3 4 5 6 7 8"
    for number in 3 1 8 2 4 5 7 6; do
        set_to dut drop "$number"
    done
    snapshots_are ""
}

partitions() {
    thin dut 64
    set_to dut snapshot empty
    echo 'size=8MiB' | sfdisk -q /dev/dut
    wait_for 5 test -b /dev/dut1
    set_to dut snapshot parted
    set_to dut rollback empty
    : </dev/dut
    wait_for 5 test ! -e /dev/dut1
    set_to dut rollback parted
    : </dev/dut
    wait_for 5 test -b /dev/dut1
}

# A snapshot takes no memory, and what is changed takes its own; a rollback and a drop give it back.
memory() {
    thin dut $((1 << 20))
    fill dut 1 32
    before=$(kib dut)
    for number in $(seq 20); do
        set_to dut snapshot "$number"
    done
    echo "$before KiB, with 20 snapshots $(kib dut)"
    [ "$(kib dut)" -eq "$before" ]
    fill dut 2 2
    echo "with 2 MiB changed $(kib dut)"
    [ $(($(kib dut) - before)) -ge 2048 ]
    [ $(($(kib dut) - before)) -lt 2148 ]
    set_to dut rollback 7
    [ "$(kib dut)" -eq "$before" ]
    blkdiscard /dev/dut
    for number in $(seq 19); do
        set_to dut drop "$number"
    done
    echo "with one snapshot and a table to say that there is nothing: $(kib dut)"
    [ "$(kib dut)" -eq $((before + 4)) ]
    set_to dut drop 20
    [ "$(kib dut)" -eq 4 ]
}

# How long it all takes, beside a copy of 64 MiB.
usec() { # usec TIMES COMMAND...: of each
    times=$1
    shift
    started=$(date +%s%N)
    for number in $(seq "$times"); do
        "$@"
    done
    echo $((($(date +%s%N) - started) / 1000 / times))
}
copy_all() { dd if=/dev/dut of=/dev/copy bs=1M count=64 iflag=direct oflag=direct status=none; }
take_one() { echo "n$number" >$CONFIG/dut/snapshot; }
roll_one() { echo "n$number" >$CONFIG/dut/rollback; }
quick() {
    thin copy 64
    thin dut 64
    fill dut 1 64
    copy=$(usec 3 copy_all)
    take=$(usec 30 take_one)
    roll=$(usec 30 roll_one)
    fill dut 2 1
    roll_mib=$(usec 1 roll_one)
    {
        echo "a copy of 64 MiB: $copy us; a snapshot: $take us; a rollback: $roll us;"
        echo "a rollback of 1 MiB that was changed: $roll_mib us"
    } | paste -s -d ' ' >"$WORK/times"
    cat "$WORK/times"
    has_noise dut 1 64
    [ $((take * 4)) -lt "$copy" ]
}

clones() {
    thin dut 256
    mkfs.ext4 -q /dev/dut
    dir=$(mount_dir mnt)
    mount /dev/dut "$dir"
    noise 4 >"$dir/file"
    umount "$dir"
    set_to dut snapshot golden
    before=$(kib dut)
    for clone in writable readonly; do
        new $clone
        set_to $clone clone_of dut/golden
    done
    set_to readonly read_only 1
    power writable 1
    power readonly 1
    blkdiscard -f /dev/dut
    has writable size 256
    has writable store thin
    [ "$(kib dut)" -lt $((before + 16)) ]
    mount -o ro,noload /dev/readonly "$dir"
    noise 4 | cmp - "$dir/file"
    umount "$dir"
    mount /dev/writable "$dir"
    echo more >"$dir/more"
    umount "$dir"
    e2fsck -fn /dev/writable
    sum_of /dev/readonly >"$WORK/sum"
    # They outlive what they come from, and have a life of their own.
    rmdir $CONFIG/dut
    set_to writable snapshot mine
    blkdiscard -f /dev/writable
    sum_of /dev/readonly | diff "$WORK/sum" -
    set_to writable rollback mine
    power writable 0
    power writable 1
    mount /dev/writable "$dir"
    [ "$(cat "$dir/more")" = more ]
    noise 4 | cmp - "$dir/file"
    umount "$dir"
    rmdir $CONFIG/writable $CONFIG/readonly
    # A power on that fails takes nothing over: not even when the snapshot is another one by then.
    thin dut 64
    fill dut 1
    set_to dut snapshot golden
    new writable
    set_to writable size 5
    set_to writable clone_of dut/golden
    set_to writable init_hctx_fault_inject 1,100,0,-1
    set_to writable memory_limit 1
    fails_with "Cannot allocate memory" set_to writable power 1
    set_to writable memory_limit 0
    has writable size 5
    has writable store linear
    has writable memory_kib 0
    set_to dut drop golden
    fill dut 2
    set_to dut snapshot golden
    set_to writable init_hctx_fault_inject 0,0,0,0
    power writable 1
    has_noise writable 2
    rmdir $CONFIG/writable
    # Nor does one that fails before leave zeroes, which would be kept then.
    new writable
    set_to writable store thin
    set_to writable init_hctx_fault_inject 1,100,0,-1
    fails_with "Cannot allocate memory" set_to writable power 1
    fails_with "No such device or address" set_to writable snapshot none
    set_to writable init_hctx_fault_inject 0,0,0,0
    set_to writable clone_of dut/golden
    power writable 1
    has_noise writable 2
    rmdir $CONFIG/writable
}

off() {
    thin dut 64
    fill dut 1
    power dut 0
    set_to dut snapshot cold
    power dut 1
    fill dut 2
    set_to dut snapshot warm
    power dut 0
    set_to dut rollback cold
    power dut 1
    has_noise dut 1
    snapshots_are "cold warm"
    # What has another size by now comes back with the power off.
    set_to dut size 65
    fails_with "Device or resource busy" set_to dut rollback warm
    power dut 0
    set_to dut rollback warm
    has dut size 64
    power dut 1
    has_noise dut 2
}

# The store of a snapshot may be of another family by then.
after_another_store() {
    thin dut 64
    fill dut 1 4
    set_to dut snapshot one
    for backed in 0 1; do
        power dut 0
        set_to dut memory_backed $backed
        set_to dut memory_limit 6
        power dut 1
    done
    [ "$(kib dut)" -lt 16 ]
    set_to dut rollback one
    has_noise dut 1 4
    [ "$(kib dut)" -ge 4096 ]
    fails_with "No space left on device" dd if=/dev/urandom of=/dev/dut bs=1M seek=16 count=8 oflag=direct
}

# It is one limit for the device with its snapshots; without it there is none, also while there are snapshots. That of another
# device stays.
no_limit_any_more() {
    thin dut 64 memory_limit 6
    fill dut 1 4
    set_to dut snapshot one
    new clone
    set_to clone clone_of dut/one
    power clone 1
    fails_with "No space left on device" fill clone 2 8
    rmdir $CONFIG/clone
    fails_with "No space left on device" fill dut 2 8
    power dut 0
    set_to dut memory_limit 0
    power dut 1
    fill dut 2 8
    has_noise dut 2 8
}

# As many lines as fit into a page, and those whole.
many_names() {
    thin dut 1
    for i in $(seq 140); do
        set_to dut snapshot "$(printf '%031d' "$i")"
    done
    seq -f '%031.0f' 128 | diff - "$CONFIG/dut/snapshot"
    set_to dut drop "$(printf '%031d' 1)"
    set_to dut rollback "$(printf '%031d' 140)"
    seq -f '%031.0f' 2 129 | diff - "$CONFIG/dut/snapshot"
    set_to dut snapshot short
    set_to dut drop "$(printf '%031d' 2)"
    seq -f '%031.0f' 3 130 | diff - "$CONFIG/dut/snapshot"
}

with_cache() {
    thin dut 64 cache_size 4
    fill dut 1 2
    sync /dev/dut
    fill dut 2 2
    set_to dut snapshot seen
    set_to dut power_cut "1 nothing"
    power dut 1
    has_noise dut 1 2
    set_to dut rollback seen
    has_noise dut 2 2
    # What a rollback brought is durable.
    set_to dut power_cut "1 nothing"
    power dut 1
    has_noise dut 2 2
}

refused() {
    thin dut 64
    set_to dut snapshot one
    fails_with "File exists" set_to dut snapshot one
    log_has "dut: snapshot=one refused: allowed is a name that no snapshot has"
    for name in "two words" a/b "$(printf '%032d' 0)"; do
        fails_with "Invalid argument" set_to dut snapshot "$name"
    done
    for attribute in rollback drop; do
        fails_with "No such file" set_to dut $attribute nobody
        log_has "dut: $attribute=nobody refused: allowed is the name of a snapshot"
    done
    snapshots_are one
    new other
    for snapshot in dut dut/nobody nobody/one other/one /; do
        fails_with "Invalid argument|No such" set_to other clone_of $snapshot
        log_has "other: clone_of=$snapshot refused: allowed is nothing, or DEVICE/SNAPSHOT"
    done
    fails_with "Invalid argument" set_to other snapshot ''
    fails_with "No such device or address" set_to other snapshot one
    set_to other size 1
    power other 1
    fails_with "Invalid argument" set_to other snapshot one
    log_has "other: snapshot=one refused: allowed is what has store=thin"
    fails_with "Device or resource busy" set_to other clone_of dut/one
    rmdir $CONFIG/other
    chown nobody $CONFIG/dut/snapshot
    fails_with "Operation not permitted" setpriv --reuid nobody --clear-groups --bounding-set -all \
        sh -c "/bin/echo mine >$CONFIG/dut/snapshot"
}

comes_back() {
    new dut
    before=$(used_kib)
    available=$(available_kib)
    thin dut $((1 << 20))
    fill dut 1 32
    set_to dut snapshot one
    fill dut 2 32
    set_to dut snapshot two
    rmdir $CONFIG/dut
    memory_is_back "$before" $((8 << 10))
    wait_for 10 are_available $((available - (16 << 10)))
}

load nr_devices=0
check "back and forth between two" back_and_forth
check "each page and part of one that is written parts from the snapshot" page_by_page
check "a golden file system comes back again and again" golden_file_system
check "a snapshot of a mounted file system; no rollback under it" under_a_mount
check "taken and dropped while the disk is written" while_written
check "partitions come and go with it" partitions
check "memory is taken for what is changed alone" memory
check "a snapshot costs little beside a copy" quick
[ ! -e "$WORK/times" ] || ktap_print_msg "$(cat "$WORK/times")"
check "other devices made of one, writable and not" clones
check "with the power off, and over it" off
check "after the device had another store" after_another_store
check "no limit any more, with snapshots" no_limit_any_more
check "more names than fit into a page" many_names
check "with a volatile cache" with_cache
check "what cannot be" refused
check "all memory comes back" comes_back
finish
