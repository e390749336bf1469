#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# hot-path.sh OBJECT: prints the functions that queue_rq and queue_rqs of a RAM disk call, and fails if one is
# not on the list: no lock, no allocation, no formatting, and no panic can be reached from there. Atomic
# instructions of their own they have none at all.
set -eu

# What the block layer wants, the copying, one counter, the look at a flag.
allowed='blk_mq_start_request blk_mq_end_request blk_mq_end_request_batch rnullblk_add_to_batch
    rnullblk_page_address memcpy memset rust_helper_atomic64_add rust_helper_atomic_read'
# Only of a disk that is not plain, and where requests do not end where they are queued.
allowed="$allowed detour complete_later"
# Of a thin store, whose driver is one that may sleep.
allowed="$allowed serve_thin"
# Of a driver that refuses another request than the one that it was offered.
allowed="$allowed of_another"

objdump -dr --no-show-raw-insn "$1" | awk -v allowed="$allowed" '
    BEGIN { split(allowed, names); for (i in names) is_allowed[names[i]] = 1 }
    /^[0-9a-f]+ </ { inside = /RamDiskOperations.*queue_rqs?_callback/; found += inside }
    !inside { next }
    /[[:space:]]lock |[[:space:]]xchg .*[(]/ { print "atomic: " $0; bad = 1 }
    /R_X86_64_PLT32|R_X86_64_PC32.*[.]text/ {
        name = $3
        sub(/[-+]0x[0-9a-f]+$/, "", name)
        if (name == "__x86_return_thunk") next
        # A name of Rust, mangled: the last of its parts.
        if (name ~ /^_R/) for (part in is_allowed) if (name ~ ("[0-9]" part "$")) name = part
        if (!seen[name]++) print name (name in is_allowed ? "" : ": not on the list")
        if (!(name in is_allowed)) bad = 1
    }
    END {
        if (found != 2) { print "found " found + 0 " callbacks, not 2"; bad = 1 }
        exit bad
    }'
