#!/usr/bin/env python3
"""Print the tables of bench/guest.sh from the rows it kept.

usage: table.py DIR

DIR/times.rows: "ENGINE CPUS NAME SECONDS CHECKSUM COUNT" a run and row;
DIR/rate.rows, optional: "NAME INSTRUCTIONS SECONDS".  Status 1 when a checksum
differs between two runs of a row, or an engine lacks a row.
"""
import os
import pathlib
import statistics
import sys

ENGINES = "native", "qemu", "ours"


def read_times(path):
    rows = {}
    for line in path.read_text().splitlines():
        engine, cpus, name, seconds, checksum, count = line.split()
        if cpus != "1":
            name += "/" + cpus
        row = rows.setdefault(name, {"count": int(count), "sums": {}})
        row.setdefault(engine, []).append(float(seconds))
        row["sums"].setdefault(checksum, set()).add(engine)
    return rows


def each(seconds, count):
    ns = seconds / count * 1e9
    return f"{ns:8.1f} ns" if ns < 1e4 else f"{ns / 1e3:8.1f} us"


def table(rows):
    pick = {"median": statistics.median, "min": min}[
        os.environ.get("STAT", "median")]
    print(f"{'row':18} {'native s':>9} {'qemu s':>9} {'bhyve s':>9} "
          f"{'bhyve/qemu':>11} {'bhyve/native':>13} {'bhyve, each':>12}")
    bad = []
    for name, row in rows.items():
        missing = [e for e in ENGINES if e not in row]
        if missing:
            bad.append(f"{name}: no result from {', '.join(missing)}")
            continue
        if len(row["sums"]) != 1:
            bad.append(f"{name}: checksums differ: " + ", ".join(
                f"{s} ({', '.join(sorted(e))})"
                for s, e in row["sums"].items()))
        nat, tcg, us = (pick(row[e]) for e in ENGINES)
        print(f"{name:18} {nat:9.3f} {tcg:9.3f} {us:9.3f} "
              f"{us / tcg:11.2f} {us / nat:13.1f} {each(us, row['count']):>12}")
    return bad


def rates(path):
    print(f"\n{'row':18} {'M instructions':>15} {'seconds':>9} "
          f"{'M instructions/s':>17}")
    for line in path.read_text().splitlines():
        name, count, seconds = line.split()
        millions = float(count) / 1e6
        print(f"{name:18} {millions:15.0f} {float(seconds):9.3f} "
              f"{millions / float(seconds):17.0f}")


def main():
    out = pathlib.Path(sys.argv[1])
    bad = table(read_times(out / "times.rows"))
    if (out / "rate.rows").exists():
        rates(out / "rate.rows")
    for line in bad:
        print("bench: " + line, file=sys.stderr)
    sys.exit(1 if bad else 0)


main()
