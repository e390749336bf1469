#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Partitions begin and end where the table says, in GPT and DOS tables; what is done in one, a file system
# or a discard, stays in it.
plan 15

pick_seed

DEVICE_MIB=12
MNT=$(mount_dir)
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"

make_noise() {
    python3 -c 'import random, sys; sys.stdout.buffer.write(
        random.Random(int(sys.argv[1])).randbytes(int(sys.argv[2]) << 20))' \
        "$seed" "$DEVICE_MIB" >"$RAM/noise"
}

# Partition 1 has both its ends inside pages where sectors allow it, and partition 2 follows at once.
partition() { # partition LABEL START SIZE: in logical blocks
    dd if="$RAM/noise" of=/dev/rblk0 bs=1M oflag=direct status=none
    sfdisk --quiet /dev/rblk0 <<END_OF_TABLE
label: $1
start=$2, size=$3
start=$(($2 + $3))
END_OF_TABLE
    wait_for 5 test -b /dev/rblk0p1
    wait_for 5 test -b /dev/rblk0p2
    for of_partition in "rblk0p1/start $2" "rblk0p1/size $3" "rblk0p2/start $(($2 + $3))"; do
        sectors=$((${of_partition#* } * block_size / 512))
        [ "$(cat "/sys/block/rblk0/${of_partition% *}")" -eq "$sectors" ] || {
            echo "${of_partition% *} should be $sectors"
            return 1
        }
    done
    take_image before
}

take_image() { # take_image NAME: all bytes of the device as a file
    blockdev --flushbufs /dev/rblk0
    dd if=/dev/rblk0 of="$RAM/$1" bs=1M iflag=direct status=none
}

# Only partition 1 differs from what the device was when it was partitioned.
rest_is_untouched() { # rest_is_untouched START SIZE
    take_image now
    cmp -n "$(($1 * block_size))" "$RAM/before" "$RAM/now"
    cmp -i "$((($1 + $2) * block_size))" "$RAM/before" "$RAM/now"
}

file_system_inside() { # file_system_inside START SIZE
    mkfs.ext4 -q -F /dev/rblk0p1
    mount /dev/rblk0p1 "$MNT"
    # More than fits: the file system goes up to its last block.
    if dd if="$RAM/noise" of="$MNT/file" bs=64k status=none 2>"$WORK/full"; then
        echo "$DEVICE_MIB MiB went into a smaller partition"
        return 1
    fi
    grep "No space left" "$WORK/full"
    size=$(stat -c %s "$MNT/file")
    umount "$MNT"
    mount /dev/rblk0p1 "$MNT"
    [ "$size" -gt $(($2 * block_size / 2)) ]
    cmp -n "$size" "$MNT/file" "$RAM/noise"
    umount "$MNT"
    e2fsck -fn /dev/rblk0p1
    rest_is_untouched "$1" "$2"
}

# Reads and writes reach the last block of partition 1 and not one further.
bounds_hold() { # bounds_hold START SIZE
    last=$(($2 - 1))
    head -c "$block_size" "$RAM/noise" >"$RAM/block"
    dd if="$RAM/block" of=/dev/rblk0p1 bs="$block_size" seek="$last" oflag=direct conv=notrunc status=none
    take_image now
    cmp -n "$block_size" -i "$((($1 + last) * block_size)):0" "$RAM/now" "$RAM/block"
    fails_with "No space left" \
        dd if="$RAM/block" of=/dev/rblk0p1 bs="$block_size" seek="$2" oflag=direct conv=notrunc
    [ "$(dd if=/dev/rblk0p1 bs="$block_size" skip="$2" iflag=direct status=none | wc -c)" -eq 0 ]
    rest_is_untouched "$1" "$2"
}

# Its every byte, and no other.
discard_inside() { # discard_inside START SIZE
    blkdiscard --force /dev/rblk0p1
    rest_is_untouched "$1" "$2"
    cmp -n "$(($2 * block_size))" -i "$(($1 * block_size)):0" "$RAM/now" /dev/zero
}

nodes_go_away() {
    sfdisk --quiet --delete /dev/rblk0
    wait_for 5 test ! -e /dev/rblk0p1
    wait_for 5 test ! -e /dev/rblk0p2
}

make_noise
for table in "gpt 512 2049 12287" "dos 512 63 12287" "gpt 4096 257 1539"; do
    # shellcheck disable=SC2086 # several words
    set -- $table
    block_size=$2
    what="$1 table, blocks of $2"
    load "size=$DEVICE_MIB" "blocksize=$block_size"
    check "$what: two partitions appear where the table has them" partition "$1" "$3" "$4"
    check "$what: an ext4 file system fills partition 1 and nothing else" file_system_inside "$3" "$4"
    check "$what: the last block of partition 1 is its last" bounds_hold "$3" "$4"
    check "$what: discarding partition 1 zeroes it and nothing else" discard_inside "$3" "$4"
    check "$what: the partitions can be deleted" nodes_go_away
    ! mountpoint -q "$MNT" || umount "$MNT" # after a failure
    unload
done
finish
