#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Lets an operation meet each failing allocation in turn.

    fail_nth.py WHAT ARGUMENT... [-- UNDO ARGUMENT...]

WHAT and UNDO are one of
    write FILE TEXT         to a file that is there
    insmod FILE PARAMETERS  rmmod NAME
    mkdir DIRECTORY         rmdir DIRECTORY         make DIRECTORY, and power on
    open DEVICE             and look for partitions, and read its first block past the page cache
    fill DEVICE             write its first blocks past the page cache      discard DEVICE

The first allocation of WHAT fails, then, in the next attempt, the second one, and so on until none is left to
fail (Documentation/fault-injection, fail-nth). Each attempt has to succeed, or to fail with ENOMEM. After a
failure the same must succeed without one. What succeeded is undone. Prints what was seen; and each minute, to file
descriptor 3, how far it is.

    ATTEMPTS=N SEED=S    about so many allocations, evenly spread from one at chance on, if there are more
    ALSO=ERRNO           this one says it as well
"""
import collections
import ctypes
import errno
import fcntl
import mmap
import os
import random
import struct
import sys
import time

MANY = 1_000_000
PROGRESS_SECONDS = 60
EXPECTED = {"worked", "ENOMEM", os.environ.get("ALSO")}

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def operation(words):
    """A function that does it in a single system call, or a few, with all else prepared."""
    what, *arguments = words
    if what == "write":
        path, text = arguments
        # configfs reads what is written once for an open file.
        return lambda: with_open(path, os.O_WRONLY, lambda fd: os.write(fd, text.encode()))
    if what == "insmod":
        path, parameters = arguments[0], " ".join(arguments[1:]).encode()
        file = os.open(path, os.O_RDONLY)
        return lambda: checked(libc.syscall(313, file, parameters, 0))  # finit_module
    if what == "rmmod":
        return lambda: checked(libc.syscall(176, arguments[0].encode(), 0))  # delete_module
    if what == "mkdir":
        return lambda: os.mkdir(arguments[0])
    if what == "rmdir":
        return lambda: os.rmdir(arguments[0])
    if what == "make":
        directory = arguments[0]

        def make():
            os.mkdir(directory)
            with_open(f"{directory}/power", os.O_WRONLY, lambda fd: os.write(fd, b"1"))

        return make
    if what == "open":
        block = mmap.mmap(-1, 4096)

        def look(fd):
            fcntl.ioctl(fd, 0x125F)  # BLKRRPART
            os.preadv(fd, [block], 0)

        return lambda: with_open(arguments[0], os.O_RDONLY | os.O_DIRECT, look)
    if what == "fill":
        blocks = mmap.mmap(-1, 3 * 4096)
        return lambda: with_open(arguments[0], os.O_WRONLY | os.O_DIRECT, lambda fd: os.pwritev(fd, [blocks], 0))
    if what == "discard":
        everything = struct.pack("QQ", 0, 1 << 20)
        return lambda: with_open(arguments[0], os.O_WRONLY, lambda fd: fcntl.ioctl(fd, 0x1277, everything))  # BLKDISCARD
    raise SystemExit(f"no operation {what}")


def with_open(path, flags, use):
    file = os.open(path, flags)
    try:
        use(file)
    finally:
        os.close(file)


def patiently(function):
    """What the kernel's own helpers hold for a moment, like udev a device, can be busy."""
    for _ in range(100):
        try:
            return function()
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EAGAIN):
                raise
            time.sleep(0.05)
    return function()


def let_all_allocations_fail():
    """Also those that may sleep, of a single page, and without a word about it."""
    for which, settings in {
        "failslab": {"ignore-gfp-wait": "N", "verbose": "0"},
        "fail_page_alloc": {"ignore-gfp-wait": "N", "ignore-gfp-highmem": "N", "min-order": "0", "verbose": "0"},
    }.items():
        for name, value in settings.items():
            with open(f"/sys/kernel/debug/{which}/{name}", "w") as file:
                file.write(value)


def main():
    let_all_allocations_fail()
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    do, undo = operation(words[:split]), lambda: None
    if words[split + 1 :]:
        undo = operation(words[split + 1 :])
    fail_nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    seen = collections.Counter()
    wrong = []

    def attempt(n):
        """What came of it, and how many allocations there would have to be more for the n-th to fail."""
        os.pwrite(fail_nth, str(n).encode(), 0)
        try:
            do()
            result = "worked"
        except OSError as error:
            result = errno.errorcode[error.errno]
        left = int(os.pread(fail_nth, 20, 0))
        os.pwrite(fail_nth, b"0", 0)
        return result, left

    patiently(do)
    patiently(undo)
    result, left = attempt(MANY)
    if result != "worked":
        raise SystemExit(f"failed with {result} although no allocation did")
    patiently(undo)
    allocations = MANY - left
    attempts = int(os.environ.get("ATTEMPTS", "0")) or max(1, allocations)
    step = max(1, allocations // attempts)
    n = random.Random(os.environ.get("SEED", "")).randint(1, step)
    next_progress = time.monotonic() + PROGRESS_SECONDS
    while True:
        if time.monotonic() > next_progress:
            os.write(3, f"# allocation {n} of {allocations}\n".encode())
            next_progress += PROGRESS_SECONDS
        result, left = attempt(n)
        if left != 0:
            if result != "worked":
                raise SystemExit(f"failed with {result} although no allocation did")
            patiently(undo)
            break
        seen[result] += 1
        if result not in EXPECTED:
            wrong.append(n)
        if result != "worked":
            try:
                patiently(do)
            except OSError as error:
                raise SystemExit(f"after allocation {n} had failed ({result}): {error}") from error
        patiently(undo)
        n += step
    results = ", ".join(f"{count} {result}" for result, count in sorted(seen.items()))
    print(f"{sum(seen.values())} of {allocations} allocations failed: {results}")
    if wrong:
        raise SystemExit(f"an errno that does not say so, after allocations {wrong}")


main()
