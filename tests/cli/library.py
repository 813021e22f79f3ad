#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libvmmapi as a user gets it: installed, found by pkg-config, linked.

usage: library.py MESON BUILD SOURCE CC...

Installs the build into a fresh folder, compiles examples/hello.c against
nothing but that tree, shared and static, and compares what is exported with
what vmmapi.h declares.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HELLO = "Hello from the guest...\nThe guest says 42.\n"
EXAMPLE_LINES = 150
failed = ran = 0


def check(name, ok, why=""):
    global failed, ran
    ran += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {ran} - {name}")
    if not ok:
        print("\n".join("# " + line for line in str(why).splitlines()))


def run(*args, **more):
    p = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False, **more)
    return p.returncode, p.stdout


def declared(header):
    """Functions of the header: a name before "(" at the end of a declarator."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    text = re.sub(r"^#.*?(?<!\\)$", "", text, flags=re.M)
    text = re.sub(r"typedef[^;]*;", "", text)
    return set(re.findall(r"\b((?:vm|vcpu)_\w+)\s*\(", text))


def exported(library):
    _, out = run("nm", "-D", "--defined-only", library)
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def globals_of(archive):
    _, out = run("nm", "-g", "--defined-only", archive)
    return {line.split()[-1] for line in out.splitlines()
            if len(line.split()) == 3}


class Tree:
    def __init__(self, meson, build, root):
        code, out = run(meson, "install", "-C", build, "--no-rebuild",
                        "--quiet", "--destdir", root)
        check("meson install", code == 0, out)
        self.root = pathlib.Path(root)
        self.pc = next(self.root.rglob("vmmapi.pc"), None)
        check("vmmapi.pc is installed", self.pc is not None)
        self.lib = self.pc.parent.parent
        self.env = dict(os.environ,
                        PKG_CONFIG_SYSROOT_DIR=str(self.root),
                        PKG_CONFIG_PATH=str(self.pc.parent),
                        LD_LIBRARY_PATH=str(self.lib))

    def flags(self, *args):
        code, out = run("pkg-config", *args, "vmmapi", env=self.env)
        check("pkg-config " + " ".join(args), code == 0, out)
        return out.split()

    def find(self, name):
        return next(self.root.rglob(name), None)


def test_files(tree):
    for name in "vmmapi.h", "libvmmapi.so", "libvmmapi.a", "vmmapi.3", \
                "bhyve.8", "bhyve":
        # Manual pages may be compressed on their way in.
        found = tree.find(name) or tree.find(name + ".gz")
        check(f"{name} is installed", found is not None)
    _, out = run("readelf", "-d", tree.find("libvmmapi.so"))
    check("soname", re.search(r"SONAME.*\[libvmmapi\.so\.\d+\]", out), out)


def test_symbols(tree):
    want = declared(tree.find("vmmapi.h"))
    check("the header declares functions", len(want) > 80, want)
    for what, have in (("shared", exported(tree.find("libvmmapi.so"))),
                       ("static", globals_of(tree.find("libvmmapi.a")))):
        check(f"{what}: all that is declared", not want - have, want - have)
        check(f"{what}: nothing else", not have - want, have - want)


def test_example(tree, source, cc, tmp):
    example = source / "examples" / "hello.c"
    lines = len(example.read_text().splitlines())
    check(f"at most {EXAMPLE_LINES} lines", lines <= EXAMPLE_LINES, lines)
    static = [f for f in tree.flags("--static", "--cflags", "--libs")]
    static = [str(tree.find("libvmmapi.a")) if f == "-lvmmapi" else f
              for f in static]
    ways = {"shared": tree.flags("--cflags", "--libs"), "static": static}
    for way, flags in ways.items():
        exe = tmp / ("hello-" + way)
        code, out = run(*cc, "-Wall", "-Wextra", "-Werror",
                        "-Wno-unused-parameter", example, "-o", exe, *flags)
        check(f"{way}: compiles", code == 0, out)
        if code != 0:
            continue
        code, out = run(exe, "soft", env=tree.env)
        check(f"{way}: runs a guest", (code, out) == (0, HELLO), (code, out))
        _, out = run("ldd", exe, env=tree.env)
        check(f"{way}: links libvmmapi so", ("libvmmapi" in out) ==
              (way == "shared"), out)
    code, out = run(tmp / "hello-shared", "no-such-engine", env=tree.env)
    check("an engine that is not there", code == 1 and "hello:" in out, out)


def test_cplusplus(tree, tmp):
    compilers = [c for c in ("g++", "clang++") if shutil.which(c)]
    check("there is a C++ compiler", compilers)
    for cxx in compilers:
        src = tmp / "use.cc"
        src.write_text("#include <vmmapi.h>\nint main() {\n"
                       "  vm_close(vm_openf(\"x\", VMMAPI_OPEN_CREATE, "
                       "\"soft\"));\n}\n")
        exe = tmp / "use"
        code, out = run(cxx, "-Wall", "-Wextra", "-pedantic", "-Werror", src,
                        "-o", exe, *tree.flags("--cflags", "--libs"))
        check(f"{cxx} takes the header", code == 0, out)
        code, out = run(exe, env=tree.env)
        check(f"{cxx}: runs", code == 0, out)


def main():
    meson, build, source, *cc = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="vmmapi-") as tmp:
        tmp = pathlib.Path(tmp)
        tree = Tree(meson, build, tmp / "root")
        test_files(tree)
        test_symbols(tree)
        test_example(tree, pathlib.Path(source), cc, tmp)
        test_cplusplus(tree, tmp)
    print(f"1..{ran}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
