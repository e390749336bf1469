#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shell.sh [PARAMETER=VALUE...]: the virtual machine with the module loaded and a root prompt.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

[ -t 0 ] || die "make shell needs a terminal"
become_root "$@"
use_cache
script setup.sh vm
script build-module.sh vm
script build-tools.sh vm
say "booting $(cat "$KERNEL_TREE/release"); leave with exit or ctrl-d"

size=$(stty size 2>/dev/null || echo 24 80)
export VM_INTERACTIVE=1
script vm.sh "$TOP/build/shell" "
    stty rows ${size% *} cols ${size#* }
    export TERM=${TERM:-linux}
    insmod rnullblk.ko $* && lsblk
    exec bash -i" || [ $? -lt 124 ] # the status of the last command typed is no failure
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
