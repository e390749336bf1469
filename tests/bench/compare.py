#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads two results.json of `make bench`, one after the other, and prints what changed by how much.

Times are compared only if both runs were made in the same way, on the same host.
"""

import json
import sys


def read_two(text):
    decoder = json.JSONDecoder()
    before, end = decoder.raw_decode(text.lstrip())
    return before, decoder.raw_decode(text.lstrip()[end:].lstrip())[0]


def is_comparable(table, differing):
    is_exact = "instructions" in table or table in ("whole_device", "memory_overhead_kib")
    return is_exact or not differing & {"accelerator", "emulator", "host", "times_cpu_model", "times_cpus"}


def print_table(table, before, after):
    width = max(map(len, after))
    print(f"\n{table:<{width}} {'':<10}{'A':>12}{'B':>12}{'change':>10}")
    for work, row in after.items():
        for driver, value in row.items():
            old = before.get(work, {}).get(driver)
            change = f"{(value / old - 1) * 100:>+9.2f}%" if old else ""
            print(f"{work:<{width}} {driver:<10}{'-' if old is None else old:>12}{value:>12}{change}")
    for work in before.keys() - after.keys():
        print(f"{work:<{width}} is in A only")


def main():
    before, after = read_two(sys.stdin.read())
    differing = set()
    for name in sorted((before["facts"].keys() | after["facts"].keys()) - {"date"}):
        old, new = before["facts"].get(name), after["facts"].get(name)
        if old != new:
            differing.add(name)
            print(f"warning: {name} differs: {old!r}, {new!r}")
    for table, rows in after["figures"].items():
        if is_comparable(table, differing):
            print_table(table, before["figures"].get(table, {}), rows)
        else:
            print(f"\n{table}: times of different machines are not compared")


main()
