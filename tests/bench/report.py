#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the figures of exact.sh and times.sh as tables, and keeps them as JSON and as plots.

    report.py DIRECTORY [NAME=VALUE...] <LINES

The lines are those that the `figure` and `fact` of lib.sh print; facts may be added as arguments. In the
tables a figure in brackets is that of rnullblk through the peer's. Fails if an exact figure is not what is
asked for.
"""

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

DRIVERS = ["rnullblk", "null_blk", "brd", "zeroing"]

# Works of the table `instructions`: the peer, and how much of its figure rnullblk may need.
GOALS = {
    "4k-randread-qd32": {"null_blk": 0.68},
    "4k-randwrite-qd32": {"null_blk": 0.66},
    "4k-randread-qd1": {"null_blk": 0.73},
    "4k-randwrite-qd1": {"null_blk": 0.73},
    "128k-read-qd8": {"null_blk": 0.54, "brd": 0.95},
    "1m-read-qd1": {"null_blk": 0.53, "brd": 0.93},
    "4k-randread-qd32-no-data": {"null_blk": 0.92},
}

SECOND = "I/Os in a second"

# What a table is called where people read it.
TITLES = {
    "instructions": "Instructions for each I/O, below the system calls",
    "fio_instructions": "Instructions for each I/O, through fio",
    "whole_device": "Instructions to make and to discard a whole device",
    "memory_overhead_kib": "KiB of memory beside the data, when the device is full",
    "iops": "I/Os in a second (more is better)",
    "scaling": "I/Os in a second, one job and two by turns (more is better)",
    "mib_per_second": "MiB in a second (more is better)",
    "p50_ns": "Latency in ns, of the reads where there are such: half of the I/Os took no longer",
    "p99_ns": "Latency in ns: 99 of 100 I/Os took no longer",
    "p99.9_ns": "Latency in ns: 999 of 1000 I/Os took no longer",
}

# Plot: title, table, the label of its axis, works, and what the figures are divided by.
PLOTS = {
    "instructions": (
        "Instructions for each I/O through those of null_blk (less is better)",
        "instructions",
        "null_blk memory_backed=1 irqmode=0 is 1",
        r"[^-]+-[a-z]+-qd\d+",
        "null_blk",
    ),
    "instructions-4k": (
        "Instructions for each I/O of 4 KiB (less is better)",
        "instructions",
        "instructions",
        r"4k-rand(read|write)-qd(1|32)(-no-data|-softirq)?",
        None,
    ),
    "iops": (
        "I/Os in a second (more is better; {accelerator}, {times_are})",
        "iops",
        "I/Os in a second",
        r"(4k|512)-[a-z]+-qd\d+ \d-job",
        None,
    ),
    "bandwidth": (
        "MiB in a second (more is better; {accelerator}, {times_are})",
        "mib_per_second",
        "MiB in a second",
        r"(128k|1m)-[a-z]+-qd\d+ \d-job",
        None,
    ),
    "latency": (
        "99 of 100 I/Os took no longer (less is better; {accelerator}, {times_are})",
        "p99_ns",
        "ns",
        r"4k-[a-z]+-qd(1|32) \d-job",
        None,
    ),
}


def median(values):  # the module that has one is not in the builder root
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def read_lines(lines):
    facts, tables = {}, {}
    for line in lines:
        kind, *fields = line.rstrip("\n").split("\t")
        if kind == "fact":
            name, facts[name] = fields
        elif kind == "figure":
            table, work, driver, value = fields
            row = tables.setdefault(table, {}).setdefault(work, {})
            row.setdefault(driver, []).append(float(value))
    rounds = {table: rows for table, rows in deepcopy(tables).items() if is_in_rounds(rows)}
    for rows in tables.values():
        for row in rows.values():
            row.update({driver: round(median(values)) for driver, values in row.items()})
    return facts, tables, rounds


def is_in_rounds(rows):
    return any(len(values) > 1 for row in rows.values() for values in row.values())


def print_table(table, rows):
    drivers = [driver for driver in DRIVERS if any(driver in row for row in rows.values())]
    print(f"\n{TITLES.get(table, table)}")
    width = max(map(len, rows))
    print(" " * width + "".join(f"{driver:>{22 if i else 14}}" for i, driver in enumerate(drivers)))
    for work, row in rows.items():
        ours = row.get("rnullblk")
        cells = [f"{'-' if ours is None else ours:>14}"]
        for driver in drivers[1:]:
            value = row.get(driver)
            ratio = f"  ({ours / value:.3f})" if ours is not None and value else ""
            cells.append(f"{('-' if value is None else str(value)) + ratio:>22}")
        print(f"{work:<{width}}" + "".join(cells))


def goals(tables, kinds):
    """What is asked for: name, the figure or None if it was not measured, its bound, and whether it is met."""

    def figure(table, work, driver="rnullblk"):
        return tables.get(table, {}).get(work, {}).get(driver)

    def at_most(name, value, most):
        return name, value, f"at most {most:.4g}", value is not None and value <= most

    def ratio(above, below):
        return above / below if above is not None and below else None

    def through(table, work, peer, most):
        return at_most(f"{work}, through {peer}", ratio(figure(table, work), figure(table, work, peer)), most)

    if kinds & {"exact", "quick"}:
        for work, peers in GOALS.items():
            for peer, most in peers.items():
                yield through("instructions", work, peer, most)
        for work in "4k-randread-qd1", "4k-randread-qd32", "4k-randwrite-qd32":
            value = ratio(figure("instructions", f"{work}-thin"), figure("instructions", work))
            yield at_most(f"{work}, thin through linear", value, 1.1)
        works = "4k-randread-qd32", "4k-randread-qd32-no-data", "128k-read-qd8", "128k-read-qd8-no-data"
        small, small_floor, large, large_floor = (figure("instructions", work) for work in works)
        is_complete = None not in (small, small_floor, large, large_floor)
        value = small / (small_floor + (large - large_floor) / 32) if is_complete else None
        yield at_most("4k-randread-qd32, through no data and a copy", value, 1.03)
    if "exact" in kinds:
        yield through("fio_instructions", "4k-randread-io_uring", "null_blk", 0.76)
        for mib in 256, 4096:
            overhead = figure("memory_overhead_kib", f"{mib}-mib-filled")
            yield at_most(f"KiB beside {mib} MiB of data", overhead, mib * 1024 * 0.001 + 1024)
        yield through("whole_device", "create-4096-mib", "zeroing", 1.1)
    if "times" in kinds:
        for work in "4k-randread-qd32", "4k-randwrite-qd32":
            value = ratio(*(figure("scaling", f"{work} {jobs}-job") for jobs in (2, 1)))
            is_met = value is not None and value >= 1.8
            yield f"{work}, {SECOND} of 2 jobs through 1", value, "at least 1.8", is_met


def print_goals(tables, kinds):
    print("\nWhat is asked for")
    are_met = True
    for name, value, bound, is_met in goals(tables, kinds):
        shown = "-" if value is None else f"{value:.4g}"
        verdict = "met" if is_met else "NOT MEASURED" if value is None else "NOT MET"
        print(f"{name:<64}{shown:>9}  {bound:<15}{verdict}")
        # A time says more of the host than of the driver.
        are_met &= is_met or SECOND in name
    return are_met


def draw(path, title, axis, works, rows, divisor):
    drivers = [driver for driver in DRIVERS if any(driver in rows[work] for work in works)]
    lines = ["work " + " ".join(drivers)]
    for work in works:
        row = rows[work]
        unit = row.get(divisor, 1) if divisor else 1
        lines.append(f'"{work}" ' + " ".join(str(row[d] / unit) if d in row else "?" for d in drivers))
    columns = ", ".join(
        f"$data using {i + 2}:xticlabels(1) title columnheader linecolor rgb '{colour}'"
        for i, colour in zip(range(len(drivers)), ["#1b6ca8", "#d95f30", "#8a8d91", "#000000"])
    )
    script = [
        "$data <<END_OF_DATA",
        *lines,
        "END_OF_DATA",
        "set datafile missing '?'",
        f"set title '{title}'",
        f"set ylabel '{axis}'",
        "set yrange [0:*]",
        "set offsets graph 0, 0, 0.05, 0",
        "set format y '%.6g'",
        "set grid ytics",
        "set style data histograms",
        "set style histogram clustered gap 1",
        "set style fill solid 0.9 noborder",
        "set xtics rotate by -40 scale 0",
        "set key outside top center horizontal",
        "set rmargin 14",
    ]
    for terminal, suffix in ("svg noenhanced size 1200,640 dynamic background 'white'", "svg"), (
        "pngcairo noenhanced size 1200,640",
        "png",
    ):
        script += [f"set terminal {terminal}", f"set output '{path}.{suffix}'", f"plot {columns}"]
    subprocess.run(["gnuplot"], input="\n".join(script), text=True, check=True)


def main():
    directory = Path(sys.argv[1])
    facts, tables, rounds = read_lines(sys.stdin)
    facts.update(argument.split("=", 1) for argument in sys.argv[2:])
    with open(directory / "results.json", "w") as file:
        json.dump({"facts": facts, "figures": tables, "rounds": rounds}, file, indent=2)
    for name in TITLES:
        if name in tables:
            print_table(name, tables[name])
    for name, (title, table, axis, shown, divisor) in PLOTS.items():
        works = [work for work in tables.get(table, {}) if re.fullmatch(shown, work)]
        if works:
            draw(directory / name, title.format(**facts), axis, works, tables[table], divisor)
    print()
    for name, value in facts.items():
        print(f"{name}: {value}")
    return print_goals(tables, set(facts["kinds"].split()))


sys.exit(not main())
