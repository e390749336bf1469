#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# An example to copy: does ext4 pass the errors of its disk on, and no more than these? A file with a bad sector cannot
# be read, the one beside it can; a request that the disk gives back for a while is no error; and when the sector is
# good again, everything is there. Needs root, rblkctl, rnullblk (loaded, or rnullblk.ko here), and e2fsprogs.
set -eu

[ -d /sys/module/rnullblk ] || modprobe rnullblk nr_devices=0 2>/dev/null || insmod rnullblk.ko nr_devices=0

disk=
mnt=$(mktemp -d)
cleanup() {
    ! mountpoint -q "$mnt" || umount "$mnt"
    [ -z "$disk" ] || rblkctl remove "$disk"
    rmdir "$mnt"
}
trap cleanup EXIT

# expect WHAT COMMAND...
expect() {
    what=$1
    shift
    if "$@"; then echo "ok: $what"; else
        echo "FAILED: $what"
        exit 1
    fi
}

same() { [ "$(sha256sum <"$mnt/$1")" = "$(cat "$mnt/$1.sum")" ]; }
fails_with_eio() { [ "$(cat "$mnt/$1" 2>&1 >/dev/null)" = "cat: $mnt/$1: Input/output error" ]; }
is_clean() { e2fsck -fn "$disk" >/dev/null 2>&1; }
forget_cached() { sync && echo 3 >/proc/sys/vm/drop_caches; }

disk=$(rblkctl create --size 64M)
mkfs.ext4 -q -b 4096 "$disk"
mount "$disk" "$mnt"
for file in victim neighbour; do
    head -c 1M /dev/urandom >"$mnt/$file"
    sha256sum <"$mnt/$file" >"$mnt/$file.sum"
done
forget_cached

# The disk cannot read one sector of the file. A sector has 512 bytes, a block of this file system 8 of them.
block=$(debugfs -R "bmap victim 100" "$disk" 2>/dev/null)
rblkctl badblocks "$disk" add "$((block * 8))-$((block * 8))"
expect "a file with a bad sector cannot be read" fails_with_eio victim
expect "the file beside it can" same neighbour

# It can again.
rblkctl badblocks "$disk" clear "$((block * 8))-$((block * 8))"
forget_cached
expect "the bad sector was only bad, not lost" same victim

# One request in five is given back unserved, and comes again.
rblkctl set "$disk" requeue_inject=1,20,0,-1 fault_seed=42
forget_cached
expect "requests that come again are no errors" same victim
rblkctl set "$disk" requeue_inject=0,0,0,0

umount "$mnt"
expect "the file system is clean" is_clean
