#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run bhyve over command lines and compare what it says with what it should.

usage: run.py PROGRAM FILE.cases ...

A case, in a .cases file ('#' begins a comment line):

    [name]
    file vm.conf: cpus=2        one line of a file made for this case
    run: -k vm.conf NAME        the arguments, as for sh
    exit: 64                    expected status
    err: bhyve: ...             one line of stderr, exact; repeatable
    out: cpus=2                 the same for stdout
    err~ regex                  or: a regular expression found in it
    out~ regex

A stream of which a case says nothing must be empty.  Whatever exits with 64
must have said exactly one line, beginning "bhyve: ", and printed nothing.
Writes TAP.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile

TIMEOUT = 20
ITEM = re.compile(r"(run|exit|err|out|err~|out~|file [\w./-]+)(?::|(?<=~)) ?(.*)")


class Case:
    def __init__(self, name, where):
        self.name = name
        self.where = where
        self.args = None
        self.status = None
        self.files = {}
        self.lines = {"err": [], "out": []}
        self.regexes = {"err": [], "out": []}

    def add(self, kind, value):
        if kind == "run":
            self.args = shlex.split(value)
        elif kind == "exit":
            self.status = int(value)
        elif kind.startswith("file "):
            self.files.setdefault(kind[5:], []).append(value)
        elif kind.endswith("~"):
            self.regexes[kind[:-1]].append(value)
        else:
            self.lines[kind].append(value)


def load(path):
    cases = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            where = f"{os.path.basename(path)}:{number}"
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                cases.append(Case(line[1:-1], where))
                continue
            item = ITEM.fullmatch(line)
            if item is None or not cases:
                sys.exit(f"{where}: not understood: {line}")
            cases[-1].add(item[1], item[2])
    for case in cases:
        if case.args is None or case.status is None:
            sys.exit(f"{case.where}: [{case.name}] has no run: or no exit:")
    return cases


def check_stream(case, which, text):
    """Yields what is wrong with one output stream."""
    got = text.splitlines()
    want = case.lines[which]
    if want and got != want:
        yield f"{which}: expected {want!r}, got {got!r}"
    for regex in case.regexes[which]:
        if re.search(regex, text, re.M) is None:
            yield f"{which}: /{regex}/ is not in {text!r}"
    if not want and not case.regexes[which] and got:
        yield f"{which}: expected nothing, got {got!r}"


def run(program, case):
    """What is wrong, as a list of lines."""
    with tempfile.TemporaryDirectory(prefix="bhyve-cli-") as tmp:
        for name, lines in case.files.items():
            with open(os.path.join(tmp, name), "w", encoding="utf-8") as f:
                f.write("\n".join(lines) + "\n")
        try:
            p = subprocess.run(
                [program] + case.args, cwd=tmp, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return [f"still running after {TIMEOUT} s"]
    out = p.stdout.decode(errors="replace")
    err = p.stderr.decode(errors="replace")
    wrong = []
    if p.returncode != case.status:
        wrong.append(f"exit: expected {case.status}, got {p.returncode}")
    if p.returncode == 64 and (
            out or err.count("\n") != 1 or not err.startswith("bhyve: ")):
        wrong.append("status 64 without exactly one line on stderr")
    wrong += check_stream(case, "err", err)
    wrong += check_stream(case, "out", out)
    return wrong


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    cases = [case for path in sys.argv[2:] for case in load(path)]
    names = [case.name for case in cases]
    for name in sorted({n for n in names if names.count(n) > 1}):
        sys.exit(f"two cases are called {name}")
    print(f"1..{len(cases)}")
    bad = 0
    for number, case in enumerate(cases, 1):
        wrong = run(program, case)
        print(f"{'not ok' if wrong else 'ok'} {number} - {case.name}")
        for line in wrong:
            print(f"#   {case.where}: {line}")
        bad += bool(wrong)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
