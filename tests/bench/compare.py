#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads two results.json of `make bench`, one after the other, and prints what changed by how much."""

import json
import sys


def read_two(text):
    decoder = json.JSONDecoder()
    before, end = decoder.raw_decode(text.lstrip())
    return before, decoder.raw_decode(text.lstrip()[end:].lstrip())[0]


def main():
    before, after = read_two(sys.stdin.read())
    for what in ("kernel_version", "cpu_model", "unit"):
        if before[what] != after[what]:
            print(f"warning: {what} differs: {before[what]!r}, {after[what]!r}")
    print(f"{'':<20}{'':<18}{'A':>10}{'B':>10}{'change':>9}")
    for work, row in after["per_io"].items():
        for driver, value in row.items():
            old = before["per_io"].get(work, {}).get(driver)
            if old is None:
                print(f"{work:<20}{driver:<18}{'-':>10}{value:>10}")
            else:
                print(f"{work:<20}{driver:<18}{old:>10}{value:>10}{(value / old - 1) * 100:>+8.2f}%")


main()
