#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Installs what this machine lacks of the programs that the other scripts call.
. "$(dirname "$0")/lib.sh"

missing=
need() { # need PACKAGE FILE-OR-PROGRAM
    [ -e "$2" ] || command -v "$2" >/dev/null || missing="$missing $1"
}
need mount mount
need mmdebstrap mmdebstrap
need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
need ca-certificates /etc/ssl/certs/ca-certificates.crt
need e2fsprogs mke2fs
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null ||
    die "please install$missing: there is no apt-get here that could do it"
become_root "$@"

# Not contained: an apt that began to install must be let finish.
# shellcheck disable=SC2086,SC2016 # one word for each package; expanded inside
long "installing$missing" sh -euc '
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"' sh $missing
