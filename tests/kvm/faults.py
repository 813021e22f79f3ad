#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""/dev/kvm refuses each request in turn, memory ends, processors are too many.

usage: faults.py [--all] PROGRAM PAYLOAD SHIM [TEST ...]

First bhyve runs with nothing broken: it starts a second processor, resets, obeys a
debugger and powers off, while the library SHIM (fail_ioctl.c) notes what it asks of
the kernel.  Then each of these requests fails once, at its first and at its last call.
Every time there must be one line that names the request, status 4 (or a run as if
nothing had been, for what is listed as optional here), the terminal as it was,
and no process, file or socket left.  Each failure has one error of four, with --all each
has all.  Needs a /dev/kvm, however slow; writes TAP.
"""

import argparse
import concurrent.futures
import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ports import free_port  # noqa: E402

TIMEOUT = 120
ERRORS = [errno.ENOMEM, errno.EINVAL, errno.EIO, errno.EFAULT]
KVM_RUN = 0xae80

# What bhyve can do without, and why.
OPTIONAL = {
    "KVM_CHECK_EXTENSION": "a capability that cannot be asked for is absent",
    "KVM_SET_TSS_ADDR": "the probe goes without",
    "KVM_SET_IDENTITY_MAP_ADDR": "only Intel's processors need it",
    "KVM_GET_TSC_KHZ": "the rate is then not told to the guest",
    "KVM_GET_MP_STATE": "watch.c: asked again a second later",
    "KVM_GET_VCPU_EVENTS": "watch.c: asked again a second later",
    "KVM_GET_STATS_FD": "our own counters are all there is",
    "KVM_REGISTER_COALESCED_MMIO": "each of these writes is an exit",
    "KVM_UNREGISTER_COALESCED_MMIO": "a write of nobody's comes later",
    "KVM_GET_DEVICE_ATTR": "the guest sees that time passed",
    "KVM_SET_DEVICE_ATTR": "the guest sees that time passed",
    # A debugger is told; the machine goes on.
    "KVM_SET_GUEST_DEBUG": "the debugger gets an error",
    "KVM_TRANSLATE": "the debugger gets an error",
    "KVM_GET_XSAVE": "the debugger gets an error",
    "KVM_SET_XSAVE": "the debugger gets an error",
    "KVM_GET_XCRS": "the debugger gets an error",
    "KVM_GET_DEBUGREGS": "the debugger gets an error",
    "KVM_SET_DEBUGREGS": "the debugger gets an error",
    "KVM_GET_SREGS": "the debugger gets an error",
    "KVM_GET_REGS": "the debugger gets an error",
}
# With that error alone.
OPTIONAL_ERROR = {
    ("KVM_SET_XCRS", errno.EINVAL): "a processor without XSAVE has no XCR0",
    ("KVM_SIGNAL_MSI", errno.EINVAL): "a message that the guest got wrong",
}


class Failure(Exception):
    pass


def need(cond, why):
    if not cond:
        raise Failure(why)


def request_names():
    """(direction, number) to names, from the kernel's header; without those of
    other architectures, which have the same numbers."""
    directions = {"_IO": 0, "_IOW": 1, "_IOR": 2, "_IOWR": 3}
    names = {}
    with open("/usr/include/linux/kvm.h", encoding="utf-8") as f:
        for name, macro, number in re.findall(
                r"#define\s+(KVM_\w+)[\s\\]+(_IO[WR]*)\(\s*KVMIO,\s*(0x[0-9a-f]+)",
                f.read()):
            if not re.match("KVM_(PPC|S390|ARM|RISCV|XEN|CREATE_SPAPR)", name):
                key = directions[macro], int(number, 16)
                names.setdefault(key, []).append(name)
    return names


NAMES = request_names()


def names_of(request):
    """Some differ in their argument's size alone."""
    return NAMES.get((request >> 30, request & 0xff), [f"{request:#x}"])


def name_of(request):
    return " or ".join(names_of(request))


class Debugger:
    """As much of gdb's protocol as it takes to make each request."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.s.settimeout(30)

    def ask(self, data):
        sum_ = sum(data.encode()) & 0xff
        self.s.sendall(f"${data}#{sum_:02x}".encode())
        seen = b""
        while not re.search(rb"\$[^#]*#..$", seen):
            got = self.s.recv(65536)
            if not got:
                raise ConnectionError("the debugger's connection ended")
            seen += got
        self.s.sendall(b"+")
        return seen[seen.index(b"$") + 1:-3].decode()

    def leave(self):
        try:
            self.ask("D")
        finally:
            self.s.close()


class Run:
    """bhyve at a terminal, in a folder of its own, with a broken KVM."""

    def __init__(self, opts, cpus=2, **shim):
        self.opts = opts
        self.folder = tempfile.TemporaryDirectory(prefix="faults-")
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.port = free_port()
        self.console = b""
        env = dict(os.environ, LD_PRELOAD=opts.shim, TERM="xterm",
                   TMPDIR=self.folder.name,
                   **{"KVM_SHIM_" + k: str(v) for k, v in shim.items()})
        self.process = subprocess.Popen(
            [opts.program, "-E", "kvm", "-c", str(cpus), "-m", "32M", "-s",
             "0,hostbridge", "-s", "31,lpc", "-l", "com1,stdio", "-G",
             str(self.port), "-o", "restart_on_reset=true", "--kernel",
             opts.payload, "vm"],
            stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE,
            cwd=self.folder.name, env=env, preexec_fn=self.own_terminal)
        self.said = b""
        self.reader = threading.Thread(target=self.read_said, daemon=True)
        self.reader.start()

    @staticmethod
    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read_said(self):
        while data := self.process.stderr.read1(65536):
            self.said += data

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.console += os.read(self.master, 65536)

    def expect(self, text):
        """False when the program ended instead."""
        end = time.monotonic() + TIMEOUT
        while text not in self.console:
            need(time.monotonic() < end,
                 f"no {text!r} in {self.console[-200:]!r}; {self.lines()}")
            ended = self.process.poll() is not None
            self.read(0.1)
            if ended and text not in self.console:
                return False
        self.console = self.console.split(text, 1)[1]
        return True

    def send(self, data):
        os.write(self.master, data)

    def debug(self):
        """A debugger comes, looks at everything, steps and leaves."""
        try:
            d = Debugger(self.port)
        except OSError:
            return
        try:
            registers = d.ask("g")
            d.ask("G" + registers)
            rip = registers[256:272]
            address = int.from_bytes(bytes.fromhex(rip), "little") \
                if re.fullmatch(r"[0-9a-f]{16}", rip) else 0x100000
            d.ask(f"m{address:x},10")
            d.ask("Z1,1,1")
            d.ask("s")
            d.ask("z1,1,1")
            d.leave()
        except (OSError, ConnectionError):
            pass        # it ended; status() looks how

    def work(self):
        """All that a run does; cut short when the program ends."""
        if not self.expect(b"ready\r\n"):
            return
        self.send(b"n")
        self.debug()
        self.send(b"z")
        if not self.expect(b"z"):
            return
        self.send(b"r")
        if not self.expect(b"ready\r\n"):
            return
        self.send(b"p")

    def lines(self):
        """But for what -E kvm says where KVM emulates ring 0."""
        return [s for s in self.said.decode("utf-8", "replace").splitlines()
                if "this KVM emulates" not in s]

    def end(self):
        """Its status, after all that must be true at any end."""
        end = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            need(time.monotonic() < end, f"still running; {self.lines()}")
            self.read(0.05)
        self.reader.join(5)
        status = self.process.returncode
        need(status >= 0, f"died of signal {-status}; {self.lines()}")
        need(termios.tcgetattr(self.slave) == self.before,
             "the terminal is not as it was")
        left = os.listdir(self.folder.name)
        need(not left, f"left behind: {left}")
        try:
            os.killpg(self.process.pid, 0)
            raise Failure("a process is left")
        except ProcessLookupError:
            pass
        with socket.socket() as s:
            need(s.connect_ex(("127.0.0.1", self.port)) != 0, "still listens")
        return status

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join(5)
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)
        self.folder.cleanup()


def run(opts, **shim):
    """(status, lines of standard error) of one run."""
    r = Run(opts, **shim)
    try:
        r.work()
        return r.end(), r.lines()
    finally:
        r.close()


# --- the tests --------------------------------------------------------------


def reference(opts):
    """What a run asks for: request to the number of calls (up to some)."""
    with tempfile.NamedTemporaryFile(mode="r", prefix="faults-log-") as log:
        status, lines = run(opts, LOG=log.name)
        need(status == 1, f"status {status} with nothing broken: {lines}")
        calls = {}
        for line in log:
            request = int(line, 16)
            calls[request] = calls.get(request, 0) + 1
    return calls


def one_line(lines, name, text):
    """Exactly one line names the request and the error; few others."""
    naming = [s for s in lines if re.search(name, s)]
    need(len(naming) == 1 and text in naming[0],
         f"{len(naming)} lines name {name} and {text!r}: {lines}")
    others = [s for s in lines if not s.startswith("bhyve: gdb: ")]
    need(len(others) <= 4, f"too much is said: {lines}")


def refuse(opts, request, n, error):
    names = names_of(request)
    status, lines = run(opts, FAIL=f"{request:#x},{n},{error}")
    if status == 1 and any(name in OPTIONAL or (name, error) in OPTIONAL_ERROR
                           for name in names):
        return "carries on"
    if status == 1 and any(re.match(
            f"bhyve: kvm: trying breakpoints: ({'|'.join(names)}): ", s)
            for s in lines):
        return "goes without breakpoints"
    need(status == 4, f"status {status}, not 4: {lines}")
    one_line(lines, "|".join(names), os.strerror(error))
    return None


def run_area(opts, n):
    status, lines = run(opts, MMAP=f"0,{errno.ENOMEM},{n}")
    need(status == 4, f"status {status}: {lines}")
    one_line(lines, "mmap", os.strerror(errno.ENOMEM))


def guest_memory(opts):
    status, lines = run(opts, MMAP=f"{32 << 20},{errno.ENOMEM},1")
    need(status == 4, f"status {status}: {lines}")
    need(any("memory" in s.lower() for s in lines), f"{lines}")


def processors(opts):
    """KVM_CAP_MAX_VCPUS is 66."""
    status, lines = run(opts, cpus=3, CAP="66,2")
    need(status == 4, f"status {status}: {lines}")
    need(any("2 virtual CPUs" in s for s in lines), f"{lines}")


def no_calloc(opts, request):
    """Memory ends after that request; or nobody wanted any there."""
    status, lines = run(opts, CALLOC=f"{request:#x}")
    if status == 1:
        return "no memory was wanted"
    need(status == 4, f"status {status}: {lines}")
    # EAGAIN is a thread's word for it.
    need(any("memory" in s or os.strerror(errno.EAGAIN) in s for s in lines),
         f"{lines}")
    return None


def cases(opts):
    calls = reference(opts)
    at = 0
    for request, count in sorted(calls.items()):
        for n in sorted({1, count}):
            errors = ERRORS if opts.all else [ERRORS[at % len(ERRORS)]]
            at += 1
            for e in errors:
                yield (f"{name_of(request)} call {n} {errno.errorcode[e]}",
                       refuse, (request, n, e))
    yield "the probe's area shared with the kernel", run_area, (1,)
    yield "a processor's area shared with the kernel", run_area, (3,)
    yield "guest memory", guest_memory, ()
    yield "too many processors", processors, ()
    for request in sorted(calls):
        yield f"calloc after {name_of(request)}", no_calloc, (request,)


def try_one(opts, name, fn, args):
    try:
        note = fn(opts, *args)
        return True, name + (f"\n#   {note}" if note else "")
    except (Failure, OSError, subprocess.SubprocessError) as e:
        return False, f"{name}\n#   {e}"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--all", action="store_true")
    p.add_argument("program", type=os.path.abspath)
    p.add_argument("payload", type=os.path.abspath)
    p.add_argument("shim", type=os.path.abspath)
    p.add_argument("tests", nargs="*")
    opts = p.parse_args()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no /dev/kvm")
        return 0
    try:
        todo = [c for c in cases(opts) if not opts.tests or
                any(t in c[0] for t in opts.tests)]
    except Failure as e:
        print(f"1..1\nnot ok 1 - with nothing broken\n#   {e}")
        return 1
    print(f"1..{len(todo)}", flush=True)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda c: try_one(opts, *c), todo)
        for number, (good, text) in enumerate(results, 1):
            print(f"{'ok' if good else 'not ok'} {number} - {text}", flush=True)
            bad += not good
    return bad != 0


sys.exit(main())
