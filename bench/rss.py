#!/usr/bin/env python3
"""Resident memory of a process apart from its guest's RAM, in MiB.

usage: rss.py PID

Guest RAM is the largest mapping of a memfd, or where there is none (QEMU) the
one anonymous mapping of exactly the machine's size, 512 MiB.
"""
import re
import sys

GUEST_KIB = 512 * 1024


def mappings(pid):
    head = None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            m = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)", line)
            if m:
                head = {"name": m.group(1)}
                yield head
            else:
                key, value = line.split(":", 1)
                if key in ("Size", "Rss"):
                    head[key] = int(value.split()[0])


def is_ram(m):
    if "memfd:" in m["name"]:
        return True
    return m["name"] == "" and m["Size"] == GUEST_KIB


def main():
    kib = sum(m["Rss"] for m in list(mappings(sys.argv[1])) if not is_ram(m))
    print(f"{kib / 1024:.1f}")


main()
