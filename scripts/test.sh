#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# test.sh [NAME...]: builds the module, boots the virtual machine and runs tests/ in it. Its last line is
# the totals. What boot-tests.sh leaves is in build/test/.
#   TEST_RESULTS    another directory below build/
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

# shellcheck disable=SC2046 # words
set -- $(echo "$*" | tr ',' ' ')
become_root "$@"
build_for_tests "$@"

status=0
results=${TEST_RESULTS:-test}
script boot-tests.sh "$results" "$@" || status=$?
show_totals "build/$results"
exit "$status"
