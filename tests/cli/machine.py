# SPDX-License-Identifier: BSD-2-Clause
"""bhyve with the guest of payload.S, spoken to over com1: for tests that look
at the program from outside.  com1 is a pseudo-terminal of its own, standard
input, output and error are pipes."""

import os
import pty
import re
import select
import subprocess
import sys
import time
import tty

# A size that no other mapping of the program has.
GUEST_MB = 37
TIMEOUT = 60
# tests/kvm/suite.py runs the same tests on engine kvm.
ENGINE = os.environ.get("TEST_ENGINE", "soft")


class Failure(Exception):
    pass


def need(cond, why):
    if not cond:
        raise Failure(why)


def heard(error):
    """Standard error, but for what -E kvm says where KVM emulates ring 0."""
    return re.sub(rb"bhyve: engine kvm: this KVM emulates, .*\n", b"", error)


class Stream:
    """What comes out of a descriptor, waited for."""

    def __init__(self, fd):
        self.fd = fd
        self.seen = b""

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        data = os.read(self.fd, 65536)
        self.seen = heard(self.seen + data)
        return bool(data)

    def take(self, count, seconds=TIMEOUT):
        """Exactly that many bytes."""
        end = time.monotonic() + seconds
        while len(self.seen) < count:
            left = end - time.monotonic()
            need(left > 0 and self.read(left),
                 f"{len(self.seen)} of {count} bytes: {self.seen[-80:]!r}")
        data, self.seen = self.seen[:count], self.seen[count:]
        return data

    def line(self, seconds=TIMEOUT):
        end = time.monotonic() + seconds
        while b"\n" not in self.seen:
            left = end - time.monotonic()
            need(left > 0 and self.read(left), f"no line: {self.seen[-80:]!r}")
        data, self.seen = self.seen.split(b"\n", 1)
        return data.rstrip(b"\r").decode()

    def silent(self, seconds):
        need(not self.seen and not self.read(seconds),
             f"unexpected: {self.seen[:80]!r}")


class Machine:
    def __init__(self, program, payload, *options, engine=ENGINE, **popen):
        self.com1, slave = pty.openpty()
        tty.setraw(slave)
        self.slave = slave  # stays open: the terminal must not hang up
        self.process = subprocess.Popen(
            [program, "-E", engine, "-m", f"{GUEST_MB}M", "-s", "31,lpc", "-l",
             "com1," + os.ttyname(slave), "--kernel", payload, *options, "vm"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **popen)
        self.out = Stream(self.process.stdout.fileno())
        self.err = Stream(self.process.stderr.fileno())
        self.console = Stream(self.com1)
        try:
            need(self.console.line() == "ready", "no guest")
        except Failure:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for f in (self.process.stdin, self.process.stdout,
                  self.process.stderr):
            f.close()
        os.close(self.com1)
        os.close(self.slave)

    def send(self, data):
        os.write(self.com1, data)

    def ask(self, command):
        """One command's answer of one line."""
        self.send(command)
        return self.console.line()

    def is_alive(self):
        """The vCPU goes on: it answers within moments."""
        self.send(b"z")
        need(self.console.take(1) == b"z", "the guest does not answer")

    def end(self, status, command=b"p"):
        """Ends; what was said on standard error."""
        self.send(command)
        self.process.wait(TIMEOUT)
        said = self.said()
        need(self.process.returncode == status,
             f"status {self.process.returncode}, not {status}; {said!r}")
        return said

    def said(self):
        """All of standard error, once the program ended."""
        self.err.seen = heard(self.err.seen + self.process.stderr.read())
        return self.err.seen.decode()


def run_tests(tests, names):
    """Writes TAP; a test that cannot run here returns why."""
    names = names or list(tests)
    print(f"1..{len(names)}")
    bad = 0
    for number, name in enumerate(names, 1):
        try:
            skip = tests[name]()
            print(f"ok {number} - {name}" + (f" # SKIP {skip}" if skip else ""),
                  flush=True)
        except (Failure, subprocess.TimeoutExpired, OSError) as e:
            print(f"not ok {number} - {name}\n#   {e}", flush=True)
            bad += 1
    sys.exit(bad != 0)
