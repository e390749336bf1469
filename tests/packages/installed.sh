#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make test-packages runs this, in a system with the packages.
umount /usr/lib/modules # of the kernel tree: below it are those of the packages
RNULLBLK_KO=$(modinfo -n rnullblk)
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# The packages make a module that modprobe finds, and devices that udev names, and lsblk describes.
plan 7

by_id() { # by_id LINK DEVICE: udev made it
    udevadm settle
    [ "$(readlink -f "/dev/disk/by-id/$1")" = "/dev/$2" ] || { ls -l /dev/disk/by-id; return 1; }
}

describes() { # describes DEVICE: as a row of lsblk, with the name in each column that tells devices apart
    udevadm settle
    set -- "$1" "$(lsblk -dno MODEL,SERIAL,WWN "/dev/$1" | tr -s ' ')"
    echo "$2"
    [ "$2" = "rnullblk $1 t10.rnullblk-$1" ]
}

as_modprobe_says() {
    example=/packages-example # what doc/ has is not in the image
    sed 's/^options .*/options rnullblk nr_devices=2 size=16 blocksize=4096/' "$TESTS/../system/rnullblk.conf" >$example
    mv $example /etc/modprobe.d/rnullblk.conf
    modprobe rnullblk
    for device in rblk0 rblk1; do
        [ "$(lsblk -dnbo SIZE,LOG-SEC "/dev/$device" | tr -s ' ')" = "16777216 4096" ]
    done
}

by_rblkctl() {
    rblkctl create fast --size 64M
    by_id rblk-fast fast
    describes fast
}

partitions() {
    echo ',,L' | sfdisk -q /dev/fast
    by_id rblk-fast-part1 fast1
}

power_cycle() {
    rblkctl off fast
    udevadm settle
    [ ! -e /dev/disk/by-id/rblk-fast ]
    rblkctl on fast
    by_id rblk-fast fast
    describes fast
}

gone() {
    rblkctl remove fast
    modprobe -r rnullblk
    udevadm settle
    ! ls /dev/disk/by-id/rblk-*
}

/usr/lib/systemd/systemd-udevd --daemon
check "modprobe loads it with the options of modprobe.d" as_modprobe_says
check "each device has its link in by-id" eval "by_id rblk-rblk0 rblk0; by_id rblk-rblk1 rblk1"
check "lsblk tells model, serial number and WWN" eval "describes rblk0; describes rblk1"
check "the same for one of rblkctl's" by_rblkctl
check "and its partition" partitions
check "the link goes with the power, and is the same when it comes back" power_cycle
check "all links go with the module" gone
udevadm control --exit
finish
