#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the commands in the documentation and compares what they print.

    docs.py run FILE        what is in FILE for the guest, in order, in one shell that ends at the first error
    docs.py check FILE...   what can be said without a guest: kinds of blocks, links, what a host's command names

A block of commands is fenced, and its kind says what is done with it:

    sh       run; every command has to succeed
    console  run; lines with "# " are commands, "> " goes on with one; the others are what they print. In these "..."
             stands for any characters, and alone in a line for any lines
    host     for the machine that builds: targets and variables that Makefile has, programs of this tree
    text     no commands
"""
import os
import re
import subprocess
import sys

MARK = "\x01"


def blocks(path):
    """The fenced blocks of a file: kind, number of the first line, lines."""
    kind, first, inside = None, 0, []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file.read().split("\n"), 1):
            fence = re.match(r" *```(.*)", line)
            if fence and kind is None:
                kind, first, inside = fence[1], number + 1, []
                if kind not in ("sh", "console", "host", "text"):
                    raise SystemExit(f"{path}:{number}: a block of unknown kind '{kind}'")
            elif fence:
                yield kind, first, inside
                kind = None
            elif kind is not None:
                inside.append(line)
            elif line.startswith("    "):
                raise SystemExit(f"{path}:{number}: indented, but not fenced")
    if kind is not None:
        raise SystemExit(f"{path}:{first}: a block without an end")


def steps(kind, first, lines):
    """Number of the line, command, and the output that is expected (None: any)."""
    if kind == "sh":
        return [(first, "\n".join(lines), None)]
    found = []
    for number, line in enumerate(lines, first):
        if line.startswith("# "):
            found.append([number, line[2:], []])
        elif not found:
            raise SystemExit(f"{number}: output before the first command")
        elif line.startswith("> "):
            found[-1][1] += "\n" + line[2:]
        else:
            found[-1][2].append(line)
    return found


def pattern(expected):
    parts = ["(.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n" for line in expected]
    return "".join(parts)


def run(path):
    with subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as shell:
        count = 0
        for kind, first, lines in blocks(path):
            for number, command, expected in steps(kind, first, lines) if kind in ("sh", "console") else ():
                print(f"{path}:{number}: {command}", flush=True)
                # A command does not read what is for the shell.
                shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '{MARK}\\n'\n".encode())
                shell.stdin.flush()
                printed = ""
                while not printed.endswith(MARK + "\n"):
                    line = shell.stdout.readline().decode(errors="replace")
                    if not line:
                        raise SystemExit(f"{printed}{path}:{number}: failed")
                    printed += line
                printed = re.sub(r"[ \t]+\n", "\n", printed.removesuffix(MARK + "\n"))
                print(printed, end="", flush=True)
                if printed and not printed.endswith("\n"):
                    printed += "\n"
                if expected is not None and not re.fullmatch(pattern(expected), printed):
                    raise SystemExit(f"{path}:{number}: printed something else than\n" + "\n".join(expected))
                count += 1
        shell.stdin.close()
        if shell.wait():
            raise SystemExit(f"{path}: the shell ended with {shell.returncode}")
    print(f"{path}: {count} commands")


def check_host(path, number, line, makefile):
    words = re.sub(r"\s+#.*", "", line).split()
    while words and (words[0] == "sudo" or "=" in words[0]):
        words.pop(0)
    if words[:1] in ([], ["git"], ["cd"]):
        return
    if words[0] != "make":
        if not os.access(words[0], os.X_OK):
            raise SystemExit(f"{path}:{number}: {words[0]} is no program of this tree")
        return
    for word in re.sub(r'"[^"]*"', "", " ".join(words[1:])).split():
        name, assigned, _ = word.partition("=")
        wanted = rf"^#   (.*\b)?{name}=" if assigned else rf"^{re.escape(name)}:"
        if not re.search(wanted, makefile, re.M):
            raise SystemExit(f"{path}:{number}: Makefile knows no '{word}'")


def check(path):
    with open("Makefile", encoding="utf-8") as file:
        makefile = file.read()
    for kind, first, lines in blocks(path):
        if kind in ("sh", "console"):
            steps(kind, first, lines)
        for number, line in enumerate(lines, first):
            if kind == "host":
                check_host(path, number, line, makefile)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(path), link)):
            raise SystemExit(f"{path}: the link to {link} leads nowhere")
    # A target in the running text, too.
    for target in re.findall(r"`make ([a-z-]+)", text):
        if target != "prepare" and not re.search(rf"^{target}:", makefile, re.M):
            raise SystemExit(f"{path}: Makefile knows no '{target}'")


if __name__ == "__main__":
    for name in sys.argv[2:]:
        {"run": run, "check": check}[sys.argv[1]](name)
