#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# debian-root.sh DIRECTORY SUITES PACKAGES [MMDEBSTRAP-OPTION...]: a Debian system in a directory,
# from the mirror and with the tolerance for old indexes of this machine's own apt.
. "$(dirname "$0")/lib.sh"

directory=$1 suites=$2 packages=$3
shift 3

mirror_of_apt() {
    # shellcheck disable=SC2016 # the fields are apt's, not the shell's
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 2>/dev/null |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}

mirror=${RNULLBLK_MIRROR:-$(mirror_of_apt)}
if [ -z "$mirror" ] && apt-get -q update; then
    mirror=$(mirror_of_apt)
fi

# How this machine's apt reaches and judges a mirror; without translations, which nobody reads.
settings=$(apt-config dump | grep -E '^Acquire::(Check-|Retries|http::|https::)' || true)
settings="$settings
Acquire::Languages \"none\"; APT::Install-Recommends \"false\";"

first_suite=${suites%% *}
set -- "$@" "$first_suite" "$directory"
if [ -n "$mirror" ]; then
    for suite in $suites; do
        set -- "$@" "deb $mirror $suite main"
    done
else
    say "no Debian mirror in apt's configuration: mmdebstrap chooses one"
    # shellcheck disable=SC2016 # $1 is the directory, given by mmdebstrap
    add_suites='uri=$(sed -n "s/^deb \(http[^ ]*\) .*/\1/p" "$1/etc/apt/sources.list" | head -n 1)'
    for suite in ${suites#* }; do
        add_suites="$add_suites; echo deb \$uri $suite main >>\$1/etc/apt/sources.list"
    done
    set -- --setup-hook="$add_suites" "$@"
fi

mmdebstrap --mode=root --format=directory --aptopt="$settings" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --include="$(echo "$packages" | tr -s ' \n' ',')" "$@"
