#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# test.sh [quick | NAME...]: builds the module, boots the virtual machine and runs tests/ in it: all; those of the main
# ways, in four minutes; or those named. Its last line is the totals. What boot-tests.sh leaves is in build/test/.
#   TEST_RESULTS    another directory below build/
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

# Each way that a kernel can differ: loading, both control planes, each kind of request and of completion, file systems.
QUICK="load_unload,make_load,live_queues,batches,irqmodes,discard,flush_and_fua,sample_driver,filesystems"

[ "$*" != quick ] || set -- "$QUICK"
# shellcheck disable=SC2046 # words
set -- $(echo "$*" | tr ',' ' ')
become_root "$@"
build_for_tests "$@"

status=0
results=${TEST_RESULTS:-test}
script boot-tests.sh "$results" "$@" || status=$?
show_totals "build/$results"
exit "$status"
