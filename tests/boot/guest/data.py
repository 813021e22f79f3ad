#!/usr/bin/env python3
"""Random writes whose result is known: runs in the guest and, for the comparison,
on the host.

usage: data.py write DEVICE SEED COUNT     guest: check what the host wrote, write
       data.py fill FILE SEED BYTES        host: what the device has at first
       data.py check FILE SEED COUNT       host: what it must have at the end

What a device has at first and every write follow from the seed, so nothing but the
seed is passed between the two.
"""
import hashlib
import mmap
import os
import random
import sys

SECTOR = 512
MIB = 1048576


def at_first(seed, size):
    return bytearray(random.Random(seed).randbytes(size))


def writes(seed, size, count):
    """(offset, data): sectors at random, short ones more often than long."""
    rng = random.Random(seed + 1)
    for _ in range(count):
        n = SECTOR * rng.randrange(1, 2 << rng.randrange(10))
        off = rng.randrange(0, (size - n) // SECTOR + 1) * SECTOR
        yield off, rng.randbytes(n)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Device:
    """Sometimes through the page cache, sometimes past it."""

    def __init__(self, path):
        self.cached = os.open(path, os.O_RDWR)
        self.direct = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.buffer = mmap.mmap(-1, MIB)
        self.size = os.lseek(self.cached, 0, os.SEEK_END)

    def write(self, off, data, direct):
        if direct:
            self.buffer[:len(data)] = data
            view = memoryview(self.buffer)[:len(data)]
            assert os.pwrite(self.direct, view, off) == len(data)
        else:
            assert os.pwrite(self.cached, data, off) == len(data)

    def read(self, off, n):
        """Past the cache: what the device has."""
        view = memoryview(self.buffer)[:n]
        assert os.preadv(self.direct, [view], off) == n
        return bytes(view)

    def sync(self):
        os.fsync(self.cached)


def first_difference(a, b):
    return next(i for i in range(len(a)) if a[i] != b[i])


def compare(dev, want, rng, what):
    """The whole device, in reads of random lengths."""
    off = 0
    while off < dev.size:
        n = min(SECTOR * rng.randrange(1, 2048), dev.size - off)
        got = dev.read(off, n)
        if got != want[off:off + n]:
            at = off + first_difference(got, want[off:off + n])
            sys.exit(f"{what}: first difference at byte {at}")
        off += n


def write(path, seed, count):
    dev = Device(path)
    want = at_first(seed, dev.size)
    rng = random.Random(seed + 2)
    compare(dev, want, rng, "what the host wrote")
    for off, data in writes(seed, dev.size, count):
        # Cached and direct writes to one place do not mix: as one block
        # device, the cache is written back before each change of kind.
        direct = rng.random() < 0.5
        if direct:
            dev.sync()
        dev.write(off, data, direct)
        want[off:off + len(data)] = data
        if rng.random() < 0.1 and direct and dev.read(off, len(data)) != data:
            sys.exit(f"just written, read differently at byte {off}")
    dev.sync()
    compare(dev, want, rng, "what was written here")
    print("data", path, dev.size, digest(want))


def main():
    verb, path, seed, n = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])
    if verb == "write":
        write(path, seed, n)
    elif verb == "fill":
        with open(path, "wb") as f:
            f.write(at_first(seed, n))
    else:
        with open(path, "rb") as f:
            got = f.read()
        want = at_first(seed, len(got))
        for off, data in writes(seed, len(got), n):
            want[off:off + len(data)] = data
        if got != want:
            sys.exit(f"{path}: first difference at byte "
                     f"{first_difference(got, want)}")


if __name__ == "__main__":
    main()
