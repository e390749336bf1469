#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A thousand power cuts under each of ext4, xfs and btrfs.
#   CUTS    another number than 1000
TESTS=$(cd "$(dirname "$0")/.." && pwd) CUTS=${CUTS:-1000} exec "$(dirname "$0")/../power_cut.sh"
