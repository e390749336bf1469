#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A module whose disk is in use cannot be unloaded; trying does no harm, and later it works.
plan 7

mnt=$(mount_dir disk)

cannot_be_unloaded() {
    fails_with "is in use" rmmod rnullblk
    # rmmod looks before it asks; this one asks the kernel at once.
    fails_with "temporarily unavailable" busybox rmmod rnullblk
    [ -d /sys/module/rnullblk ]
    [ -b /dev/rblk0 ]
}

can_be_unloaded() {
    rmmod rnullblk
    [ ! -e /sys/module/rnullblk ]
    [ ! -e /dev/rblk0 ]
}

fill() { # fill FILE MIB
    dd if=/dev/urandom of="$1" bs=1M count="$2" iflag=fullblock conv=fsync
    (cd "${1%/*}" && sha256sum "${1##*/}" >"$WORK/${1##*/}.sum")
}

is_intact() { # is_intact FILE
    echo 3 >/proc/sys/vm/drop_caches
    (cd "${1%/*}" && sha256sum -c "$WORK/${1##*/}.sum")
}

mounted() {
    load size=64
    mkfs.ext4 -q /dev/rblk0
    mount /dev/rblk0 "$mnt"
    fill "$mnt/before" 4
    cannot_be_unloaded
}

io_goes_on() {
    fill "$mnt/after" 4
    is_intact "$mnt/before"
    is_intact "$mnt/after"
    [ "$(counter errors)" -eq 0 ]
    umount "$mnt"
    e2fsck -fn /dev/rblk0
}

open_for_reading() {
    load size=64
    exec 3</dev/rblk0
    cannot_be_unloaded
    dd bs=1M count=1 of=/dev/null <&3
    exec 3<&-
    can_be_unloaded
}

open_partition() {
    load size=64
    echo 'size=8M' | sfdisk -q /dev/rblk0
    wait_for 5 test -b /dev/rblk0p1
    exec 3<>/dev/rblk0p1
    cannot_be_unloaded
    echo still works >&3
    exec 3>&-
    [ "$(head -c 11 /dev/rblk0p1)" = "still works" ]
    can_be_unloaded
}

# It is enough that one of its disks is in use.
second_of_two() {
    load size=16 nr_devices=2
    exec 3</dev/rblk1
    cannot_be_unloaded
    exec 3<&-
    can_be_unloaded
}

under_load() {
    load size=64
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
        --bs=4k --size=32m --time_based --runtime=600 --output="$WORK/fio.log" &
    fio_pid=$!
    wait_for 20 writes_go_on 100 # fio has opened it for good
    for _ in 1 2 3; do
        cannot_be_unloaded
    done
    kill -INT "$fio_pid"
    wait "$fio_pid" || [ $? -eq 128 ] || { # fio says 128 when it is stopped
        cat "$WORK/fio.log"
        return 1
    }
    can_be_unloaded
}

check "refused while mounted" mounted
check "I/O goes on, and the data is intact" io_goes_on
check "it works after umount" can_be_unloaded
check "refused while open, and works after close" open_for_reading
check "refused while a partition is open, and works after close" open_partition
check "refused while the second of two disks is open" second_of_two
check "refused while under load, which goes on" under_load
finish
