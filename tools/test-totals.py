#!/usr/bin/env python3
"""One line a test from Meson's testlog.json: passed, skipped or FAIL, and its name."""
import json
import sys

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
        print(f"{word} {test['name']}{why}")
