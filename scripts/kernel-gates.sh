#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernel-gates.sh SOURCE BUILD MAKE-VARIABLE...: what Kbuild says of a kernel tree that is too old, newer than tested, or
# without Rust metadata; and that versions are told apart in Kbuild and compat.rs alone. Builds the module in this
# tree, for the newest kernel that is tested, and removes it.
set -eu

source=$1 build=$2
shift 2
output=$(mktemp)
trap 'rm -rf "$output" "$output.build"' EXIT

kbuild() { make -C "$source" M="$PWD" "$@" >"$output" 2>&1; }

builds() { kbuild "$@" || { cat "$output"; exit 1; }; }

says() { # says WHAT PATTERN [TIMES]
    [ "$(grep -c "$2" "$output")" -eq "${3:-1}" ] || {
        cat "$output"
        echo "$1: not ${3:-1} times: $2"
        exit 1
    }
}

oldest=$(sed -n 's/^oldest_kernel := //p' Kbuild)
newest=$(sed -n 's/^newest_kernel := //p' Kbuild)
is_newer="rnullblk is tested on Linux $oldest to $newest: this is .*"

! kbuild O="$build" "$@" VERSION="${oldest%.*}" PATCHLEVEL=$((${oldest#*.} - 1)) modules || exit 1
says "too old" "rnullblk needs Linux $oldest or newer, and this is "
builds O="$build" "$@" VERSION="${newest%.*}" PATCHLEVEL=$((${newest#*.} + 7)) modules # 7.10 is newer than 7.3
says "newer" "$is_newer"
builds O="$build" "$@" modules
says "tested" "$is_newer" 0

mkdir "$output.build"
ln -s "$build"/* "$build"/.config "$output.build"
rm "$output.build/rust"
! kbuild O="$output.build" "$@" modules || exit 1
says "without metadata" "this kernel tree has no Rust metadata"
builds O="$output.build" "$@" VERSION="${oldest%.*}" PATCHLEVEL=0 clean # works in any tree
[ ! -e rnullblk.ko ]

! grep -rnE 'KERNEL_BEFORE|LINUX_VERSION_CODE|KERNEL_VERSION|PATCHLEVEL' . \
    --include='*.rs' --include='*.[ch]' --include=Kbuild --include='Makefile*' |
    grep -v -e '^./compat.rs:' -e '^./Kbuild:'
