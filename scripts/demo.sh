#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# demo.sh: builds the module, boots the virtual machine and runs guest-demo.sh in it.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

become_root "$@"
use_cache
began=$(date +%s)
script setup.sh vm
script build-module.sh vm
script build-tools.sh vm
say "booting $(cat "$KERNEL_TREE/release") in QEMU"

status=0
script vm.sh "$TOP/build/demo" scripts/guest-demo.sh || status=$?
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
[ "$status" -eq 0 ] || die "the demo failed; the kernel's log is build/demo/kernel.log"
say "demo done in $(($(date +%s) - began)) s, set-up and build included"
