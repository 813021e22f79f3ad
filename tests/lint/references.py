#!/usr/bin/env python3
"""Fail when docs/seed-defects.md lacks a defect or names a test that is not there.

usage: defects.py ROOT BUILD

Rows 1 to 27, each with tests in its last column: `NAME` or `NAME: CASE`.  NAME is
a test of `meson test`; CASE is found between quotes, brackets or parentheses in a
file below tests/.
"""
import json
import pathlib
import re
import sys

DEFECTS = 27  # docs/bhyve.md part 6


def rows(text):
    """Number to cells, of the table's lines."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            number = int(cells[0])
            if number in found:
                sys.exit(f"{number} has two rows")
            found[number] = cells
    return found


def sources(root):
    return "\n".join(p.read_text(encoding="utf-8", errors="replace")
                     for p in sorted((root / "tests").rglob("*"))
                     if p.suffix in (".c", ".py", ".cases", ".build", ".sh"))


def wrong_references(cells, tests, text):
    """Of one row."""
    names = re.findall(r"`([^`]+)`", cells[-1])
    if len(cells) != 4 or not all(cells) or not names:
        yield "not four columns with tests in the last"
    for reference in names:
        # A test's name has no colon; a case may.
        name, _, case = reference.partition(": ")
        if name not in tests:
            yield f"no test is called {name!r}"
        elif case and not re.search(
                r"[\"\[(]" + re.escape(case) + r"[\"\]),]", text):
            yield f"{name!r} has no case {case!r}"


def main():
    root, build = (pathlib.Path(a) for a in sys.argv[1:3])
    table = rows((root / "docs/seed-defects.md").read_text(encoding="utf-8"))
    with open(build / "meson-info/intro-tests.json", encoding="utf-8") as f:
        tests = {test["name"] for test in json.load(f)}
    text = sources(root)
    bad = [f"{n}: no row" for n in range(1, DEFECTS + 1) if n not in table]
    bad += [f"{n}: no such defect" for n in table if n > DEFECTS or n < 1]
    bad += [f"{n}: {why}" for n, cells in sorted(table.items())
            for why in wrong_references(cells, tests, text)]
    print("\n".join(bad) or f"{len(table)} rows")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
