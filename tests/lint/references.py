#!/usr/bin/env python3
"""Fail when a table of docs/ lacks a row or names a test that is not there.

usage: references.py ROOT BUILD

docs/seed-defects.md has rows 1 to 27, docs/options.md one for each option of bhyve's
first version; each with tests in its last column: `NAME` or `NAME: CASE`.  NAME is a
test of `meson test`; CASE is found between quotes, brackets or parentheses in a
file below tests/.
"""
import json
import pathlib
import re
import sys

# File to its first cells, in order: docs/bhyve.md part 6, and 1.1's option string.
TABLES = {
    "seed-defects.md": [str(n) for n in range(1, 28)],
    "options.md": [f"-{letter}" for letter in sorted("abehwxAHIPWpgcsml")],
}


def rows(text):
    """Cells of the table's lines, below the line of dashes."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


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


def wrong(root, tests, text):
    for name, first in TABLES.items():
        table = rows((root / "docs" / name).read_text(encoding="utf-8"))
        if [cells[0] for cells in table] != first:
            yield f"{name}: the rows are not {' '.join(first)}"
        for cells in table:
            for why in wrong_references(cells, tests, text):
                yield f"{name}: {cells[0]}: {why}"


def main():
    root, build = (pathlib.Path(a) for a in sys.argv[1:3])
    with open(build / "meson-info/intro-tests.json", encoding="utf-8") as f:
        tests = {test["name"] for test in json.load(f)}
    bad = list(wrong(root, tests, sources(root)))
    print("\n".join(bad) or "complete")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
