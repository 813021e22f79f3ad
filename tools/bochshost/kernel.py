#!/usr/bin/env python3
"""Make a kernel for Bochs that need not unpack itself, which takes it a minute.

usage: kernel.py VMLINUZ OUT

OUT is VMLINUZ's boot header (Linux Documentation/arch/x86/boot.rst), entry.S, and what
is in the compressed ELF file, laid out as it lies in memory.  It must be started with
`nokaslr`.  A kernel that is not compressed by xz is copied as it is.
"""
import lzma
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BASE, KERNEL = 0xffc000, 0x1000000      # entry.S has them, too
PT_LOAD = 1
# Offsets in the header.
SETUP_SECTS, SYSSIZE, CODE32_START = 0x1f1, 0x1f4, 0x214
KERNEL_ALIGNMENT, RELOCATABLE, MIN_ALIGNMENT = 0x230, 0x234, 0x235
PAYLOAD_OFFSET, PREF_ADDRESS, INIT_SIZE = 0x248, 0x258, 0x260


def unpack(bzimage, setup_bytes):
    """The ELF file; None when it is packed by something else."""
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD_OFFSET)
    payload = bzimage[setup_bytes + offset:setup_bytes + offset + length]
    if not payload.startswith(b"\xfd7zXZ"):
        return None
    return lzma.LZMADecompressor().decompress(payload)


def layout(elf):
    """Memory from KERNEL on, without the zeros at its end, and where it all ends."""
    phoff, = struct.unpack_from("<Q", elf, 32)
    phentsize, phnum = struct.unpack_from("<HH", elf, 54)
    image, end = bytearray(), KERNEL
    for i in range(phnum):
        kind, _, offset, _, paddr, filesz, memsz, _ = struct.unpack_from(
            "<IIQQQQQQ", elf, phoff + i * phentsize)
        if kind != PT_LOAD:
            continue
        at = paddr - KERNEL
        image.extend(bytes(max(0, at + filesz - len(image))))
        image[at:at + filesz] = elf[offset:offset + filesz]
        end = max(end, paddr + memsz)
    return bytes(image.rstrip(b"\0")), end


def entry():
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["gcc", "-c", "-o", f"{d}/o", HERE / "entry.S"], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", f"{d}/o",
                        f"{d}/bin"], check=True)
        return pathlib.Path(f"{d}/bin").read_bytes()


def main():
    bzimage = pathlib.Path(sys.argv[1]).read_bytes()
    setup_bytes = (bzimage[SETUP_SECTS] + 1) * 512
    elf = unpack(bzimage, setup_bytes)
    if elf is None:
        pathlib.Path(sys.argv[2]).write_bytes(bzimage)
        return
    image, end = layout(elf)
    code = entry()
    assert len(code) == KERNEL - BASE
    body = code + image
    body += bytes(-len(body) % 16)
    setup = bytearray(bzimage[:setup_bytes])
    struct.pack_into("<I", setup, SYSSIZE, len(body) // 16)
    struct.pack_into("<I", setup, CODE32_START, 0x100000)
    struct.pack_into("<I", setup, KERNEL_ALIGNMENT, 0x1000)
    struct.pack_into("<BB", setup, RELOCATABLE, 1, 12)
    struct.pack_into("<Q", setup, PREF_ADDRESS, BASE)
    struct.pack_into("<I", setup, INIT_SIZE, end - BASE)
    pathlib.Path(sys.argv[2]).write_bytes(setup + body)


main()
