#!/usr/bin/env python3
"""Write a small initramfs (cpio "newc", gzip) from busybox and a script folder.

usage: mkinitramfs.py OUT BUSYBOX SCRIPTDIR [NAME=FILE ...] [+ARCHIVE ...]

SCRIPTDIR/init becomes /init, everything else /scripts/NAME.  NAME=FILE adds
further files, +ARCHIVE puts a cpio archive in front (mkmodules.py's).  Device nodes
come from devtmpfs; only /dev/console is written, as the kernel opens it before
anything runs.
"""
import gzip
import pathlib
import stat
import sys

from cpio import Cpio


def main():
    out, busybox, scripts = (pathlib.Path(p) for p in sys.argv[1:4])
    front = b""
    cpio = Cpio()
    for d in ("bin", "dev", "proc", "sys", "tmp", "root", "scripts", "etc"):
        cpio.directory(d)
    cpio.link("sbin", "bin")
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.file("bin/busybox", busybox.read_bytes())
    cpio.link("bin/sh", "busybox")
    for f in sorted(scripts.iterdir()):
        name = "init" if f.name == "init" else "scripts/" + f.name
        cpio.file(name, f.read_bytes())
    for arg in sys.argv[4:]:
        if arg.startswith("+"):
            front += pathlib.Path(arg[1:]).read_bytes()
            continue
        name, _, path = arg.partition("=")
        cpio.file(name, pathlib.Path(path).read_bytes())
    out.write_bytes(front + gzip.compress(cpio.finish(), 6, mtime=0))


main()
