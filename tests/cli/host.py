#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What options do to the running program, as the host sees it: the affinity and
names of threads, wired memory and core dumps, strict ports and MSRs, the most
processors.

usage: host.py PROGRAM PAYLOAD [TEST ...]

Everything is read from /proc/PID.  Writes TAP.
"""

import os
import re
import resource
import subprocess
import sys
import time

from machine import GUEST_MB, Machine, TIMEOUT, need, run_tests

MB = 1 << 20
GUEST_BYTES = GUEST_MB * MB

program, payload = (os.path.abspath(a) for a in sys.argv[1:3])


def start(*options, **popen):
    return Machine(program, payload, *options, **popen)


# --- /proc -----------------------------------------------------------------


def status_of(path):
    """A /proc/.../status file as a dictionary."""
    with open(path, encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


def threads(m):
    """Name to status, of every thread."""
    base = f"/proc/{m.process.pid}/task"
    all_of = [status_of(f"{base}/{task}/status") for task in os.listdir(base)]
    return {status["Name"]: status for status in all_of}


def start_others(m, count):
    """All other processors; until they all ran their first instructions."""
    m.send(b"n")
    end = time.monotonic() + TIMEOUT
    while int(m.ask(b"k"), 16) != count:
        need(time.monotonic() < end, f"{m.ask(b'k')} came, not {count:04x}")


def host_cpus():
    return sorted(os.sched_getaffinity(0))


def cpu_list(status):
    """Cpus_allowed_list ("0-2,5") as a set."""
    cpus = set()
    for part in status["Cpus_allowed_list"].split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def guest_ram(m):
    """The flags of the mappings that are the guest's memory (smaps)."""
    found, size = [], 0
    with open(f"/proc/{m.process.pid}/smaps", encoding="utf-8") as f:
        for line in f:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if head:
                size = int(head[2], 16) - int(head[1], 16)
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                size = 0
            elif line.startswith("VmFlags:") and size == GUEST_BYTES:
                found.append(line.split()[1:])
    need(len(found) == 1, f"{len(found)} mappings of the guest's size")
    return found[0]


# --- -p --------------------------------------------------------------------


def test_pin_none():
    """Without -p every vCPU may run wherever the program may."""
    with start("-c", "2") as m:
        start_others(m, 1)
        for name in "vcpu 0", "vcpu 1":
            cpus = cpu_list(threads(m)[name])
            need(cpus == set(host_cpus()), f"{name}: {cpus}")
        m.end(1)


def test_pin_one():
    """-p VCPU:CPU binds that one only."""
    cpu = host_cpus()[-1]
    with start("-c", "2", "-p", f"1:{cpu}") as m:
        start_others(m, 1)
        all_of = threads(m)
        need(cpu_list(all_of["vcpu 1"]) == {cpu}, all_of["vcpu 1"])
        need(cpu_list(all_of["vcpu 0"]) == set(host_cpus()), "vcpu 0 is bound")
        m.end(1)
    return "one host CPU: bound or not is the same" \
        if len(host_cpus()) == 1 else None


def test_pin_each():
    cpus = host_cpus()
    pins = [cpus[-1], cpus[0], cpus[-1]]
    options = [word for i, cpu in enumerate(pins)
               for word in ("-p", f"{i}:{cpu}")]
    with start("-c", "3", *options) as m:
        start_others(m, 2)
        all_of = threads(m)
        for i, cpu in enumerate(pins):
            need(cpu_list(all_of[f"vcpu {i}"]) == {cpu}, f"vcpu {i}")
        m.end(1)


def test_pin_base():
    """-p CPU: vCPU 0 there, the others on the following ones."""
    cpus = host_cpus()
    if len(cpus) < 2 or cpus[1] != cpus[0] + 1:
        return "no two host CPUs with numbers in a row"
    with start("-c", "2", "-p", str(cpus[0])) as m:
        start_others(m, 1)
        all_of = threads(m)
        for i in range(2):
            need(cpu_list(all_of[f"vcpu {i}"]) == {cpus[i]}, f"vcpu {i}")
        m.end(1)
    return None


def test_pin_only_vcpus():
    """The event loop's thread stays free."""
    cpus = host_cpus()
    with start("-p", f"0:{cpus[0]}") as m:
        status = status_of(f"/proc/{m.process.pid}/status")
        need(cpu_list(status) == set(cpus), status["Cpus_allowed_list"])
        m.end(1)


# --- names -----------------------------------------------------------------


def test_names():
    """Threads "vcpu N", each only once it runs; the process by its machine."""
    with start("-c", "3") as m:
        names = set(threads(m))
        need("vcpu 0" in names and "vcpu 1" not in names, f"{names}")
        start_others(m, 2)
        names = set(threads(m))
        need({"vcpu 0", "vcpu 1", "vcpu 2"} <= names, f"{names}")
        with open(f"/proc/{m.process.pid}/comm", encoding="utf-8") as f:
            comm = f.read()
        need(comm == "bhyve: vm\n", f"comm is {comm!r}")
        m.end(1)


# --- -S --------------------------------------------------------------------


def locked_kb(m):
    return int(status_of(f"/proc/{m.process.pid}/status")["VmLck"].split()[0])


def test_not_wired():
    with start() as m:
        need(locked_kb(m) == 0, f"{locked_kb(m)} kB are locked")
        need("lo" not in guest_ram(m), "the guest's memory is locked")
        m.end(1)


def locking_is_intercepted():
    """The sanitizers' runtime replaces mlock() by nothing."""
    with open(program, "rb") as f:
        code = f.read()
    if any(name in code for name in (b"__asan_init", b"__tsan_init")):
        return "a sanitizer swallows mlock()"
    return None


def test_wired():
    """All of the guest's memory is locked and present."""
    if why := locking_is_intercepted():
        return why
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and hard != resource.RLIM_INFINITY and \
            hard < 2 * GUEST_BYTES:
        return f"the limit on locked memory is {hard}"

    def raise_limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))

    with start("-S", preexec_fn=raise_limit) as m:
        need(locked_kb(m) * 1024 >= GUEST_BYTES, f"{locked_kb(m)} kB locked")
        need("lo" in guest_ram(m), "the guest's memory is not locked")
        m.end(1)
    return None


def give_up_locking():
    """A limit, and no privilege that overrides it."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 << 10, 64 << 10))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_wired_refused():
    """The limit is the host's refusal: status 4, one line, with the way out."""
    if why := locking_is_intercepted():
        return why
    # An unprivileged user may not be able to reach the program's folder.
    with open(program, "rb") as p, open(payload, "rb") as k:
        run = subprocess.run(
            [f"/proc/self/fd/{p.fileno()}", "-E", "soft", "-m", "32M", "-S",
             "--kernel", f"/proc/self/fd/{k.fileno()}", "vm"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
            check=False, pass_fds=(p.fileno(), k.fileno()),
            preexec_fn=give_up_locking)
    want = (b"bhyve: -S: wiring 32 MB of guest memory: mlock (ulimit -l): "
            b"Cannot allocate memory\n")
    need((run.returncode, run.stdout, run.stderr) == (4, b"", want),
         f"{run.returncode} {run.stdout!r} {run.stderr!r}")


# --- -C --------------------------------------------------------------------


def test_not_in_core():
    """A core dump of ours does not hold the guest's secrets."""
    with start() as m:
        need("dd" in guest_ram(m), "the guest's memory would be dumped")
        m.end(1)


def test_in_core():
    with start("-C") as m:
        need("dd" not in guest_ram(m), "the guest's memory is not dumped")
        m.end(1)


# --- -e and -w -------------------------------------------------------------


def test_lax_ports():
    """Without -e a port that nobody has reads all ones, without a word."""
    with start() as m:
        need(m.ask(b"u") == "ffffffff", "not all ones")
        said = m.end(1)
        need(said == "", f"{said!r}")


def test_strict_ports():
    with start("-e") as m:
        m.is_alive()  # ports with an owner are as before
        said = m.end(4, b"u").splitlines()
        need(re.fullmatch(r"bhyve: Unhandled inl 0x5678 at rip 0x1[0-9a-f]{5} "
                          r"\(vcpu 0\)", said[0]), f"{said}")
        # IN EAX, DX is one byte, ED.
        need(re.fullmatch(r"bhyve: vcpu 0: instruction at 0x1[0-9a-f]{5}: ed .*",
                          said[1]) and len(said) == 2, f"{said}")


def test_strict_msrs():
    """Without -w: #GP, which this guest has no handler for."""
    with start() as m:
        said = m.end(3, b"m")
        need(said.splitlines()[0] ==
             "bhyve: msr: rdmsr to register 0xdeadbeef on vcpu 0", f"{said!r}")


def test_lax_msrs():
    with start("-w") as m:
        answer = m.ask(b"m")
        need(answer == "00000000", f"it read {answer}")
        said = m.end(1)
        need(said == "bhyve: msr: rdmsr to register 0xdeadbeef on vcpu 0\n",
             f"{said!r}")


# --- the most processors ---------------------------------------------------


def test_64_cpus():
    """All of them start, run and end.  (65 are refused: options-bad.cases)"""
    with start("-c", "64") as m:
        start_others(m, 63)
        names = set(threads(m))
        missing = {f"vcpu {i}" for i in range(64)} - names
        need(not missing, f"no threads {missing}")
        m.end(1)


TESTS = {
    "no -p: vCPUs are free": test_pin_none,
    "-p binds one vCPU": test_pin_one,
    "-p binds each": test_pin_each,
    "-p with one number": test_pin_base,
    "-p leaves the event loop alone": test_pin_only_vcpus,
    "names of threads and process": test_names,
    "no -S: nothing is locked": test_not_wired,
    "-S locks the guest's memory": test_wired,
    "-S refused by the limit": test_wired_refused,
    "no -C: guest memory is not dumped": test_not_in_core,
    "-C: guest memory is dumped": test_in_core,
    "no -e: ports of nobody": test_lax_ports,
    "-e: ports of nobody": test_strict_ports,
    "no -w: MSRs of nobody": test_strict_msrs,
    "-w: MSRs of nobody": test_lax_msrs,
    "64 vCPUs": test_64_cpus,
}

run_tests(TESTS, sys.argv[3:])
