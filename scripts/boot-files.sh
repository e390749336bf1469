#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# boot-files.sh TREE: from TREE/unpacked, which has some lib/modules/RELEASE, makes what a kernel boots with:
#   modules.img    a disk with the modules: the guest image serves every kernel
#   initramfs      finds the disks
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

tree=$1
in_builder() { "$SCRIPTS/in-builder.sh" "$tree" "$@"; }

release=$(cat "$tree/release")
modules=$(find "$tree/unpacked" -type d -path "*/lib/modules/$release" | head -n 1)
in_builder depmod -b "/kernel${modules#"$tree"}/../../.." "$release"
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "${modules%/*}" "$tree/modules.img" \
    "$(($(du -sk "${modules%/*}" | cut -f 1) * 5 / 4 + 8192))k"

mkdir "$tree/unpacked/initramfs"
cp "$SCRIPTS/initramfs-init.sh" "$tree/unpacked/initramfs/init"
# What finds and mounts the guest image, in the order of loading; some flavours have it built in.
# shellcheck disable=SC2016 # expanded inside
in_builder sh -euc '
    cd /kernel/unpacked/initramfs
    mkdir modules proc sys dev root
    cp /bin/busybox .
    for module in virtio_blk ext4; do modprobe -q -d "$1" -S "$2" --show-depends "$module"; done |
        sed -n "s/^insmod \([^ ]*\).*/\1/p" | awk "!seen[\$0]++" >modules/order
    xargs -r cp -t modules <modules/order
    sed -i "s/.*\///; s/\.xz$//" modules/order
    find modules -name "*.xz" -exec unxz "{}" +
    find . | cpio --quiet -o -H newc | gzip -1 >/kernel/initramfs' sh "/kernel${modules#"$tree"}/../../.." "$release"
cp "$tree/src/tools/testing/selftests/kselftest/ktap_helpers.sh" "$tree/"
