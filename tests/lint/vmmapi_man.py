#!/usr/bin/env python3
"""vmmapi(3) has every function of vmmapi.h, with its parameters, and no other.

usage: vmmapi_man.py ROOT
"""
import pathlib
import re
import shlex
import shutil
import subprocess
import sys


def header_functions(path):
    """name -> list of parameter types."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    text = re.sub(r"#define.*?(?<!\\)\n|^#.*?\n", "\n", text, flags=re.M | re.S)
    text = re.sub(r"typedef[^;]*;", " ", text)
    found = {}
    for m in re.finditer(r"\b((?:vm|vcpu)_\w+)\s*\(([^)]*)\)\s*;", text):
        found[m[1]] = [kind(p) for p in m[2].split(",")]
    return found


def man_functions(path):
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith(".It Fn "):
            name, *params = shlex.split(line[len(".It Fn "):])
            found[name] = [kind(p) for p in params]
    return found


# A parameter without its name, which the header often leaves out.
NAMED = re.compile(r"^(.*?[\s*])(\w+)(\[\w+\])?$")
TYPE_WORDS = {"int", "char", "void", "bool"}


def kind(param):
    param = " ".join(param.split()).replace("* ", "*")
    m = NAMED.match(param)
    is_type = (m is None or m[2] in TYPE_WORDS or m[2].endswith("_t") or
               m[2].endswith("_fn") or
               re.search(r"\b(struct|enum) $", m[1]))
    if is_type:
        return param.replace(" ", "")
    return (m[1] + (m[3] or "")).replace(" ", "")


def groff_warnings(path):
    if shutil.which("groff") is None:
        return []
    p = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", "-z", path],
                       capture_output=True, text=True, check=False)
    return [w for w in p.stderr.splitlines()
            if "hyphen" not in w and "can't find macro file" not in w]


def main():
    root = pathlib.Path(sys.argv[1])
    header = header_functions(root / "include/vmmapi.h")
    page = man_functions(root / "man/vmmapi.3")
    wrong = [f"{n}: not in vmmapi(3)" for n in header.keys() - page.keys()]
    wrong += [f"{n}: in vmmapi(3) only" for n in page.keys() - header.keys()]
    wrong += [f"{n}: the header has {header[n]}, vmmapi(3) {page[n]}"
              for n in header.keys() & page.keys() if header[n] != page[n]]
    wrong += groff_warnings(root / "man/vmmapi.3")
    print("\n".join(sorted(wrong)))
    print(f"{len(header)} functions, {len(wrong)} wrong")
    return 1 if wrong or len(header) < 80 else 0


sys.exit(main())
