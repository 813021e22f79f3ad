#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What options do to the running program, as the host sees it: the affinity and
names of threads, wired memory and core dumps, HLT, strict ports and MSRs, the
counters, the most processors.

usage: host.py PROGRAM PAYLOAD [TEST ...]

Everything is read from /proc/PID.  Writes TAP.
"""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

from machine import (ENGINE, GUEST_MB, Machine, TIMEOUT, heard, need,
                     run_tests)

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


def wait_for_threads(m, names):
    """A thread has its name once it runs."""
    end = time.monotonic() + TIMEOUT
    while not names <= set(threads(m)):
        need(time.monotonic() < end, f"{set(threads(m))}")
        time.sleep(0.01)


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
    """Threads "vcpu N", each once it can run; the process by its machine."""
    with start("-c", "3") as m:
        names = set(threads(m))
        need("vcpu 0" in names, f"{names}")
        # KVM itself keeps a processor that waits to be started, in its thread.
        if ENGINE == "kvm":
            wait_for_threads(m, {"vcpu 1", "vcpu 2"})
        else:
            need("vcpu 1" not in names, f"{names}")
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
    if ENGINE == "kvm" and os.getuid() == 0 and os.stat("/dev/kvm").st_mode & 6 != 6:
        return "/dev/kvm lets no ordinary user in"
    # An unprivileged user may not be able to reach the program's folder.
    with open(program, "rb") as p, open(payload, "rb") as k:
        run = subprocess.run(
            [f"/proc/self/fd/{p.fileno()}", "-E", ENGINE, "-m", "32M", "-S",
             "--kernel", f"/proc/self/fd/{k.fileno()}", "vm"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
            check=False, pass_fds=(p.fileno(), k.fileno()),
            preexec_fn=give_up_locking)
    want = (b"bhyve: -S: wiring 32 MB of guest memory: mlock (ulimit -l): "
            b"Cannot allocate memory\n")
    need((run.returncode, run.stdout, heard(run.stderr)) == (4, b"", want),
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


def test_msr_flood():
    """A guest that touches an unknown MSR all the time does not fill the log."""
    with start("-w") as m:
        need(m.ask(b"M") == "done", "not done")
        lines = m.end(1).splitlines()
        need(0 < len(lines) <= 21, f"{len(lines)} lines")


def test_msr_verbose():
    with start("-w", "-o", "x86.verbosemsr=true") as m:
        need(m.ask(b"M") == "done", "not done")
        lines = m.end(1).splitlines()
        need(len(lines) == 1000, f"{len(lines)} lines")


# --- -x and -a -------------------------------------------------------------

APIC_BSP, APIC_EXTD, APIC_EN = 1 << 8, 1 << 10, 1 << 11


def apic_base(*options):
    with start(*options) as m:
        base = int(m.ask(b"A"), 16)
        m.end(1)
    return base


def test_xapic():
    """IA32_APIC_BASE as the guest finds it (SDM 3A 10.4.4); the last of -x and -a counts."""
    for options in [], ["-a"], ["-x", "-a"]:
        need(apic_base(*options) == 0xfee00000 | APIC_EN | APIC_BSP, f"{options}")


def test_x2apic():
    for options in ["-x"], ["-a", "-x"]:
        need(apic_base(*options) ==
             0xfee00000 | APIC_EN | APIC_EXTD | APIC_BSP, f"{options}")


# --- -P --------------------------------------------------------------------


def pauses(*options):
    with start("-o", "stats=true", *options) as m:
        need(m.ask(b"P") == "done", "not done")
        said = m.end(1)
    return counters(said)[0]["number of times pause was intercepted"], said


def test_pause():
    """KVM keeps its PAUSE exits to itself, and -P says so."""
    count, said = pauses("-P")
    need(count == (0 if ENGINE == "kvm" else 1000), f"{count}")
    need(("engine kvm does not count PAUSE instructions" in said) ==
         (ENGINE == "kvm"), f"{said[:200]!r}")


def test_no_pause():
    count, said = pauses()
    need(count == 0 and "PAUSE" not in said, f"{count}: {said[:200]!r}")


# --- -H and HLT ------------------------------------------------------------


def thread_states(m, name, samples=50):
    """The state letters a thread is seen in, 10 ms apart."""
    base = f"/proc/{m.process.pid}/task"
    (tid,) = (t for t in os.listdir(base)
              if status_of(f"{base}/{t}/status")["Name"] == name)
    states = set()
    for _ in range(samples):
        time.sleep(0.01)
        states.add(status_of(f"{base}/{tid}/status")["State"][0])
    return states


def halted_states(*options):
    """How vCPU 0's thread looks while the guest waits in HLT, IF set."""
    with start(*options) as m:
        need(m.ask(b"H") == "halting", "no answer")
        time.sleep(0.2)
        states = thread_states(m, "vcpu 0")
        m.process.send_signal(signal.SIGTERM)
        m.process.wait(TIMEOUT)
        need(m.process.returncode == 1, f"status {m.process.returncode}")
    return states


def test_hlt_sleeps():
    """A halted vCPU costs nothing: it sleeps, with -H and without."""
    for options in (), ("-H",), ("-o", "x86.vmexit_on_hlt=true"):
        states = halted_states(*options)
        need(states == {"S"}, f"{options}: {states}")


def test_hlt_keeps_the_core():
    states = halted_states("-o", "x86.vmexit_on_hlt=false")
    need(states == {"R"}, f"{states}")


def test_hlt_for_good():
    """All halted with interrupts disabled is status 2, however they wait."""
    for options in (), ("-H",), ("-o", "x86.vmexit_on_hlt=false"):
        with start("-c", "2", *options) as m:
            start_others(m, 1)
            said = m.end(2, b"h")
            need(said == "", f"{options}: {said!r}")


# --- port 0x488 ------------------------------------------------------------


def test_host_notify():
    with start("-o", "host_notify=true", "-o", "stats=true") as m:
        need(m.ask(b"s") == "done", "not done")
        said = m.end(1)
        marks = re.findall(r"^bhyve: (\d+\.\d{6}) s: vcpu 0 notifies (0x[0-9a-f]+)$",
                           said, re.M)
        need([mark[1] for mark in marks] == ["0x12", "0x3456", "0x789abcde"],
             f"{said!r}")
        times = [float(mark[0]) for mark in marks]
        need(times == sorted(times) and times[0] > 0, f"{times}")
        need(counters(said)[0]["host notifications by port 0x488"] == 3,
             f"{said!r}")


def test_host_notify_silent():
    """Without the key it is bhyve's hook that does nothing."""
    with start() as m:
        need(m.ask(b"s") == "done", "not done")
        need(m.end(1) == "", "something was said")


# --- counters --------------------------------------------------------------


def counters(text):
    """vm_print_stats()'s text: a dictionary for each vCPU."""
    vcpus = []
    for line in text.splitlines():
        if re.fullmatch(r"vcpu\d+", line):
            need(line == f"vcpu{len(vcpus)}", f"{line!r}")
            vcpus.append({})
        elif "\t" in line and vcpus:
            name, value = line.split("\t")
            vcpus[-1][name.rstrip()] = int(value)
    return vcpus


# Names of bhyve (docs/bhyve.md 2.6) for what every engine counts.
BHYVE_COUNTERS = """total number of vm exits
vm exits due to external interrupt
number of times hlt was intercepted
number of times %cr access was intercepted
number of times rdmsr was intercepted
number of times wrmsr was intercepted
number of monitor trap exits
number of times pause was intercepted
vm exits due to interrupt window opening
vm exits due to nmi window opening
number of times in/out was intercepted
number of times cpuid was intercepted
vm exits for instruction emulation
number of vm exits for unknown reason
number of vm exits handled in userspace
number of vm exits due to exceptions
EOI without any in-service interrupt
error interrupts generated by vlapic
timer interrupts generated by vlapic
vcpu total runtime
number of ticks vcpu was idle
number of NMIs delivered to vcpu
number of ExtINTs delivered to vcpu""".splitlines()


def test_counters():
    with start("-c", "2", "-w", "-o", "stats=true") as m:
        start_others(m, 1)
        m.ask(b"m")
        vcpus = counters(m.end(1))
        need(len(vcpus) == 2, f"{len(vcpus)} vCPUs")
        for vcpu in vcpus:
            missing = [n for n in BHYVE_COUNTERS if n not in vcpu]
            need(not missing, f"missing: {missing}")
        first, second = vcpus
        need(first["number of times rdmsr was intercepted"] == 1, f"{first}")
        need(first["number of times in/out was intercepted"] > 100, f"{first}")
        need(first["total number of vm exits"] >
             first["number of times in/out was intercepted"], f"{first}")
        for vcpu in vcpus:
            need(0 < vcpu["vcpu total runtime"] < 60e9, f"{vcpu}")
        need(second["number of times hlt was intercepted"] >= 1, f"{second}")
        need(second["number of times rdmsr was intercepted"] == 0, f"{second}")


def test_show_vcpus():
    """SIGUSR1: a line a vCPU, and the machine goes on."""
    with start("-c", "3") as m:
        start_others(m, 2)
        m.process.send_signal(signal.SIGUSR1)
        lines = [m.err.line() for _ in range(3)]
        state = r"rip 0x[0-9a-f]+, [\d.]+( [kMGT])? exits"
        # Nobody but KVM knows which of its processors are halted.
        idle = "halted" if ENGINE == "soft" else "running"
        for i, word in enumerate(("running", idle, idle)):
            need(re.match(rf"bhyve: vcpu {i}: {word}, {state}", lines[i]),
                 lines[i])
        m.is_alive()
        m.end(1)


# --- the most processors ---------------------------------------------------


def test_64_cpus():
    """All of them start, run and end.  (65 are refused: options-bad.cases)"""
    with start("-c", "64") as m:
        start_others(m, 63)
        names = set(threads(m))
        missing = {f"vcpu {i}" for i in range(64)} - names
        need(not missing, f"no threads {missing}")
        m.end(1)


def test_multiboot():
    """The same guest by the Multiboot specification: it says "ready" only when the
    loader's magic and its word of memory are there."""
    with Machine(program, payload.replace(".elf", "-mb.elf")) as m:
        m.is_alive()
        m.end(1)


def test_boot_sector():
    """And as a boot sector with its next stage behind it, from real mode on."""
    with Machine(program, payload.replace(".elf", "-bs.bin"), "-c", "2") as m:
        m.is_alive()
        start_others(m, 1)
        m.end(1)


def run_sector(code):
    """A boot sector of these bytes and nops, to its end."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(code.ljust(510, b"\x90") + b"\x55\xaa")
        f.flush()
        run = subprocess.run(
            [program, "-E", ENGINE, "-m", "32M", "-s", "31,lpc", "-l",
             "com1,stdio", "--kernel", f.name, "vm"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
            check=False)
    return run


def test_no_bios():
    """A boot sector that asks the BIOS is told that there is none."""
    run = run_sector(b"\xb8\x41\x0e\xcd\x10")      # mov $0x0e41, %ax; int $0x10
    need((run.returncode, run.stdout, heard(run.stderr)) ==
         (2, b"\r\nbhyve: no BIOS serves this interrupt\r\n", b""),
         f"{run.returncode} {run.stdout!r} {run.stderr!r}")


def test_reset_vector():
    """Where a BIOS starts the machine anew is what resets it."""
    run = run_sector(b"\xea\xf0\xff\x00\xf0")      # ljmp $0xf000, $0xfff0
    need((run.returncode, run.stdout, heard(run.stderr)) == (0, b"", b""),
         f"{run.returncode} {run.stdout!r} {run.stderr!r}")


TESTS = {
    "a boot sector": test_boot_sector,
    "a boot sector without a BIOS": test_no_bios,
    "a boot sector that jumps to the reset vector": test_reset_vector,
    "a Multiboot kernel": test_multiboot,
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
    "-w: a flood of MSR accesses": test_msr_flood,
    "-o x86.verbosemsr=true": test_msr_verbose,
    "no -x, or -a: xAPIC mode": test_xapic,
    "-x: x2APIC mode": test_x2apic,
    "-P counts PAUSE": test_pause,
    "no -P: nothing is counted": test_no_pause,
    "HLT sleeps": test_hlt_sleeps,
    "HLT keeps the core": test_hlt_keeps_the_core,
    "HLT for good": test_hlt_for_good,
    "host notify": test_host_notify,
    "host notify without the key": test_host_notify_silent,
    "counters": test_counters,
    "SIGUSR1": test_show_vcpus,
    "64 vCPUs": test_64_cpus,
}

run_tests(TESTS, sys.argv[3:])
