#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# setup.sh [vm]: makes what the cache lacks: the builder root and the kernel tree, and with "vm"
# the guest image beside them.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

become_root "$@"
use_cache
script host-tools.sh

guest_pid=
if [ "${1-}" = vm ] && [ ! -e "$GUEST_IMAGE" ]; then
    (RNULLBLK_PROGRESS=off tied "$SCRIPTS/guest-image.sh") &
    guest_pid=$!
fi
script builder-root.sh
(
    export FLAVOUR="$STOCK_FLAVOUR"
    script kernel-tree.sh
)
[ "$KERNEL_TREE" = "$STOCK_TREE" ] || script debug-kernel.sh
[ -z "$guest_pid" ] || wait "$guest_pid"
