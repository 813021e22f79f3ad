#!/usr/bin/env python3
"""One line a test from Meson's testlog.json: passed, skipped or FAIL, and its name.

The kvm suite is one test of many: tests/kvm/suite.py writes a line for each of its
entries, `# entry RESULT KNOWN NAME`.  KNOWN is how many of its tests failed as
tests/kvm/differences says; they are counted by themselves, passed in no way.
`# flaky NAME: WHY`: a test that failed in one of QEMU's machines and passed in another.
Below a FAIL stands why, in lines that begin with two spaces."""
import json
import re
import sys

LINES, WIDTH = 8, 300
WHY = re.compile(r"not ok (?!.*# TODO)|Bail out!|.*(?:ERROR|Error|[Ss]anitizer|"
                 r"# the machine|# .* in one machine)")


def reasons(test):
    """The few lines of a failed test's output that most likely say why; in TAP also
    what stands below the line of a failed one."""
    lines = [line for key in ("stdout", "stderr")
             for line in (test.get(key) or "").splitlines() if line.strip()]
    chosen = [line for before, line in zip(["", *lines], lines) if WHY.match(line) or
              (line.startswith("# ") and WHY.match(before))][:LINES]
    return [f"  {line[:WIDTH]}" for line in chosen or lines[-LINES:]]


with open(sys.argv[1]) as f:
    for line in f:
        test = json.loads(line)
        result = test["result"]
        word = {"OK": "passed", "EXPECTEDFAIL": "passed",
                "SKIP": "skipped"}.get(result, "FAIL")
        why = "" if word != "FAIL" else f" ({result})"
        if word == "skipped":
            out = (test.get("stdout") or "").strip().splitlines()
            why = f" ({out[-1]})" if out else ""
        if word != "skipped":
            entries = re.findall(r"^# entry (\w+) (\d+) (.*)", test.get("stdout") or "",
                                 re.M)
            for result, known, name in entries:
                print(f"{result} kvm {name}")
                if known != "0":
                    print(f"known {known} {name}")
            for line in re.findall(r"^# (flaky .*)", test.get("stdout") or "", re.M):
                print(line[:WIDTH])
            if entries and word == "passed":
                continue
        print(f"{word} {test['name']}{why}")
        if word == "FAIL":
            print("\n".join(reasons(test)))
