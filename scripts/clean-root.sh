#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# clean-root.sh DIRECTORY: a system as a user has it who wants to install the packages: Debian with the headers and the source
# of the stock kernel, udev, and tools to look at disks with.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

version=$(cat "$KERNEL_TREE/package-version")
"$SCRIPTS/debian-root.sh" "$1" "$POCKETS" "linux-headers-$(cat "$KERNEL_TREE/release")=$version linux-source=$version
    busybox-static fdisk kmod udev util-linux" --variant=apt
mkdir "$1/packages" "$1/kernel"
# As the package of the kernel does, which is not there, because the virtual machine brings it: else DKMS does not.
chroot "$1" depmod -a "$(cat "$KERNEL_TREE/release")"
echo rnullblk >"$1/etc/hostname"
