#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# dkms-source.sh DIRECTORY: copies there what DKMS builds the module of.
. "$(dirname "$0")/lib.sh"

directory=$(realpath -m "$1")
cd "$TOP"
mkdir -p "$directory/scripts" "$directory/tests"
cp -- *.rs helpers.c bindings.h Kbuild LICENSE "$directory"
rm -f "$directory"/*_generated.rs # of a kernel that it was built for here
cp tests/kunit.rs "$directory/tests"
cp scripts/lib.sh scripts/kernel-metadata.sh scripts/dkms-build.sh "$directory/scripts"
sed "s/#MODULE_VERSION#/$(module_version)/" dkms.conf >"$directory/dkms.conf"
