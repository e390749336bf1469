# SPDX-License-Identifier: GPL-2.0
"""replay_log_writes.py LOG DEVICE MARK: does to DEVICE what dm-log-writes has recorded on LOG before MARK."""

import os
import struct
import sys

MAGIC = 0x6A736677736872
DISCARD, MARK = 4, 8


def main(log_path, device_path, mark):
    log = os.open(log_path, os.O_RDONLY)
    device = os.open(device_path, os.O_WRONLY)
    # struct log_write_super: magic, version, nr_entries, sectorsize
    magic, version, entries, block = struct.unpack("<QQQI", os.pread(log, 28, 0))
    if (magic, version) != (MAGIC, 1):
        sys.exit(f"{log_path} has no log: {magic:#x}, version {version}")
    at = block
    for number in range(entries):
        # struct log_write_entry: sector, nr_sectors (both in blocks), flags, data_len
        sector, length, flags, data_len = struct.unpack("<QQQQ", os.pread(log, 32, at))
        if flags & MARK and os.pread(log, data_len, at + 32).rstrip(b"\0").decode() == mark:
            os.fsync(device)
            print(f"{number} entries of {entries} replayed")
            return
        at += block
        if flags & DISCARD:
            os.pwrite(device, bytes(length * block), sector * block)
        elif length:
            os.pwrite(device, os.pread(log, length * block, at), sector * block)
            at += length * block
    sys.exit(f"{log_path} has no mark {mark} among {entries} entries")


main(*sys.argv[1:])
