#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads the lines of measure.sh, prints a table of them and writes them as JSON.

    report.py UNIT RESULTS.json <LINES

UNIT says what was counted for each I/O. A figure in brackets is that of rnullblk through the peer's.
"""

import json
import platform
import sys

# driver: what it is compared with
PEERS = {
    "rnullblk": ["null_blk", "brd", "rnullblk-no-data"],
    "rnullblk-no-data": ["null_blk-no-data"],
}


def first_value(file, key):
    with open(file) as lines:
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(key))


def read_figures(lines):
    figures = {}
    for line in lines:
        kind, driver, work, value = line.rstrip("\n").split("\t")
        if kind == "figure":
            figures.setdefault(work, {})[driver] = int(value)
    return figures


def print_table(figures, unit):
    for driver, peers in PEERS.items():
        print(f"\n{unit} for each I/O".capitalize())
        print(f"{'':<20}{driver:>17}" + "".join(f"{peer:>26}" for peer in peers))
        for work, row in figures.items():
            ours = row[driver]
            cells = (f"{row[peer]:>17}  ({ours / row[peer]:.3f})" for peer in peers)
            print(f"{work:<20}{ours:>17}" + "".join(f"{cell:>26}" for cell in cells))


def main():
    unit, path = sys.argv[1:]
    figures = read_figures(sys.stdin)
    print_table(figures, unit)
    with open("/proc/version") as version, open(path, "w") as file:
        json.dump(
            {
                "kernel": platform.release(),
                "kernel_version": version.read().strip(),
                "cpu_model": first_value("/proc/cpuinfo", "model name"),
                "unit": unit,
                "per_io": figures,
            },
            file,
            indent=2,
        )


main()
