#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# doc.sh: what rustdoc makes of the abstractions and the driver, in build/doc. Any warning fails, as a link that leads
# nowhere gives one. rustdoc is called as the kernel called rustc, so it sees the same kernel crates and configuration.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

[ "$FLAVOUR" != debug ] || die "make doc is for a stock kernel: leave FLAVOUR=debug out"
become_root "$@"
use_cache
script setup.sh
mkdir -p "$TOP/build"
chown "$OWNER_UID:$OWNER_GID" "$TOP/build"
rm -rf "$TOP/build/doc"
# shellcheck disable=SC2016,SC2086 # expanded inside; words
script in-builder.sh "$KERNEL_TREE" setpriv --reuid="$OWNER_UID" --regid="$OWNER_GID" --clear-groups \
    sh -euc '
        mkdir /tmp/tree
        cd /tmp/tree
        tar -C /module -c --exclude-from=/module/.gitignore --exclude=./.git --exclude=./build . | tar -x
        make -C /kernel/build "$@" M=/tmp/tree rnullblk_rust.o
        rustdoc=$(sed -nE "s/^savedcmd_[^ ]* := //; T; s/ rustc / rustdoc /; s/ --emit=[^ ]+//g; s/ --out-dir [^ ]+//p" \
            .rnullblk_rust.o.cmd)
        export RNULLBLK_OBJ=/tmp/tree RUSTC_BOOTSTRAP=1
        eval "$rustdoc --crate-name rnullblk --document-private-items -D warnings \
            -A rustdoc::private_intra_doc_links --output /module/build/doc"
        # The headers and documents of the kernel that it names are there.
        cd /module/build/doc
        grep -Ehro "href=\"srctree/[^\"#]+" . | sort -u | while IFS=/ read -r _ file; do
            [ -e "/kernel/src/$file" ] || echo "error: no $file in the source of the kernel"
        done >/tmp/missing
        cat /tmp/missing
        [ ! -s /tmp/missing ]
    ' sh $KBUILD_COMPILER
find "$TOP/build/doc" -name '*.html' -exec sed -i "s:href=\"srctree/:href=\"$KERNEL_TREE/src/:g" '{}' +
say "build/doc/rnullblk/index.html"
