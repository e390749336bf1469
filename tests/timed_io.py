#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes and reads random blocks of 4 KiB, one I/O at a time, and prints a line for each: `write` or
`read`, the number of the block, how many microseconds it took, and `ok` or the name of the error.
Stops with a message and status 1 when a block that is read is not what was last written to it.
Overwrites what is on the device.
"""

import argparse
import errno
import mmap
import os
import random
import sys
import time

BLOCK = 4096


def timed(name, block, call, fd, buffer):
    """Does one I/O and prints its line; says whether it succeeded."""
    result = "ok"
    started = time.monotonic_ns()
    try:
        if call(fd, [buffer], block * BLOCK) != BLOCK:
            result = "short"
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error.errno))
    print(name, block, (time.monotonic_ns() - started) // 1000, result, flush=True)
    return result == "ok"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("pairs", type=int, help="how many writes, and as many reads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="first block to use")
    parser.add_argument("--blocks", type=int, default=16, help="how many blocks to use")
    arguments = parser.parse_args()

    dice = random.Random(arguments.seed)
    fd = os.open(arguments.device, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    # What each block contains. One whose write failed may contain that or what it had before.
    contents = {}
    for generation in range(arguments.pairs):
        block = arguments.first + dice.randrange(arguments.blocks)
        data = (b"%d %d %d." % (arguments.seed, block, generation)).ljust(64, b"-") * (BLOCK // 64)
        buffer[:] = data
        may_be = contents.get(block, [])
        if timed("write", block, os.pwritev, fd, buffer):
            contents[block] = [data]
        else:
            contents[block] = may_be + [data] if may_be else []

        block = dice.choice(list(contents))
        buffer[:] = b"\xa5" * BLOCK
        if timed("read", block, os.preadv, fd, buffer):
            allowed = contents[block]
            if allowed and buffer[:] not in allowed:
                sys.exit(f"block {block}: read {buffer[:64]}, wrote {[data[:64] for data in allowed]}")
    os.close(fd)


main()
