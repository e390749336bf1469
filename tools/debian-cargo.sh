#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# debian-cargo.sh ARGUMENT...: cargo on rblkctl with the crates that Debian packages, without network.
# Cargo.lock does not hold for these: Debian changes what they depend on, and gives no checksums. So
# cargo sees a copy without it.
set -eu

sources=$(cd "$(dirname "$0")/rblkctl" && pwd)
copy=/tmp/rblkctl
mkdir -p "$copy/.cargo"
cp -a "$sources/Cargo.toml" "$sources/src" "$copy"
cat >"$copy/.cargo/config.toml" <<EOF
[source.crates-io]
replace-with = "debian"

[source.debian]
directory = "/usr/share/cargo/registry"

[net]
offline = true
EOF
cd "$copy"
exec cargo "$@"
