#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# load.sh load [PARAMETER=VALUE...] | unload: the module in this machine's own kernel.
. "$(dirname "$0")/lib.sh"

action=$1
module=$TOP/rnullblk.ko

case $action in
load)
    [ -e "$module" ] || die "there is no rnullblk.ko yet: run make first"
    built_for=$(tr '\0' '\n' <"$module" | sed -n 's/^vermagic=\([^ ]*\) .*/\1/p')
    [ "$built_for" = "$(uname -r)" ] ||
        die "rnullblk.ko was built for kernel $built_for, but this machine runs $(uname -r)"
    command -v insmod >/dev/null || die "insmod is missing: install the package kmod"
    become_root "$@"
    shift
    insmod "$module" "$@" || die "insmod refused the module; the kernel says: $(dmesg | grep rnullblk | tail -n 1)"
    lsblk /dev/rblk* 2>/dev/null || say "loaded, without a device"
    ;;
unload)
    [ -d /sys/module/rnullblk ] || die "rnullblk is not loaded"
    become_root "$@"
    rmmod rnullblk
    ;;
esac
