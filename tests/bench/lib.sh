# SPDX-License-Identifier: GPL-2.0
# What exact.sh and times.sh share: the drivers, made alike, and the figures they print.
# shellcheck shell=bash

set -o pipefail

BENCH=$(cd "$(dirname "$0")" && pwd)

# brd has no queues.
# shellcheck disable=SC2034 # for the scripts that source this
WITH_QUEUES="rnullblk null_blk"
# shellcheck disable=SC2034
ALL="$WITH_QUEUES brd"

fail() {
    echo "error: $*" >&2
    exit 1
}

# A line for report.py: a figure, or something that is known of this machine.
figure() { printf 'figure\t%s\t%s\t%s\t%s\n' "$@"; } # figure TABLE WORK DRIVER VALUE
fact() { printf 'fact\t%s\t%s\n' "$@"; }             # fact NAME VALUE

# make_disk DRIVER MIB [ATTRIBUTE=VALUE...]: sets `disk`. The attributes are null_blk's; rnullblk's parameters
# have the same names. What neither is told each has as its users get it: 64 requests on a queue of null_blk, and
# 128 on one of rnullblk.
make_disk() {
    local driver=$1 mib=$2 attribute
    shift 2
    set -- irqmode=0 memory_backed=1 submit_queues=1 discard=1 "$@"
    case $driver in
    rnullblk)
        insmod "$BENCH/../../rnullblk.ko" "size=$mib" "$@"
        disk=rblk0
        ;;
    null_blk)
        modprobe null_blk nr_devices=0
        mkdir /sys/kernel/config/nullb/nullb0
        for attribute in "size=$mib" blocksize=512 "$@" power=1; do
            echo "${attribute#*=}" >"/sys/kernel/config/nullb/nullb0/${attribute%%=*}"
        done
        disk=nullb0
        ;;
    brd)
        modprobe brd rd_nr=1 "rd_size=$((mib << 10))"
        disk=ram0
        ;;
    esac
    [ ! -e "/sys/block/$disk/queue/scheduler" ] || echo none >"/sys/block/$disk/queue/scheduler"
}

remove_disk() {
    case $disk in
    rblk0) rmmod rnullblk ;;
    nullb0)
        rmdir /sys/kernel/config/nullb/nullb0
        rmmod null_blk
        ;;
    ram0) rmmod brd ;;
    esac
}

# What is not there yet is allocated now.
fill() { # fill MIB
    dd if=/dev/zero "of=/dev/$disk" bs=1M count="$1" oflag=direct status=none
}
