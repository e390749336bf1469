#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# bench-compare.sh A.json B.json: what changed between two results of make bench.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

[ $# -eq 2 ] || die "give two results: make bench-compare A=old.json B=new.json"
for file in "$@"; do
    [ -r "$file" ] || die "cannot read $file"
done
become_root "$@"
use_cache
script setup.sh tools
cat "$@" | in_tools /module/tests/bench/compare.py
