#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seed corpora of the boot loaders' fuzz targets.

usage: make-boot-corpus.py DIRECTORY    (tests/fuzz/corpus)

For each target a few minimal valid images and, of each, mutations with a
fixed seed: single fields set to edge values, and truncations.  Running it
again writes the same files; what fuzzers found lies beside them and is kept.
"""
import os
import random
import struct
import sys

EDGES = [0, 1, 0x7F, 0xFF, 0xFFF, 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
CODE = b"\xf4\xeb\xfd" + b"\x90" * 61  # hlt; jmp .-1


def bzimage(version=0x20F, relocatable=1, xlf=1, jump=0x6A, payload=CODE * 16):
    b = bytearray(1024)
    b[0x1F1] = 1
    struct.pack_into("<I", b, 0x1F4, len(payload) // 16)
    struct.pack_into("<H", b, 0x1FE, 0xAA55)
    b[0x200:0x206] = bytes([0xEB, jump]) + b"HdrS"
    struct.pack_into("<H", b, 0x206, version)
    b[0x211] = 1
    struct.pack_into("<I", b, 0x214, 0x100000)
    struct.pack_into("<II", b, 0x22C, 0x7FFFFFFF, 0x100000)
    struct.pack_into("<BBHI", b, 0x234, relocatable, 20, xlf, 2047)
    if jump >= 0x62:
        struct.pack_into("<QI", b, 0x258, 0x200000, 0x300000)
    return bytes(b) + payload


def elf64(segments, entry, code):
    off = 64 + 56 * len(segments)
    out = struct.pack("<16sHHIQQQIHHHHHH",
                      b"\x7fELF\x02\x01\x01" + bytes(9), 2, 62, 1, entry, 64,
                      0, 0, 64, 56, len(segments), 0, 0, 0)
    body = b""
    for kind, paddr, data, memsz in segments:
        out += struct.pack("<IIQQQQQQ", kind, 5, off + len(body), paddr,
                           paddr, len(data), memsz, 4)
        body += data
    return out + body + code


def elf32(segments, entry):
    off = 52 + 32 * len(segments)
    out = struct.pack("<16sHHIIIIIHHHHHH",
                      b"\x7fELF\x01\x01\x01" + bytes(9), 2, 3, 1, entry, 52,
                      0, 0, 52, 32, len(segments), 0, 0, 0)
    body = b""
    for kind, paddr, data, memsz in segments:
        out += struct.pack("<IIIIIIII", kind, off + len(body), paddr, paddr,
                           len(data), memsz, 5, 4)
        body += data
    return out + body


def note(kind, desc, name=b"Xen\0"):
    return struct.pack("<III", len(name), len(desc), kind) + name + desc


def multiboot(flags, *addresses):
    head = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    return head + struct.pack("<%dI" % len(addresses), *addresses)


PT_LOAD, PT_NOTE = 1, 4

SEEDS = {
    "bzimage": {
        "linux64": bzimage(),
        "linux32": bzimage(xlf=0),
        "fixed": bzimage(version=0x20C, relocatable=0),
        "old": bzimage(version=0x206, relocatable=0, jump=0x3A),
    },
    "elf_pvh": {
        "elf64": elf64([(PT_LOAD, 0x200000, CODE, 0x3000),
                        (PT_LOAD, 0x400000, b"", 0x1000),
                        (PT_NOTE, 0, note(18, struct.pack("<Q", 0x200000)), 24)],
                       0x200000, b""),
        "elf32": elf32([(PT_LOAD, 0x100000, CODE, 64),
                        (PT_NOTE, 0, note(6, b"Linux\0\0\0")
                         + note(18, struct.pack("<I", 0x100010)), 64)],
                       0x100000),
    },
    "multiboot": {
        "elf32": elf32([(PT_LOAD, 0x400000, multiboot(0) + CODE, 0x2000)],
                       0x40000C),
        "elf64": elf64([(PT_LOAD, 0x400000, multiboot(3) + CODE, 0x2000)],
                       0x40000C, b""),
        "raw": bytes(64) + multiboot(0x10003, 0x200040, 0x200000, 0, 0x204000,
                                     0x200060) + CODE,
    },
}


def mutations(image, rng):
    limit = min(len(image), 0x280)
    for _ in range(12):
        width = rng.choice([1, 2, 4, 8])
        at = rng.randrange(0, limit - width)
        value = rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(64)
        if rng.random() < 0.2:
            value = -1
        value &= (1 << (8 * width)) - 1
        yield image[:at] + value.to_bytes(width, "little") + image[at + width:]
    for _ in range(3):
        yield image[:rng.randrange(1, len(image))]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, images in SEEDS.items():
        where = os.path.join(sys.argv[1], target)
        os.makedirs(where, exist_ok=True)
        for name, image in images.items():
            rng = random.Random(target + name)
            files = [(name, image)]
            files += [("%s-%02d" % (name, i), m)
                      for i, m in enumerate(mutations(image, rng))]
            for filename, data in files:
                with open(os.path.join(where, filename), "wb") as f:
                    f.write(data)


if __name__ == "__main__":
    main()
