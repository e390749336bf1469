#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes stamped blocks to a device from several processes and checks every block it reads.

A stamp says which block this is, who wrote it, for the how-many-th time, and in which run; so data
of another block, of an older write, of another device or of an earlier run is recognised. Runs of
blocks of random length belong to one process each, which alone writes them; all processes read
everywhere. I/O is direct, of random length, to and from buffers at any even address, whole or in
pieces. Overwrites what is on the device.
"""

import argparse
import mmap
import os
import random
import struct
import sys

RECORD_BYTES = 32  # a stamp, and the place of this record in its block
STAMP = struct.Struct("<QII")  # block, owner, generation
PLACE = struct.Struct("<QQ")  # run, index
MAX_RUN_BLOCKS = 24  # which one owner has side by side
GUARD = b"\x5a" * 64  # around each buffer: an I/O must not touch it
PAGE = mmap.PAGESIZE


class WrongData(Exception):
    pass


class Stamps:
    """What each block must contain; shared by all processes.

    The owner of a block raises `started` before it writes and `committed` after. Whoever finds
    that `started` after a read is what `committed` was before it knows which generation the block
    had all the while; else the read met a write, and any mix of the two generations is right.
    """

    def __init__(self, run, blocks, block_size, owners):
        self.block_size = block_size
        self.places = [b""] + [PLACE.pack(run, i) for i in range(block_size // RECORD_BYTES)]
        self.started = memoryview(mmap.mmap(-1, 4 * blocks)).cast("I")
        self.committed = memoryview(mmap.mmap(-1, 4 * blocks)).cast("I")
        self.owners = owners

    def content(self, block, generation):
        return STAMP.pack(block, self.owners[block], generation).join(self.places)

    def check(self, block, data, generation_before):
        """Raises WrongData unless `data`, just read, may be what `block` contains."""
        if self.started[block] == generation_before:
            if data == self.content(block, generation_before):
                return
            wanted = f"generation {generation_before} of owner {self.owners[block]}"
        else:
            if self.is_any_generation(block, data):
                return
            wanted = f"any generation of owner {self.owners[block]}"
        raise WrongData(f"block {block}: wanted {wanted}, read {self.describe(data)}")

    def is_any_generation(self, block, data):
        """Whether all but the generation is right in each record."""
        known = STAMP.size - 4
        wanted = self.content(block, 0)
        return all(
            data[at : at + known] == wanted[at : at + known]
            and data[at + STAMP.size : at + RECORD_BYTES] == wanted[at + STAMP.size : at + RECORD_BYTES]
            for at in range(0, self.block_size, RECORD_BYTES)
        )

    def describe(self, data):
        """The records of a wrong block, where they change."""
        said = []
        for at in range(0, self.block_size, RECORD_BYTES):
            record = data[at : at + RECORD_BYTES]
            if not any(record):
                text = "zeroes"
            elif record == GUARD[:RECORD_BYTES]:
                text = "nothing at all"
            else:
                block, owner, generation = STAMP.unpack_from(record)
                run, index = PLACE.unpack_from(record, STAMP.size)
                text = f"block {block} owner {owner} generation {generation} run {run}"
                text += "" if index == at // RECORD_BYTES else f" record {index}"
            if not said or said[-1][1] != text:
                said.append((at, text))
        return "; ".join(f"from byte {at}: {text}" for at, text in said[:8])


class Buffer:
    """Memory for one I/O at a time, at any even address."""

    def __init__(self, max_bytes):
        self.memory = memoryview(mmap.mmap(-1, max_bytes + 3 * PAGE))

    def place(self, chance, size):
        """Chooses the address of the next I/O: page-aligned, or any even one; fills it with poison."""
        self.start = PAGE + (0 if chance.random() < 0.3 else 2 * chance.randrange(PAGE // 2))
        self.end = self.start + size
        self.memory[self.start - len(GUARD) : self.end + len(GUARD)] = GUARD[:1] * (
            size + 2 * len(GUARD)
        )

    def data(self):
        return self.memory[self.start : self.end]

    def pieces(self, chance, step):
        """The buffer as one to four pieces whose lengths are multiples of `step`."""
        size = self.end - self.start
        cuts = {step * chance.randrange(size // step) for _ in range(chance.randrange(4))} | {0, size}
        cuts = [self.start + cut for cut in sorted(cuts)]
        return [self.memory[a:b] for a, b in zip(cuts, cuts[1:])]

    def check_guards(self):
        before = self.memory[self.start - len(GUARD) : self.start]
        after = self.memory[self.end : self.end + len(GUARD)]
        if before != GUARD or after != GUARD:
            raise WrongData("an I/O wrote to memory beside its buffer")


class Worker:
    """One process: writes the blocks that it owns, reads all."""

    def __init__(self, options, stamps, number, piece_step):
        self.stamps = stamps
        self.number = number
        self.piece_step = piece_step
        self.max_blocks = options.max_bytes // options.block_size
        self.blocks = len(stamps.owners)
        self.chance = random.Random(f"{options.seed} {number}")
        self.buffer = Buffer(options.max_bytes)
        self.fd = os.open(options.device, os.O_RDWR | os.O_DIRECT)
        self.mine = [block for block, owner in enumerate(stamps.owners) if owner == number]

    def write(self, first, count):
        stamps = self.stamps
        block_range = range(first, first + count)
        for block in block_range:
            stamps.started[block] += 1
        self.buffer.place(self.chance, count * stamps.block_size)
        self.buffer.data()[:] = b"".join(stamps.content(b, stamps.started[b]) for b in block_range)
        self.transfer(os.pwritev, first, count)
        for block in block_range:
            stamps.committed[block] += 1

    def read(self, first, count):
        stamps = self.stamps
        generations = stamps.committed[first : first + count].tolist()
        self.buffer.place(self.chance, count * stamps.block_size)
        self.transfer(os.preadv, first, count)
        self.buffer.check_guards()
        data = self.buffer.data()
        for i, generation in enumerate(generations):
            start = i * stamps.block_size
            stamps.check(first + i, data[start : start + stamps.block_size].tobytes(), generation)

    def transfer(self, function, first, count):
        size = count * self.stamps.block_size
        pieces = self.buffer.pieces(self.chance, self.piece_step)
        done = function(self.fd, pieces, first * self.stamps.block_size)
        if done != size:
            raise WrongData(f"{function.__name__} of {size} bytes at block {first} did {done}")

    def write_all_of_mine(self):
        for first, count in self.runs_of_mine():
            self.write(first, count)

    def runs_of_mine(self):
        i = 0
        while i < len(self.mine):
            count = self.run_length(self.mine[i], self.max_blocks)
            yield self.mine[i], count
            i += count

    def run_length(self, first, at_most):
        """How many blocks from `first` on this process owns, up to `at_most`."""
        owners = self.stamps.owners
        end = min(first + at_most, self.blocks)
        count = 0
        while first + count < end and owners[first + count] == self.number:
            count += 1
        return count

    def random_length(self):
        """Short ones and long ones, each as often."""
        return self.chance.randint(1, self.chance.choice((1, 8, 32, self.max_blocks)))

    def work(self, operations):
        for _ in range(operations):
            count = min(self.random_length(), self.max_blocks)
            if self.chance.random() < 0.5:
                first = self.chance.choice(self.mine)
                self.write(first, self.run_length(first, count))
            else:
                first = self.chance.randrange(self.blocks)
                self.read(first, min(count, self.blocks - first))

    def read_all(self):
        for first in range(0, self.blocks, self.max_blocks):
            self.read(first, min(self.max_blocks, self.blocks - first))


def choose_owners(chance, processes, blocks):
    owners = []
    while len(owners) < blocks:
        owners += [chance.randrange(processes)] * chance.randint(1, MAX_RUN_BLOCKS)
    # Both ends of the device and each process's share exist whatever the chance.
    owners[:processes] = range(processes)
    return owners[:blocks]


def piece_step(device, block_size):
    """What the pieces of an I/O must be multiples of: 2 bytes, or blocks on kernels before 6.18."""
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    memory = memoryview(mmap.mmap(-1, 2 * PAGE))
    try:
        os.preadv(fd, [memory[:6], memory[6:block_size]], 0)
        return 2
    except OSError:
        return block_size
    finally:
        os.close(fd)


def run_all(workers, action):
    """Runs `action` on each worker in a process of its own; returns whether all succeeded."""
    children = []
    for worker in workers:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                action(worker)
                status = 0
            except (WrongData, OSError) as error:
                print(f"process {worker.number}: {error}", flush=True)
            finally:
                os._exit(status)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    return not any(statuses)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--operations", type=int, default=500, help="of each process")
    parser.add_argument("--max-bytes", type=int, default=256 << 10, help="of one I/O")
    parser.add_argument("--block-size", type=int, default=512)
    return parser.parse_args()


def main():
    options = parse_options()
    fd = os.open(options.device, os.O_RDONLY)
    blocks = os.lseek(fd, 0, os.SEEK_END) // options.block_size
    os.close(fd)
    step = piece_step(options.device, options.block_size)
    print(f"seed {options.seed}: {blocks} blocks of {options.block_size} bytes, buffers cut at each {step}", flush=True)

    owners = choose_owners(random.Random(options.seed), options.processes, blocks)
    stamps = Stamps(options.seed, blocks, options.block_size, owners)
    workers = [Worker(options, stamps, n, step) for n in range(options.processes)]
    if not (
        run_all(workers, Worker.write_all_of_mine)
        and run_all(workers, lambda worker: worker.work(options.operations))
        and run_all(workers[:1], Worker.read_all)
    ):
        sys.exit(f"failed; to repeat: the same with --seed {options.seed}")
    print(f"{sum(stamps.committed)} blocks written")


main()
