#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# dkms.sh install|remove [DKMS-OPTION...]: this tree's module in the care of this machine's DKMS, which builds it for the
# running kernel, and for those that will be installed.
. "$(dirname "$0")/lib.sh"

command -v dkms >/dev/null || die "dkms is missing: install the packages dkms and linux-headers-$(uname -r)"
become_root "$@"
action=$1
shift
source=/usr/src/rnullblk-$(module_version)

remove() {
    [ ! -e "/var/lib/dkms/rnullblk/$(module_version)" ] || dkms remove "rnullblk/$(module_version)" --all
    rm -rf "$source"
}

[ ! -e /var/lib/dpkg/info/rnullblk-dkms.list ] || die "the package rnullblk-dkms is installed: remove that first"
remove
if [ "$action" = install ]; then
    "$SCRIPTS/dkms-source.sh" "$source"
    dkms install "rnullblk/$(module_version)" "$@"
fi
