#!/usr/bin/env python3
"""Write a small initramfs (cpio "newc", gzip) from busybox and a script folder.

usage: mkinitramfs.py OUT BUSYBOX SCRIPTDIR [NAME=FILE ...]

SCRIPTDIR/init becomes /init, everything else /scripts/NAME.  NAME=FILE adds
further files.  Needs neither root nor cpio: device nodes come from devtmpfs,
only /dev/console is written, as the kernel opens it before anything runs.
The output depends on the input alone (fixed times and order).
"""
import gzip
import pathlib
import stat
import sys


class Cpio:
    def __init__(self):
        self.out = bytearray()
        self.ino = 1

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        encoded = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0],
                  rdev[1], len(encoded), 0)
        self.ino += 1
        self.out += b"070701" + b"".join(b"%08X" % f for f in fields)
        self.out += encoded
        self.pad()
        self.out += data
        self.pad()

    def pad(self):
        self.out += b"\0" * (-len(self.out) % 4)


def main():
    out, busybox, scripts = (pathlib.Path(p) for p in sys.argv[1:4])
    cpio = Cpio()
    for d in ("bin", "dev", "proc", "sys", "tmp", "root", "scripts", "etc"):
        cpio.add(d, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    cpio.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for f in sorted(scripts.iterdir()):
        name = "init" if f.name == "init" else "scripts/" + f.name
        cpio.add(name, stat.S_IFREG | 0o755, f.read_bytes())
    for arg in sys.argv[4:]:
        name, _, path = arg.partition("=")
        cpio.add(name, stat.S_IFREG | 0o755, pathlib.Path(path).read_bytes())
    cpio.add("TRAILER!!!", 0)
    out.write_bytes(gzip.compress(bytes(cpio.out), 6, mtime=0))


main()
