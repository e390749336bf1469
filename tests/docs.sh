#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Every command in the documentation that is for a machine with the module does what is written below it.

cd "$TESTS/.."
[ -x rblkctl ] || skip_all "no rblkctl: make tools"
# On a machine that a reader has just started the kernel has not said what other tests make it say.
printf '#!/bin/sh\n%s "$@" | sed "1,/%s/d"\n' "$(command -v dmesg)" "$LOG_MARK" >"$WORK/dmesg"
chmod +x "$WORK/dmesg"
PATH=$WORK:$PWD:$PATH

# What a user finds in a tree that was built; and nothing of what the file before left.
follows() { # follows FILE
    python3 tests/docs.py run "$1"
    ! is_loaded || {
        echo "$1 leaves the module loaded"
        return 1
    }
}

# with_commands: the files that have any
with_commands() { grep -lE '^ *```(sh|console)$' README.md CONTRIBUTING.md docs/*.md; }

# shellcheck disable=SC2046 # words
set -- $(with_commands)
plan $#
for file in "$@"; do
    check "$file" follows "$file"
    ! mountpoint -q /mnt || umount /mnt
    unload
done
finish
