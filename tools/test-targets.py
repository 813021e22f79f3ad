#!/usr/bin/env python3
"""What ninja must build for some suites of tests, and no more.

usage: test-targets.py BUILD SUITE ...
"""
import json
import pathlib
import sys

build = pathlib.Path(sys.argv[1]).resolve()
wanted = set(sys.argv[2:])
info = build / "meson-info"
files = {t["id"]: t["filename"]
         for t in json.loads((info / "intro-targets.json").read_text())}
needed = {target for test in json.loads((info / "intro-tests.json").read_text())
          if wanted & {s.split(":")[-1] for s in test["suite"]}
          for target in test["depends"]}
for target in sorted(needed):
    print(*(pathlib.Path(f).relative_to(build) for f in files[target]))
