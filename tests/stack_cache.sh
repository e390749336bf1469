#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# bcache and dm-cache with one device as the cache of another: what is written back is on the origin when the cache is gone.
plan 2

NAME=rblk-cached

take_down() {
    for file in /sys/block/bcache*/bcache/stop /sys/fs/bcache/*-*/stop; do
        [ ! -e "$file" ] || echo 1 >"$file"
    done
    wait_for 20 no_bcache
    ! dmsetup info $NAME >/dev/null 2>&1 || dmsetup remove --retry $NAME
}
no_bcache() { [ -z "$(find /sys/block/ -name 'bcache*')$(find /sys/fs/bcache -name '*-*' -maxdepth 1 2>/dev/null)" ]; }
at_end take_down

is_attached() { [ -b /dev/bcache0 ] && [ -e /sys/block/bcache0/bcache/cache ]; }
is_state() { [ "$(cat /sys/block/bcache0/bcache/state)" = "$1" ]; }

# Without udev nobody registers them.
bcache() {
    reload nr_devices=2 size=96
    make-bcache --writeback --bucket 64k -C /dev/rblk1 -B /dev/rblk0
    for device in /dev/rblk1 /dev/rblk0; do
        echo $device >/sys/fs/bcache/register
    done
    wait_for 10 is_attached
    for file in /sys/fs/bcache/*-*/congested_*_threshold_us; do
        echo 0 >"$file" # or it goes round a cache that answers slowly, as under emulation
    done
    verified_io /dev/bcache0
    is_state dirty
    cached_writes=$(counter writes '' rblk1)
    echo "$cached_writes writes to the cache"
    [ "$cached_writes" -gt 100 ]
    content=$(head -c 64M /dev/bcache0 | sha256sum)
    echo 1 >/sys/block/bcache0/bcache/detach # writes back all
    wait_for 60 is_state "no cache"
    take_down
    # Its own superblock takes the first 8 KiB of the origin.
    [ "$(tail -c +8193 /dev/rblk0 | head -c 64M | sha256sum)" = "$content" ]
}

# dm-cache with a third device for its metadata
dm_cache() {
    take_down
    reload nr_devices=3 size=64
    sectors=$(blockdev --getsz /dev/rblk0)
    dmsetup create $NAME \
        --table "0 $sectors cache /dev/rblk2 /dev/rblk1 /dev/rblk0 128 1 writeback smq 0"
    dmsetup mknodes $NAME
    noise 4 | dd of=/dev/mapper/$NAME bs=1M oflag=direct iflag=fullblock status=none
    for _ in 1 2 3; do
        verified_io /dev/mapper/$NAME --offset=8m
    done
    content=$(sum_of /dev/mapper/$NAME)
    dmsetup status $NAME
    [ "$(counter writes '' rblk1)" -gt 0 ] # into the cache
    # The policy "cleaner" writes back all.
    dmsetup reload $NAME --table "0 $sectors cache /dev/rblk2 /dev/rblk1 /dev/rblk0 128 1 writeback cleaner 0"
    dmsetup suspend $NAME
    dmsetup resume $NAME
    wait_for 60 nothing_is_dirty
    take_down
    [ "$(sum_of /dev/rblk0)" = "$content" ]
}
nothing_is_dirty() { [ "$(dmsetup status $NAME | awk '{ print $14 }')" -eq 0 ]; }

pick_seed
if modprobe bcache 2>/dev/null && command -v make-bcache >/dev/null; then
    check "bcache" bcache
else
    skip "bcache" "there is no bcache"
fi
if modprobe dm-cache-smq 2>/dev/null; then
    check "dm-cache" dm_cache
else
    skip "dm-cache" "this kernel has no dm-cache"
fi
finish
