#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nightly.sh [NAME...]: what takes too long for each change: ten minutes of changes under load with 4 GiB that must
# stay the same, ten thousand devices, a thousand power cuts under each file system, file systems under load for
# minutes, and all tests on the debug kernel, where each allocation fails once; or those named. The last line is the totals.
#   SOAK_MINUTES    how long the changes under load take (10)
. "$(dirname "$0")/lib.sh"

minutes=${SOAK_MINUTES:-10} given=${TEST_ENV-}
(
    export TEST_SECONDS="${TEST_SECONDS:-$((minutes * 60 + 7200))}" VM_SECONDS="${VM_SECONDS:-$((minutes * 60 + 14400))}"
    export VM_MEMORY_MIB="${VM_MEMORY_MIB:-8192}" VM_SILENCE="${VM_SILENCE:-900}" TEST_RESULTS=nightly
    export TEST_ENV="SOAK_MINUTES=$minutes SOAK_CHECKSUM_MIB=4096 STRESS_SECONDS=120 $given"
    script test.sh "${@:-nightly/soak,nightly/create_and_remove,nightly/power_cuts,stressed_filesystems}"
) || [ $# -eq 0 ]
[ $# -eq 0 ] || exit 0
TEST_SECONDS=7200 TEST_ENV="ATTEMPTS=0 $given" script test-debug.sh all || true
show_totals build/nightly build/test-debug
