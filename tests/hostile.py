#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Does to a device what no sane program does, and checks that only errnos come of it.

    hostile.py attributes SEED COUNT DIRECTORY      malformed writes to all files there; the power comes and goes
    hostile.py in_use SEED COUNT DIRECTORY...       the same, but the device keeps its power
    hostile.py load DEVICE                          reads and writes without end, whatever comes of it
    hostile.py parameters SEED COUNT MODULE         malformed parameters for insmod
    hostile.py ioctls SEED COUNT DEVICE             every number, with wild arguments
    hostile.py transfers SEED DEVICE                reads at every offset, address and length; such writes
    hostile.py opens DEVICE                         every combination of flags
"""
import collections
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import random
import re
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
libc.pread.argtypes = libc.pwrite.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]

NUMBERS = [0, 1, -1, 2, 7, 8, 63, 64, 511, 512, 513, 4096, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1]
NUMBERS += [2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, 10**30]


def wild_text(chance):
    """What somebody may write to a file, by mistake or not."""
    number = lambda: str(chance.choice(NUMBERS + [chance.randint(-10, 5000)]))
    kinds = [
        number,
        lambda: ",".join(number() for _ in range(chance.randint(1, 6))),
        lambda: chance.choice("+-") + number() + "-" + number(),
        lambda: hex(chance.getrandbits(chance.choice([8, 32, 64, 80]))),
        lambda: chance.choice(["", "\n", " ", "\t\n", "on", "Off", "yes", "null", "true\n\n", "-", "+", "0x", "1e3", "0.5"]),
        lambda: number() + chance.choice([" ", "\n", "k", "M", ";", "%n", "%s%s", "\0", "\0" + number(), " force"]),
        lambda: chance.choice(["thin", "linear", "golden", "golden force", "dut/golden", "1,50,0,3 8-15", "fixed 1000 every 2 9"]),
        lambda: "9" * chance.choice([20, 64, 127, 128, 129, 4095, 4096, 5000]),
        lambda: "".join(chr(chance.randrange(256)) for _ in range(chance.randint(1, 200))),
    ]
    # What the log repeats of it is not to look like a complaint of the kernel's.
    return chance.choice(kinds)().replace("BUG", "bug").encode("latin-1")


class Results(collections.Counter):
    """How often each result was seen; an errno outside of those allowed ends the run."""

    def note(self, what, allowed, function):
        try:
            function()
            self["ok"] += 1
        except OSError as error:
            name = errno.errorcode.get(error.errno, str(error.errno))
            if allowed is not None and name not in allowed:
                raise SystemExit(f"{what}: unexpected {name}") from error
            self[name] += 1

    def show(self):
        print(f"{sum(self.values())} attempts: " + ", ".join(f"{n} {what}" for what, n in sorted(self.items())))


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb") as file:
        file.read()


# EFAULT is a fault that was asked for, ENODEV a power cut without power; ENOENT and ENXIO are of snapshots and logs that are
# not there.
REFUSALS = {"EINVAL", "ERANGE", "EBUSY", "ENOMEM", "EPERM", "ENOSPC", "EEXIST", "EFAULT", "E2BIG", "ENODEV", "ETIMEDOUT"}
REFUSALS |= {"ENOENT", "ENXIO"}


def malformed_writes(chance, count, files, after_each=lambda results: None):
    results = Results()
    for _ in range(int(count)):
        path, text = chance.choice(files), wild_text(chance)
        # More than there is memory is another test's business, and waits for zeroing are long.
        if os.path.basename(path) in ("size", "cache_size", "write_log", "history_size"):
            text = re.sub(rb"^([\s+]*)(0[xX])?[0-9a-fA-F]+", rb"\g<1>3", text)
        results.note(f"{path} {text!r}", REFUSALS, lambda: write(path, text))
        after_each(results)
        # Whatever was written, it can be read, if the file can be.
        results.note(f"reading {path}", {"EINVAL"}, lambda: read(path))
    results.show()


def writable_files(*directories):
    files = [os.path.join(d, name) for d in directories for name in sorted(os.listdir(d))]
    return [path for path in files if os.path.isfile(path) and os.stat(path).st_mode & 0o200]


def attributes(seed, count, directory):
    chance = random.Random(int(seed))

    def switch(results):
        if chance.random() < 0.1:
            power = os.path.join(directory, "power")
            results.note("power", REFUSALS, lambda: write(power, chance.choice([b"0", b"1"])))

    malformed_writes(chance, count, writable_files(directory), switch)


def in_use(seed, count, *directories):
    # What makes the device go away, surprise_removal tests.
    goes_away = ("power", "power_cut", "cut_at", "pull_out")
    files = [path for path in writable_files(*directories) if os.path.basename(path) not in goes_away]
    malformed_writes(random.Random(int(seed)), count, files)


def load(device):
    # fio opens its file again from time to time, and gives up if it is read-only just then.
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)

    def work(seed):
        chance = random.Random(seed)
        buffer = memoryview(mmap.mmap(-1, 65536))
        while True:
            transfer = chance.choice([os.preadv, os.pwritev])
            try:
                transfer(fd, [buffer[: 4096 * chance.randint(1, 16)]], 4096 * chance.randrange(768))
            except OSError:
                pass

    for seed in range(4):
        threading.Thread(target=work, args=[seed]).start()


def parameters(seed, count, module):
    chance = random.Random(int(seed))
    names = os.popen(f"modinfo -F parm {module}").read().splitlines()
    names = [line.split(":")[0] for line in names]
    file = os.open(module, os.O_RDONLY)
    results = Results()
    for _ in range(int(count)):
        chosen = chance.sample(names, chance.randint(1, 3))
        # What the kernel's own parser makes of quotes and spaces is its business.
        texts = [wild_text(chance).translate(None, b'\0 \t\n"')[:900] for _ in chosen]
        words = b" ".join(name.encode() + b"=" + text for name, text in zip(chosen, texts))
        if b"size" in words or b"nr_devices" in words:
            words = b"nr_devices=0 " + words

        def load():
            if libc.syscall(313, file, words + b" size=1 nr_devices=1", 0) != 0:
                raise OSError(ctypes.get_errno(), "")
            if libc.syscall(176, b"rnullblk", 0) != 0:
                raise SystemExit(f"loaded with {words!r}, and cannot be unloaded")

        results.note(f"insmod {words!r}", {"EINVAL", "ERANGE", "ENOMEM", "ENOENT", "EEXIST"}, load)
    results.show()


def ioctls(seed, count, device):
    chance = random.Random(int(seed))
    fd = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    page = mmap.mmap(-1, 8192)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    results = Results()

    def argument():
        page[:4096] = chance.randbytes(4096)
        return chance.choice(
            [None, 1, 0xDEAD0000, address, address + 1, address + 8192 - 2, 2**63, 0xFFFF888000000000, 2**64 - 1]
        )

    def attempt(number):
        def do():
            if libc.ioctl(fd, number, argument()) < 0:
                raise OSError(ctypes.get_errno(), "")

        results.note(f"ioctl {number:#x}", None, do)

    def is_left_out(number):
        # BLKROSET makes it read-only.
        return number & 0xFFFF in (0x125D,)

    # All of the block layer's (0x12), of SCSI's and CD-ROM's (0x22, 0x53, 0x03), ...
    for kind, number in itertools.product([0x12, 0x03, 0x22, 0x53, 0x70, 0x4C, 0x5C, 0x4E], range(256)):
        for direction in range(4):
            for size in (0, 4, 8, 24, 128):
                command = direction << 30 | size << 16 | kind << 8 | number
                if not is_left_out(command):
                    attempt(command)
    for _ in range(int(count)):
        command = chance.getrandbits(32)
        if not is_left_out(command):
            attempt(command)
    results.show()


def transfers(seed, device):
    chance = random.Random(int(seed))
    size = os.stat(device).st_size or lseek_end(device)
    written = chance.randbytes(65536)
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, 65536 + 8192)
    buffer[:65536] = written
    assert os.pwritev(fd, [memoryview(buffer)[:65536]], 0) == 65536
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    results = Results()

    def read(offset, at, length):
        buffer[:] = b"\x5a" * len(buffer)
        found = libc.pread(fd, address + at, length, offset)
        if found < 0:
            raise OSError(ctypes.get_errno(), "")
        expected = written[offset : offset + length] if offset < 65536 else b"\0" * found
        if found != min(length, max(0, size - offset)):
            raise SystemExit(f"{length} bytes at {offset}: {found} were read")
        if buffer[at : at + found] != expected[:found]:
            raise SystemExit(f"{length} bytes at {offset}, to address {at}: wrong data")
        if buffer[:at].strip(b"\x5a") or buffer[at + found :].strip(b"\x5a"):
            raise SystemExit(f"{length} bytes at {offset}, to address {at}: beyond the buffer")

    def note(offset, at, length):
        results.note(f"{length} bytes at {offset}, to address {at}", {"EINVAL"}, lambda: read(offset, at, length))

    for offset in range(0, 4097):
        note(offset, 0, 512)
    for at in range(0, 1025):
        note(0, at, 4096)
    for length in range(0, 4097):
        note(0, 0, length)
    for offset in (size - 512, size - 511, size, size + 512, 2**62, 2**63 - 512, 2**63 - 1):
        for length in (0, 512, 4096):
            note(offset, 0, length)
    for _ in range(2000):
        note(chance.randrange(0, 32768), chance.randrange(0, 4096), chance.randrange(0, 32768))
    if results["ok"] < 100:
        raise SystemExit(f"only {results['ok']} reads worked")
    results.show()
    writes(chance, fd, buffer, size)


def writes(chance, fd, buffer, size):
    """Half of them aligned; what was refused has written nothing, and nothing is written beside what was not."""
    model = bytearray(read_all(fd, size))
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    results = Results()

    def write(offset, at, length):
        buffer[at : at + length] = chance.randbytes(length)
        found = libc.pwrite(fd, address + at, length, offset)
        if found < 0:
            raise OSError(ctypes.get_errno(), "")
        model[offset : offset + found] = buffer[at : at + found]

    for _ in range(2000):
        unit = chance.choice([512, 512, 4, 1])
        offset, at, length = (unit * chance.randrange(32768 // unit) for _ in range(3))
        results.note(f"writing {length} bytes at {offset}", {"EINVAL"}, lambda: write(offset, at, length))
    if results["ok"] < 100:
        raise SystemExit(f"only {results['ok']} writes worked")
    if read_all(fd, size) != model:
        raise SystemExit("the device has something else than was written")
    results.show()


def read_all(fd, size):
    buffer = mmap.mmap(-1, size)
    assert os.preadv(fd, [buffer], 0) == size
    return buffer[:]


def lseek_end(device):
    with open(device, "rb") as file:
        return file.seek(0, os.SEEK_END)


def opens(device):
    flags = "EXCL DIRECT SYNC DSYNC NONBLOCK APPEND TRUNC CREAT NOATIME PATH NOFOLLOW DIRECTORY".split()
    flags = [getattr(os, "O_" + name) for name in flags]
    results = Results()
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, 3):
        for chosen in itertools.product([0, 1], repeat=len(flags)):
            combined = mode
            for flag, is_in in zip(flags, chosen):
                combined |= flag * is_in
            results.note(
                f"open {combined:#o}",
                {"EBUSY", "EINVAL", "ENOTDIR", "EACCES", "EEXIST"},
                lambda: os.close(os.open(device, combined)),
            )
    results.show()


globals()[sys.argv[1]](*sys.argv[2:])
