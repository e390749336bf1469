#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# setup.sh [vm | tools]: makes what the cache lacks: the builder root and the kernel tree, and with "vm" the guest image
# beside them, and the root with the emulator if that is another one. With "tools": that one alone.
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
[ $# -eq 0 ] || for_tools builder-root.sh
[ "${1-}" != tools ] || exit 0
(
    export FLAVOUR="$STOCK_FLAVOUR"
    script builder-root.sh
    script kernel-tree.sh
)
if [ "$KERNEL_TREE" != "$STOCK_TREE" ]; then
    script builder-root.sh
    script debug-kernel.sh
fi
[ -z "$guest_pid" ] || wait "$guest_pid"
