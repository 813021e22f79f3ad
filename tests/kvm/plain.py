#!/usr/bin/env python3
"""A guest payload on QEMU's own processor, without KVM and without us.

usage: plain.py PAYLOAD [QEMU ARGUMENT ...]

What fails here in the same way as under `guest_run -E kvm` in tools/kvmhost.py's machine
is the emulated processor's fault: a line for `tcg` in tests/kvm/differences.
Only payloads that need no device and no answer of their host program make sense.
"""
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
GUEST = TESTS / "guest"
FLAGS = """-O2 -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-pic -fno-pie -no-pie
-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -nostdlib
-static -Wl,--build-id=none -Wl,--no-warn-rwx-segments -DPLAIN_NCPUS=1""".split()
PROT = ["payload/legacy_call.S", "payload/prot_code.S", "payload/prot_lib.c"]
MORE = {"ldt": PROT, "task": PROT, "v86": PROT,
        "legacy": ["payload/legacy_call.S", "payload/legacy_code.S"]}


def build(name, out):
    files = [f"payload/{name}.c", "common/lib.c", "common/start.S", *MORE.get(name, [])]
    subprocess.run(["cc", *FLAGS, "-I", GUEST / "common", f"-Wl,-T,{GUEST}/common/payload.ld",
                    "-o", out, *(GUEST / f for f in files), TESTS / "kvm" / "debugcon.c"],
                   check=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as d:
        elf = pathlib.Path(d) / "payload.elf"
        build(sys.argv[1], elf)
        subprocess.run(["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
                        "-accel", "tcg", "-cpu", "max", "-m", "64", "-kernel", elf,
                        "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4",
                        *sys.argv[2:]], timeout=120, check=False)


main()
