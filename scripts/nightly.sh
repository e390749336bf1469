#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nightly.sh: what takes too long for each change: ten minutes of changes under load with 4 GiB that must stay the
# same, ten thousand devices, file systems under load for minutes. The last line is the totals.
. "$(dirname "$0")/lib.sh"

export VM_MEMORY_MIB="${VM_MEMORY_MIB:-8192}" VM_SILENCE="${VM_SILENCE:-900}" VM_SECONDS="${VM_SECONDS:-28800}" TEST_SECONDS="${TEST_SECONDS:-14400}"
export TEST_RESULTS=nightly
export TEST_ENV="SOAK_MINUTES=${SOAK_MINUTES:-10} SOAK_CHECKSUM_MIB=4096 STRESS_SECONDS=120"
script test.sh "${@:-nightly/soak,nightly/create_and_remove,stressed_filesystems}"
