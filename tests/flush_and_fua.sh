#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# With a write cache, flushes and FUA writes reach the driver; without one none does, and fsync works.
plan 11

mnt=$(mount_dir disk)

# counts WRITES FUA-WRITES FLUSHES COMMAND...: what COMMAND makes of each; "some" is one or more.
counts() {
    expected="writes=$1 fua_writes=$2 flushes=$3"
    shift 3
    for kind in writes fua_writes flushes; do
        echo "$kind $(counter "$kind")"
    done >"$WORK/before"
    "$@"
    cat "$WORK/before" "$DEBUGFS/rblk0/queues"
    echo "expected: $expected"
    for pair in $expected; do
        kind=${pair%%=*}
        number=$(($(counter "$kind") - $(sed -n "s/^$kind //p" "$WORK/before")))
        case ${pair#*=} in
        any) ;;
        some) [ "$number" -gt 0 ] ;;
        *) [ "$number" -eq "${pair#*=}" ] ;;
        esac
    done
    [ "$(counter errors)" -eq 0 ]
}

cache_is() { # cache_is TEXT FUA
    [ "$(cat /sys/block/rblk0/queue/write_cache)" = "$1" ]
    [ "$(cat /sys/block/rblk0/queue/fua)" -eq "$2" ]
}

with_cache() {
    reload size=64 write_cache=1
    cache_is "write back" 1
}

without_cache() {
    reload size=64
    cache_is "write through" 0
}

direct_write() { dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=50; }

dsync_write() { yes fua | dd of=/dev/rblk0 iflag=fullblock oflag=direct,dsync bs=4k count=50; }

fsync_at_end() { dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=50 conv=fsync; }

fsync_each() { # 50 writes, 50 fsyncs
    python3 - <<'EOF'
import os

disk = os.open("/dev/rblk0", os.O_RDWR)
for i in range(50):
    assert os.pwrite(disk, bytes(4096), i * 4096) == 4096
    os.fsync(disk)
EOF
}

fua_data_is_there() {
    echo 3 >/proc/sys/vm/drop_caches
    dsync_write
    yes fua | cmp -n 204800 - /dev/rblk0
}

file_system() {
    mkfs.ext4 -q /dev/rblk0
    mount -o barrier=1 /dev/rblk0 "$mnt"
    for file in a b c; do
        dd if=/dev/urandom of="$mnt/$file" bs=64k count=4 conv=fsync
    done
    (cd "$mnt" && sha256sum a b c) >"$WORK/sums"
    umount "$mnt"
    e2fsck -fn /dev/rblk0
    mount /dev/rblk0 "$mnt"
    (cd "$mnt" && sha256sum -c "$WORK/sums")
    umount "$mnt"
}

check "write_cache=1 is shown as write back with FUA" with_cache
check "a plain write is neither flushed nor forced" counts 50 0 0 direct_write
check "O_DSYNC writes arrive as FUA writes" counts 50 50 any dsync_write
check "and what they wrote is there" fua_data_is_there
check "fsync arrives as a flush" counts 50 0 1 fsync_at_end
check "each fsync does" counts 50 0 50 fsync_each
check "ext4 with barriers flushes and forces, and works" counts some some some file_system
check "by default write through is shown, without FUA" without_cache
check "O_DSYNC writes succeed as plain writes" counts 50 0 0 dsync_write
check "fsync succeeds without a flush" counts 50 0 0 fsync_each
check "ext4 works without either" counts some 0 0 file_system
finish
