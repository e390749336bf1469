#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A disk grows while it is used, and keeps what it has; one that turns read-only changes no byte more. User
# space is told of both.
plan 16

expect_log 'I/O error, dev rblk0|Buffer I/O error on dev(ice)? rblk0|lost async page write'
expect_log 'EXT4-fs.*rblk0|JBD2:.*rblk0|Aborting journal on device rblk0'
pick_seed

DISK=$DEBUGFS/rblk0
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
MNT=$(mount_dir)

# Waits for an event of the kernel whose text has the word, after COMMAND.
tells_user_space() { # tells_user_space WORD COMMAND...
    python3 -c '
import socket, subprocess, sys
events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)  # NETLINK_KOBJECT_UEVENT
events.bind((0, 1))
events.settimeout(10)
subprocess.run(sys.argv[2:], check=True)
while True:
    event = events.recv(8192).split(b"\0")
    if b"DEVNAME=rblk0" in event and sys.argv[1].encode() in event:
        break
' "$@"
}

set_file() { echo "$2" >"$DISK/$1"; } # set_file FILE VALUE

has_mib() { # has_mib MIB: everywhere
    [ "$(cat "$DISK/size")" -eq "$1" ]
    [ "$(cat /sys/block/rblk0/size)" -eq $(($1 << 11)) ]
    [ "$(blockdev --getsize64 /dev/rblk0)" -eq $(($1 << 20)) ]
}

fill() { # fill MIB: all of the disk
    noise "$1" >"$RAM/noise"
    dd if="$RAM/noise" of=/dev/rblk0 bs=1M oflag=direct status=none
}

keeps_its_data() {
    load size=8
    fill 8
    tells_user_space RESIZE=1 sh -c "echo 20 >$DISK/size"
    has_mib 20
    cmp -n $((8 << 20)) /dev/rblk0 "$RAM/noise"
    cmp -n $((12 << 20)) -i $((8 << 20)):0 /dev/rblk0 /dev/zero
    # Its last sector is one.
    dd if="$RAM/noise" of=/dev/rblk0 bs=512 seek=$(((20 << 11) - 1)) count=1 oflag=direct conv=notrunc
    cmp -n 512 -i $(((20 << 20) - 512)):0 /dev/rblk0 "$RAM/noise"
}

same_size() {
    set_file size 20
    has_mib 20
}

refuses() { # refuses ERROR VALUE FILE
    before=$(cat "$DISK/$3")
    fails_with "$1" sh -c "/bin/echo '$2' >$DISK/$3"
    [ "$(cat "$DISK/$3")" = "$before" ]
}

bad_sizes() {
    for value in 0 -1 9223372036854775807 18446744073709551616 many '' '20 20' '0 force'; do
        refuses "Invalid argument|Cannot allocate memory|out of range" "$value" size
    done
    log_has 'rnullblk: rblk0: size=0 refused: allowed is 1 to [0-9]+$'
    refuses "Cannot allocate memory" 1000000 size
    log_has 'rnullblk: rblk0: size=1000000 refused: allowed is 1 to [0-9]+$'
    has_mib 20
}

# Not while it is open, unless forced; what stays is as it was, and what comes again is zero.
shrinks() {
    load size=20
    fill 20
    exec 5</dev/rblk0
    refuses "Device or resource busy" 10 size
    log_has "rnullblk: rblk0: size=10 refused: allowed is 20 and more while it is open, or '10 force'"
    exec 5<&-
    tells_user_space RESIZE=1 sh -c "echo 10 >$DISK/size"
    has_mib 10
    cmp -n $((10 << 20)) /dev/rblk0 "$RAM/noise"
    exec 5</dev/rblk0
    set_file size "3 force"
    has_mib 3
    exec 5<&-
    set_file size 20
    has_mib 20
    cmp -n $((3 << 20)) /dev/rblk0 "$RAM/noise"
    cmp -n $((17 << 20)) -i $((3 << 20)):0 /dev/rblk0 /dev/zero
}

gives_memory_back() {
    reload size=256
    before=$(used_kib)
    set_file size 1
    after=$(used_kib)
    echo "before $before KiB, after $after KiB"
    [ $((before - after)) -gt $((200 << 10)) ]
}

load_until_done() {
    while [ ! -e "$WORK/done" ]; do
        fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 --thread \
            --rw=randrw --bs=4k --randseed="$seed" --norandommap --time_based --runtime=5 >"$WORK/fio.log" 2>&1 || true
    done
}

# I/O beyond the new end fails, and nothing else happens to it.
shrink_under_load() {
    reload size=32
    rm -f "$WORK/done"
    load_until_done &
    load_pid=$!
    trap 'touch "$WORK/done"; wait "$load_pid"' EXIT # of this check
    wait_for 20 writes_go_on 500
    for mib in 16 32 1 24 8; do
        set_file size "$mib force"
        before=$(counter writes)
        wait_for 20 writes_go_on "$before"
    done
    has_mib 8
}

# Requests wait for each growth, and then go on.
grow_16_times() {
    for mib in $(seq 33 48); do
        before=$(counter writes)
        set_file size "$mib"
        wait_for 20 writes_go_on "$before"
    done
}

under_load() { # under_load PARAMETER=VALUE... [-- FIO-OPTION...]
    parameters=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        parameters="$parameters $1"
        shift
    done
    [ $# -eq 0 ] || shift
    # shellcheck disable=SC2086 # several
    reload size=32 $parameters
    while_verified_io grow_16_times -- "$@"
    has_mib 48
}

file_system_grows() {
    reload size=24
    mkfs.ext4 -q /dev/rblk0
    mount /dev/rblk0 "$MNT"
    noise 8 >"$MNT/file"
    cp "$MNT/file" "$RAM/file"
    free_before=$(stat -f -c %f "$MNT")
    set_file size 48
    resize2fs /dev/rblk0
    [ $(($(stat -f -c %f "$MNT") - free_before)) -gt $((20 << 20 >> 12)) ]
    noise 20 >"$MNT/more"
    umount "$MNT"
    e2fsck -fn /dev/rblk0
    mount /dev/rblk0 "$MNT"
    cmp "$MNT/file" "$RAM/file"
    umount "$MNT"
}

without_memory() {
    reload size=16 memory_backed=0
    set_file size 8388608 # 8 TiB
    has_mib 8388608
    dd if=/dev/zero of=/dev/rblk0 bs=4096 seek=$(((8388608 << 8) - 1)) count=1 oflag=direct conv=notrunc
    [ "$(counter errors)" -eq 0 ]
}

write_one() { dd if=/dev/zero of=/dev/rblk0 bs=4k seek="$1" count=1 oflag=direct conv=notrunc; } # write_one BLOCK

write_to_5() { dd if=/dev/zero bs=4k count=1 >&5; }

# A descriptor that was open for writing before is no way around it; reads go on.
turns_read_only() {
    reload size=8
    fill 8
    exec 5<>/dev/rblk0
    tells_user_space DISK_RO=1 sh -c "echo 1 >$DISK/read_only"
    [ "$(cat /sys/block/rblk0/ro)" -eq 1 ]
    for io in write_to_5 "blkdiscard /dev/rblk0" "blkdiscard -z /dev/rblk0" "write_one 3"; do
        # shellcheck disable=SC2086 # words
        fails_with "Operation not permitted|Read-only|Input/output error|denied" $io
    done
    exec 5>&-
    cmp -n $((8 << 20)) /dev/rblk0 "$RAM/noise"
    fails_with "." mkfs.ext4 -q -F /dev/rblk0
    cmp -n $((8 << 20)) /dev/rblk0 "$RAM/noise"
    tells_user_space DISK_RO=0 sh -c "echo 0 >$DISK/read_only"
    write_one 3
    fails_with differ cmp -n $((8 << 20)) /dev/rblk0 "$RAM/noise"
    refuses "Invalid argument" 2 read_only
    refuses "Invalid argument" yes read_only
}

# When the write to the file returns all writes fail, and no byte changes any more.
read_only_under_load() { # read_only_under_load PARAMETER=VALUE...
    reload size=8 "$@"
    fill 8
    for _ in 1 2 3; do
        fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --iodepth=32 --numjobs=2 --thread \
            --rw=randwrite --bs=4k --randseed="$seed" --norandommap --time_based --runtime=60 >"$WORK/fio.log" 2>&1 &
        fio_pid=$!
        wait_for 20 writes_go_on $(($(counter writes) + 500))
        set_file read_only 1
        dd if=/dev/rblk0 of="$RAM/at-once" bs=1M iflag=direct status=none
        if wait "$fio_pid"; then
            echo "no write failed"
            return 1
        fi
        dd if=/dev/rblk0 of="$RAM/later" bs=1M iflag=direct status=none
        cmp "$RAM/at-once" "$RAM/later"
        fails_with differ cmp "$RAM/at-once" "$RAM/noise"
        set_file read_only 0
    done
}

# It was mounted before, so nobody but the driver stops its writes.
file_system_writes_nothing() {
    reload size=16
    mkfs.ext4 -q /dev/rblk0
    mount /dev/rblk0 "$MNT"
    noise 1 >"$MNT/file"
    sync -f "$MNT"
    set_file read_only 1
    dd if=/dev/rblk0 of="$RAM/before" bs=1M iflag=direct status=none
    fails_with "Input/output error|Read-only" dd if=/dev/zero of="$MNT/more" bs=64k count=4 conv=fsync
    umount "$MNT"
    [ "$(counter errors)" -gt 0 ]
    dd if=/dev/rblk0 of="$RAM/after" bs=1M iflag=direct status=none
    cmp "$RAM/before" "$RAM/after"
}

at_load() {
    reload size=4 read_only=1 removable=1
    [ "$(cat /sys/block/rblk0/ro)" -eq 1 ]
    [ "$(cat /sys/block/rblk0/removable)" -eq 1 ]
    [ "$(lsblk -dno RO,RM /dev/rblk0 | tr -d ' ')" = 11 ]
    fails_with "." write_one 0
    reload size=4
    [ "$(cat /sys/block/rblk0/ro)" -eq 0 ]
    [ "$(cat /sys/block/rblk0/removable)" -eq 0 ]
    write_one 0
}

after_it_was_pulled_out() {
    set_file pull_out 1
    for mib in 0 1 8; do
        fails_with "No such device" sh -c "/bin/echo $mib >$DISK/size"
    done
    [ "$(cat /sys/block/rblk0/size)" -eq 0 ]
}

check "it keeps its data, and the rest reads as zeroes" keeps_its_data
check "the size that it has is no change" same_size
check "a senseless size and one beyond memory are refused" bad_sizes
unload
check "it shrinks when it is closed, and by force" shrinks
check "its memory is given back" gives_memory_back
check "it shrinks under load by force" shrink_under_load
check "16 times under load, all of it verified" under_load
check "also with answers to come" under_load irqmode=2
check "and polled" under_load poll_queues=2 -- --ioengine=io_uring --hipri
check "a mounted ext4 grows with it" file_system_grows
check "a disk without memory grows beyond memory" without_memory
check "what is read-only cannot be changed, and can be again" turns_read_only
check "read-only under load: no byte changes any more" read_only_under_load irqmode=2
check "a file system that is mounted writes nothing either" file_system_writes_nothing
check "read_only and removable at load" at_load
check "a disk that was pulled out does not grow" after_it_was_pulled_out
finish
