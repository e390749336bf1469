#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# run-in-vm.sh COMMAND: builds, boots the virtual machine and runs a shell command there, as root in a copy of this tree;
# ends as it did. What it leaves in /results is in build/run/ then, with the kernel's log.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

[ -n "${1-}" ] || die 'run what? make run C="example/file-system-errors.sh"'
become_root "$@"
use_cache
script setup.sh vm
script build-module.sh vm
script build-tools.sh vm
status=0
script vm.sh "$TOP/build/run" "$1" || status=$?
chown -R "$OWNER_UID:$OWNER_GID" "$TOP/build"
exit "$status"
