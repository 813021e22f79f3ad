#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The software CPU's general-register half touches no vector register.

While it runs, the host's x87, SSE and AVX registers hold the guest's (see
src/engine/soft/cpu.h).  So, in its archive: no instruction that names or changes
such a register outside the few functions that save and load them, and no call
out of it but to the functions below, each made after fpu_park().
Usage: gpr_only.py ARCHIVE NM OBJDUMP
"""
import re
import subprocess
import sys

# Functions whose business the FP registers are.
FP_FUNCTIONS = {"fpu_park_slow", "fpu_unpark", "x87_status"}

# Ordinary C that is called parked, by who needs it.
OUTSIDE = {
    # block.c: decoding
    "block_build",
    # cache.c: memory for blocks; an idle vCPU gives it back
    "host_name_memory", "madvise", "mmap", "mmap64", "munmap", "vm_clock_ns",
    "vm_code_cache",
    # fpu.c: the thunk area is full
    "fpu_scratch_insn",
    # run.c: events, the interrupt controller, ends of the machine
    "vcpu_intr", "vcpu_publish_rip", "vcpu_sipi_vector", "vcpu_sleep_halted",
    "vcpu_sleep_wait_sipi", "vcpu_take", "vm_suspend", "vm_suspended",
    # smc.c: waking other processors
    "vcpu_post",
    # the bus and the clock
    "bus_mmio", "bus_pio", "bus_rdmsr", "bus_wrmsr",
    "kvmclock_tsc_changed", "kvmclock_write_system_time",
    "kvmclock_write_wall_clock", "vcpu_rdtsc", "vcpu_tsc_source",
    # the linker's
    "_GLOBAL_OFFSET_TABLE_",
}

FP_OPERAND = re.compile(r"%(?:[xyz]mm\d+|mm[0-7]|st\b|k[0-7]\b)")
FP_MNEMONIC = re.compile(
    r"^(?:x(?:save|rstor)\w*|f(?:x(?:save|rstor)\w*|n?\w+)|emms|v?ldmxcsr|"
    r"v?stmxcsr|vzero\w+|wait)$")


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True,
                          text=True).stdout


def undefined(archive, nm):
    defined, wanted = set(), set()
    for line in run(nm, archive).splitlines():
        f = line.split()
        if len(f) == 2 and f[0] in "Uw":
            wanted.add(f[1])
        elif len(f) == 3:
            defined.add(f[2])
    return wanted - defined


def fp_instructions(archive, objdump):
    function = "?"
    for line in run(objdump, "-d", "--no-show-raw-insn", archive).splitlines():
        m = re.match(r"^[0-9a-f]+ <([^>]+)>:$", line)
        if m:
            function = re.sub(r"\.(?:cold|part|isra|constprop).*$", "",
                              m.group(1))
            continue
        f = line.split("\t", 1)
        if len(f) != 2 or not f[1].strip():
            continue
        mnemonic, _, operands = f[1].strip().partition(" ")
        operands = operands.split("#")[0].split("<")[0]
        if FP_MNEMONIC.match(mnemonic) or FP_OPERAND.search(operands):
            yield function, f[1].strip()


def main():
    archive, nm, objdump = sys.argv[1:4]
    bad = ["%s: called from general-register code, not on the list" % s
           for s in sorted(undefined(archive, nm) - OUTSIDE)]
    seen = set()
    for function, text in fp_instructions(archive, objdump):
        seen.add(function)
        if function not in FP_FUNCTIONS:
            bad.append("%s: uses an FP register: %s" % (function, text))
    # When those are not found, this script does not see what it looks for.
    bad += ["%s: no FP instruction found" % f
            for f in sorted(FP_FUNCTIONS - seen)]
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
