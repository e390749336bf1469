#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# deb.sh: builds the Debian packages rnullblk-dkms and rnullblk-tools in the builder root, and leaves them in build/.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

become_root "$@"
use_cache
script build-tools.sh builder
say "building packages of version $(module_version)"
rm -f "$TOP"/build/rnullblk-*.deb

# The version stands in one place, so the changelog is made of it.
changelog="rnullblk ($(module_version)) unstable; urgency=medium

  * As of $(git -C "$TOP" describe --always --dirty 2>/dev/null || echo "an unknown commit").

 -- The rnullblk authors <rnullblk@localhost>  $(git -C "$TOP" log -1 --format=%cD 2>/dev/null || date -R)"

# shellcheck disable=SC2016 # expanded inside
long "packages" in_tools sh -euc '
    mkdir /tmp/rnullblk
    cd /tmp/rnullblk
    tar -C /module -c --exclude-from=/module/.gitignore --exclude=./.git --exclude=./build . | tar -x
    tar -C /module -c build/tools/rblkctl build/tools/rblkctl.8 build/tools/completions | tar -x
    echo "$1" >debian/changelog
    # Not checked: build-essential, a compiler for C++ among others, which nothing here needs.
    dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
    cp /tmp/rnullblk-*.deb /module/build/' sh "$changelog"
chown "$OWNER_UID:$OWNER_GID" "$TOP"/build/rnullblk-*.deb
(cd "$TOP" && ls build/rnullblk-*.deb)
