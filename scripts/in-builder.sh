#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# in-builder.sh KERNEL_TREE COMMAND...: runs a command in the root with the kernel's compiler, with the kernel
# tree, if one is named, as /kernel and this tree as /module. The mounts are its own and vanish with it.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

kernel_tree=$1
shift

# shellcheck disable=SC2016 # expanded by the shell inside
exec unshare --mount sh -euc '
    root=$1 kernel=$2 module=$3
    shift 3
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    [ -z "$kernel" ] || mount --bind "$kernel" "$root/kernel"
    mount --bind "$module" "$root/module"
    for file in /etc/resolv.conf /etc/hosts; do
        [ -e "$file" ] || continue
        touch "$root$file"
        mount --bind "$file" "$root$file"
    done
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 "$@"
' sh "$COMPILER_ROOT" "$kernel_tree" "$TOP" "$@"
