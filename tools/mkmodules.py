#!/usr/bin/env python3
"""Write the kernel modules that an initramfs needs as a cpio archive.

usage: mkmodules.py OUT KERNEL.deb LIST

LIST names modules, one a line; what they depend on comes along, what the kernel has
built in is left out, and so is what it lacks when the line begins with "-".
modules.dep and modules.alias are made here for just these, from what each module
says of itself (its .modinfo section), so that no depmod is needed.  The archive is
not compressed: a kernel copies 1 MB faster than it inflates it, the more so on a
software CPU.
"""
import pathlib
import re
import subprocess
import sys
import tarfile

from cpio import Cpio

INFO = re.compile(rb"\0(depends|alias)=([^\0]*)(?=\0)")


def plain(name):
    """The kernel takes - and _ in module names as the same."""
    return name.strip().removesuffix(".ko").replace("-", "_")


class Module:
    def __init__(self, path, data):
        self.path, self.data = path, data
        self.depends, self.aliases = [], []
        for key, value in INFO.findall(data):
            text = value.decode()
            if key == b"alias":
                self.aliases.append(text)
            else:
                self.depends = [plain(m) for m in text.split(",") if m]


def read_package(deb):
    """The modules by name, and the names of the built-in ones."""
    modules, builtin = {}, set()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb],
                          stdout=subprocess.PIPE) as p:
        with tarfile.open(fileobj=p.stdout, mode="r|") as tar:
            for entry in tar:
                path = entry.name.removeprefix("./")
                if path.endswith(".ko"):
                    name = plain(path.rsplit("/", 1)[1])
                    modules[name] = Module(path, tar.extractfile(entry).read())
                elif path.endswith("/modules.builtin"):
                    text = tar.extractfile(entry).read().decode()
                    builtin = {plain(line.rsplit("/", 1)[1])
                               for line in text.split()}
    return modules, builtin


def closure(modules, name):
    """What must be loaded before a module, nearest first (as modules.dep has it)."""
    found = []
    for dep in modules[name].depends:
        for m in [dep, *closure(modules, dep)]:
            if m in found:
                found.remove(m)
            found.append(m)
    return found


def wanted(lines, modules, builtin):
    names = set()
    for line in lines:
        line = line.split("#")[0].strip()
        name = plain(line.removeprefix("-"))
        if not name or name in builtin:
            continue
        if name in modules:
            names.update([name, *closure(modules, name)])
        elif not line.startswith("-"):
            sys.exit(f"mkmodules: this kernel has no module {name}")
    return sorted(names)


def main():
    out, deb, listing = sys.argv[1:4]
    modules, builtin = read_package(deb)
    names = wanted(pathlib.Path(listing).read_text().splitlines(), modules,
                   builtin)
    top = modules[names[0]].path.split("/kernel/")[0]   # lib/modules/VERSION
    cpio = Cpio()
    for d in ("lib", "lib/modules", top):
        cpio.directory(d)
    deps = aliases = ""
    for name in names:
        file = modules[name].path.rsplit("/", 1)[1]
        cpio.file(f"{top}/{file}", modules[name].data, 0o644)
        after = [modules[m].path.rsplit("/", 1)[1]
                 for m in closure(modules, name)]
        deps += f"{file}: {' '.join(after)}".rstrip() + "\n"
        aliases += "".join(f"alias {a} {name}\n"
                           for a in modules[name].aliases)
    cpio.file(f"{top}/modules.dep", deps.encode(), 0o644)
    cpio.file(f"{top}/modules.alias", aliases.encode(), 0o644)
    pathlib.Path(out).write_bytes(cpio.finish())


main()
