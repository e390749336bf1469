#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# qemu.sh OPTION...: becomes QEMU, the one in the builder root: whatever this machine may have, it is new
# enough, and emulates twice as fast as the one of Debian 12. It sees this machine's files below /host.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

# shellcheck disable=SC2016 # expanded by the shell inside
exec unshare --mount sh -euc '
    root=$1 tmpdir=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind / "$root/host"
    exec chroot "$root" env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 TMPDIR="/host$tmpdir" qemu-system-x86_64 "$@"
' sh "$TOOLS_ROOT" "$(realpath "${TMPDIR:-/tmp}")" "$@"
