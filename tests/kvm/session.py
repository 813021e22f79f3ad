#!/usr/bin/env python3
"""Runs a plan on a machine with /dev/kvm; suite.py made it and judges.

usage: session.py WORK [pvm]

WORK/plan.json: entries with name, argv and seconds.  For each WORK/out/NAME gets
the output, WORK/out/NAME.status the status and the seconds it took.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ON_TCG = "kvm on QEMU TCG's SVM"


def place():
    """As `differences` has it; pvm: suite.py --here."""
    return sys.argv[2] if len(sys.argv) > 2 else os.environ.get("BHYVE_KVMHOST", "real")


def where():
    if place() == "pvm":
        return f"kvm of Linux {os.uname().release} that emulates ring 0"
    if place() == "tcg":
        return ON_TCG
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    model = re.search(r"model name\s*: (.*)", text)
    kind = "VMX" if re.search(r"flags.*\bvmx\b", text) else "SVM"
    return f"kvm on {kind} hardware, {model[1] if model else 'unnamed'}"


def run(entry, out):
    started = time.monotonic()
    if why := entry.get("not_on_" + place()):
        out.write_text(f"not on {where()}: {why}\n")
        return 77, 0.0
    with open(out, "wb") as f:
        try:
            status = subprocess.run(
                entry["argv"], stdin=subprocess.DEVNULL, stdout=f,
                stderr=subprocess.STDOUT, timeout=entry["seconds"],
                check=False).returncode
        except subprocess.TimeoutExpired:
            f.write(b"\nBail out! timeout\n")
            status = 124
    return status, time.monotonic() - started


def beat(work):
    """A machine that hangs is told by this file, which gets old."""
    while True:
        (work / "alive").write_text(f"{time.monotonic()}\n")
        time.sleep(2)


def main():
    work = pathlib.Path(sys.argv[1])
    threading.Thread(target=beat, args=(work,), daemon=True).start()
    for entry in json.loads((work / "plan.json").read_text()):
        name = entry["name"].replace("/", "_")
        status, took = run(entry, work / "out" / name)
        (work / "out" / (name + ".status")).write_text(f"{status} {took:.1f}\n")
        print(f"{entry['name']}: {status}, {took:.1f} s", flush=True)
    (work / "where").write_text(where() + "\n")


main()
