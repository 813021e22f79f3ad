#!/usr/bin/env python3
"""Every header must compile by itself, with gcc.

usage: headers.py ROOT CC
"""
import pathlib
import subprocess
import sys

root, cc = pathlib.Path(sys.argv[1]), sys.argv[2:]
bad = count = 0
for path in sorted([*root.glob("include/**/*.h"), *root.glob("src/**/*.h")]):
    flags = ["-mgeneral-regs-only"] if "engine/soft" in str(path) else []
    count += 1
    run = subprocess.run(
        [*cc, "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall",
         "-Wextra", "-Wno-unused-parameter", "-Werror", *flags,
         f"-I{root}/include",
         f"-I{path.parent}", "-x", "c", "-"],
        input=f'#include "{path}"\n', text=True, capture_output=True)
    if run.returncode:
        print(f"{path.relative_to(root)} does not stand alone:\n{run.stderr}")
        bad += 1
print(f"{count} headers, {bad} bad")
sys.exit(1 if bad or not count else 0)
