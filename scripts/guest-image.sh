#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The guest image: a small Debian user space with the tools that tests and the demo use.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

packages="bash bcache-tools busybox-static blktrace btrfs-progs cryptsetup-bin dbench dmsetup e2fsprogs fdisk fio gawk
 jq kmod lvm2 mdadm mount nvme-cli parted procps psmisc python3-minimal util-linux util-linux-extra xfsprogs"

case ${1-} in
--into)
    # The image is sparse: what the guest leaves empty takes no room.
    "$SCRIPTS/debian-root.sh" "$2/root" "$SUITE $SUITE-updates" "$packages" --variant=essential
    echo rnullblk >"$2/root/etc/hostname"
    mkdir -p "$2/root/usr/lib/modules"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$2/root" "$2/image" 4G
    rm -r --one-file-system "$2/root"
    ;;
*)
    become_root "$@"
    use_cache
    build_once "$GUEST_IMAGE" "guest image (Debian $SUITE)" "$0" --into
    ;;
esac
