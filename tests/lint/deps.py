#!/usr/bin/env python3
"""Fail when a source file includes a header its room may not see.

usage: deps.py ROOT

A room's private headers ("quoted") belong to it alone; <room/header.h> from
include/ may be used by the rooms listed in MAY.  Rules: docs/architecture.md.
"""
import pathlib
import re
import sys

# room: folders of include/ it may use.  "vmmapi" stands for vmmapi.h.
CORE = {"util", "conf", "vmm", "vmmapi"}
MAY = {
    "src/util": {"util"},
    "src/conf": {"util", "conf", "vmmapi"},
    "src/backend": {"util", "backend"},
    "src/vmm": CORE,
    "src/chip": CORE | {"backend", "chip"},
    "src/dev": CORE | {"backend", "dev"},
    "src/boot": CORE | {"boot"},
    "src/ctl": CORE | {"backend", "ctl"},
    "src/engine": {"util", "vmm", "vmmapi"},
    "src/engine/soft": {"util", "vmm", "vmmapi"},
    "src/engine/kvm": {"util", "vmm", "vmmapi"},
    "src/machine": CORE | {"backend", "chip", "dev", "boot", "ctl", "machine"},
    "src/cmd": CORE | {"machine"},
}
# Headers of include/vmm that are not for everybody.
ONLY = {
    "vmm/engine.h": ("src/vmm", "src/engine", "src/machine", "src/cmd"),
    "vmm/pci.h": ("src/dev", "src/machine", "src/cmd", "src/boot"),
    "linux/kvm.h": ("src/engine/kvm",),
}
# One header of another room: the PCI uart is the 16550 in another case.
ALSO = {
    "src/dev": ("chip/ns16550.h",),
}
OWN = ("util", "conf", "backend", "vmm", "chip", "dev", "boot", "ctl",
       "machine", "cmd", "engine")
INCLUDE = re.compile(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def room_of(rel):
    rooms = [r for r in MAY if rel.startswith(r + "/")]
    return max(rooms, key=len) if rooms else None


def check_quoted(root, path, room, target):
    where = (path.parent / target).resolve()
    if ".." in target or not where.exists():
        return f'"{target}" is not a header of {room}'
    return None


def check_angle(room, target):
    for header, rooms in ONLY.items():
        if target == header and not room.startswith(rooms):
            return f"<{target}> is only for {', '.join(rooms)}"
    if target in ALSO.get(room, ()):
        return None
    top = "vmmapi" if target == "vmmapi.h" else target.split("/")[0]
    if (top in OWN or top == "vmmapi") and top not in MAY[room]:
        return f"{room} may not include <{target}>"
    return None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    bad = files = 0
    for path in sorted(root.glob("src/**/*.[ch]")):
        rel = str(path.relative_to(root))
        room = room_of(rel)
        files += 1
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            why = (check_quoted(root, path, room, m[1]) if m[1]
                   else check_angle(room, m[2]))
            if why:
                print(f"{rel}:{n}: {why}")
                bad += 1
    print(f"{files} files, {bad} wrong includes")
    return 1 if bad or not files else 0


sys.exit(main())
