#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Ten thousand devices are made and removed, and the kernel has as much memory as before.
TESTS=$(cd "$(dirname "$0")/.." && pwd) DEVICES=10000 exec "$(dirname "$0")/../many_devices.sh"
