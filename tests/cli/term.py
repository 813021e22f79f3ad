#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""bhyve at a terminal: escape keys, signals, exit statuses, the status line.

usage: term.py PROGRAM PAYLOAD [TEST ...]

Each test runs bhyve with the guest of payload.S on a pseudo-terminal of its
own, and at the end the terminal must be as it was.  Writes TAP.
"""

import concurrent.futures
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

from machine import ENGINE, heard

TIMEOUT = 30
AT_ONCE = 3
CTRL_A = b"\x01"
ERASE = b"\x1b[K"
SILENCE = b"guest silent for"
LFLAG = 3

# A sanitizer takes SIGSEGV for a defect of the program, not for our test.
NO_SANITIZER_HANDLERS = {
    name: os.environ.get(name, "") + ":handle_segv=0:handle_abort=0"
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")}

program = payload = None


class Failure(Exception):
    pass


class Guest:
    """bhyve on a pseudo-terminal; what it printed is in self.seen."""

    def __init__(self, *options, stderr=None):
        self.seen = b""
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        args = [program, "-E", ENGINE, "-m", "32M", "-s", "0,hostbridge",
                "-s", "31,lpc", "-l", "com1,stdio", "--kernel", payload,
                *options, "vm"]
        self.process = subprocess.Popen(
            args, stdin=self.slave, stdout=self.slave,
            stderr=self.slave if stderr is None else stderr,
            env=dict(os.environ, TERM="xterm", **NO_SANITIZER_HANDLERS),
            preexec_fn=self.own_terminal)

    @staticmethod
    def own_terminal():
        """A session whose controlling terminal is the new one."""
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self, seconds):
        """Whatever comes within that time; False when nothing did."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        self.seen += os.read(self.master, 65536)
        return True

    def expect(self, text, seconds=TIMEOUT):
        """Waits for the text, and forgets everything up to its end."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or (not self.read(left) and
                             self.process.poll() is not None):
                raise Failure(f"{text!r} did not come; there is "
                              f"{self.seen[-300:]!r}")
        _, self.seen = self.seen.split(text, 1)

    def send(self, data):
        os.write(self.master, data)

    def signal(self, number):
        self.process.send_signal(number)

    def is_raw(self):
        lflag = termios.tcgetattr(self.slave)[LFLAG]
        return not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)

    def end(self, status):
        """Waits for the end; everything must be as it should."""
        end = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise Failure("still running")
            self.read(0.05)
        while self.read(0):
            pass
        if self.process.returncode != status:
            raise Failure(f"status {self.process.returncode}, expected "
                          f"{status}; it said {self.seen[-300:]!r}")
        if termios.tcgetattr(self.slave) != self.before:
            raise Failure("the terminal is not as it was")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        if self.master is not None:
            os.close(self.master)


def started(*options, **kw):
    g = Guest(*options, **kw)
    try:
        g.expect(b"ready\r\n")
        if not g.is_raw():
            raise Failure("the terminal is not raw while the guest runs")
    except BaseException:
        g.close()
        raise
    return g


def check_end(status, *steps):
    """A test: send bytes, signals (int), wait for ("text",); then the end."""
    def test():
        g = started()
        try:
            for step in steps:
                if isinstance(step, int):
                    g.signal(step)
                elif isinstance(step, tuple):
                    g.expect(step[0])
                else:
                    g.send(step)
            g.end(status)
        finally:
            g.close()
    return test


def test_ctrl_c_goes_to_guest():
    g = started()
    try:
        g.send(b"\x03\x1c\x1a")  # INTR, QUIT, SUSP
        g.expect(b"\x03\x1c\x1a")
        g.send(b"p")
        g.end(1)
    finally:
        g.close()


def test_hangup():
    g = started()
    try:
        os.close(g.master)
        g.master = None
        if g.process.wait(TIMEOUT) != 1:
            raise Failure(f"status {g.process.returncode}, expected 1")
    finally:
        g.close()


def test_restart_on_reset():
    g = started("-o", "restart_on_reset=true")
    try:
        for _ in range(3):
            g.send(b"r")
            g.expect(b"ready\r\n")
        if not g.is_raw():
            raise Failure("the terminal is not raw after a restart")
        g.send(b"p")
        g.end(1)
    finally:
        g.close()


def test_status_line():
    g = started()
    try:
        g.send(b"z")
        g.expect(b"z")
        began = time.monotonic()
        g.expect(SILENCE)
        if time.monotonic() - began < 4:
            raise Failure("the status line came too early")
        g.expect(b"rip 0x")
        g.expect(SILENCE)  # kept up to date
        g.expect(b"\x1b8")  # cursor put back
        g.send(b"z")
        g.expect(b"z")
        if g.seen and SILENCE in g.seen:
            raise Failure("the status line stayed")
        g.send(CTRL_A + b"x")
        g.end(1)
    finally:
        g.close()


def test_status_line_is_wiped_before_output():
    g = started()
    try:
        g.expect(SILENCE)
        g.expect(b"\x1b8")
        g.send(b"z")
        g.expect(ERASE + b"z")
        g.send(b"p")
        g.end(1)
    finally:
        g.close()


def check_no_status_line(*options, **kw):
    g = started(*options, **kw)
    try:
        until = time.monotonic() + 7.5
        while time.monotonic() < until:
            g.read(0.5)
        if SILENCE in g.seen:
            raise Failure("there is a status line")
        g.send(b"p")
        g.end(1)
    finally:
        g.close()


def test_no_status_line_when_off():
    check_no_status_line("-o", "status_line=false")


def test_no_status_line_without_terminal():
    with open(os.devnull, "wb") as null:
        check_no_status_line(stderr=null)


def run_piped(*options, data=b"", keep_open=0.0):
    """bhyve with pipes; (status, stdout, stderr)."""
    p = subprocess.Popen(
        [program, "-m", "32M", "-s", "31,lpc", "-l", "com1,stdio",
         "--kernel", payload, *options, "vm"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        time.sleep(keep_open)
        out, err = p.communicate(data, timeout=TIMEOUT)
    finally:
        p.kill()
        p.wait()
    return p.returncode, out, heard(err)


def test_pipes():
    status, out, err = run_piped("-E", ENGINE, data=b"xyzp")
    if (status, out, err) != (1, b"ready\r\nxyz", b""):
        raise Failure(f"{status} {out!r} {err!r}")


def test_no_escapes_in_pipes():
    status, out, _ = run_piped("-E", ENGINE, data=CTRL_A + b"xp")
    if (status, out) != (1, b"ready\r\n" + CTRL_A + b"x"):
        raise Failure(f"{status} {out!r}")


def test_end_of_input_is_not_the_end():
    p = subprocess.Popen(
        [program, "-E", ENGINE, "-m", "32M", "-s", "31,lpc", "-l",
         "com1,stdio", "--kernel", payload, "vm"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if p.stdout.readline() != b"ready\r\n":
            raise Failure("no guest")
        time.sleep(1)
        if p.poll() is not None:
            raise Failure(f"ended with {p.returncode}")
        p.terminate()
        if p.wait(TIMEOUT) != 1:
            raise Failure(f"status {p.returncode}, expected 1")
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def test_engine_line():
    status, _, err = run_piped(data=b"p")
    # Which one -E auto takes is the host's affair; here there is no hardware's.
    right = b"bhyve: engine soft" if ENGINE == "soft" else b"bhyve: engine "
    if status != 1 or not err.startswith(right) or err.count(b"\n") != 1:
        raise Failure(f"{status} {err!r}")


def test_stats():
    status, _, err = run_piped("-E", ENGINE, "-o", "stats=true", "-c", "2",
                               data=b"p")
    if status != 1 or b"vcpu0\ntotal number of vm exits" not in err or \
            b"vcpu1\n" not in err:
        raise Failure(f"{status} {err!r}")


def test_mistake_leaves_terminal_alone():
    g = Guest("-c", "0")
    try:
        g.end(64)
    finally:
        g.close()


TESTS = {
    "reset": check_end(0, b"r"),
    "power off": check_end(1, b"p"),
    "halt": check_end(2, b"h"),
    "triple fault": check_end(3, b"t"),
    "Ctrl-A x": check_end(1, CTRL_A, b"x"),
    "Ctrl-A p, nobody listens": check_end(
        1, CTRL_A + b"p", (b"does not watch its power button",)),
    "Ctrl-A p": check_end(1, b"a", (b"acpi",), CTRL_A + b"p", (b"button",)),
    "Ctrl-A r": check_end(0, CTRL_A + b"r"),
    "Ctrl-A n": check_end(3, CTRL_A + b"n"),
    "Ctrl-A c": check_end(
        1, CTRL_A + b"c", (b"bhyve: vcpu 0: running, rip 0x",),
        (b"exits",), (b"\r\n",), b"p"),
    "Ctrl-A h": check_end(
        1, CTRL_A + b"h", *((b"bhyve: Ctrl-A %c  " % key,) for key in b"xprnch"),
        (b"Ctrl-A Ctrl-A",), b"p"),
    "Ctrl-A Ctrl-A": check_end(1, CTRL_A + CTRL_A, (CTRL_A,), b"p"),
    "Ctrl-A unknown": check_end(1, CTRL_A + b"~", (b"Ctrl-A h",), b"p"),
    "Ctrl-C goes to the guest": test_ctrl_c_goes_to_guest,
    "SIGTERM, nobody listens": check_end(1, signal.SIGTERM),
    "SIGINT, nobody listens": check_end(1, signal.SIGINT),
    "SIGTERM is the power button": check_end(
        1, b"a", (b"acpi",), signal.SIGTERM,
        (b"power button pressed; again to stop at once",)),
    "SIGTERM twice": check_end(
        1, b"a", (b"acpi",), b"i", (b"ignoring",), signal.SIGTERM,
        (b"button\r\n",), b"z", (b"z",), signal.SIGTERM),
    "SIGINT is the power button": check_end(
        1, b"a", (b"acpi",), signal.SIGINT,
        (b"power button pressed; again to stop at once",)),
    "SIGINT twice": check_end(
        1, b"a", (b"acpi",), b"i", (b"ignoring",), signal.SIGINT,
        (b"button\r\n",), b"z", (b"z",), signal.SIGINT),
    "SIGTERM, then SIGINT": check_end(
        1, b"a", (b"acpi",), b"i", (b"ignoring",), signal.SIGTERM,
        (b"button\r\n",), b"z", (b"z",), signal.SIGINT),
    "SIGHUP": check_end(1, b"ai", (b"ignoring",), signal.SIGHUP),
    "SIGQUIT": check_end(1, b"ai", (b"ignoring",), signal.SIGQUIT),
    "SIGUSR1": check_end(1, signal.SIGUSR1, (b"vcpu 0: running",), b"p"),
    "SIGSEGV": check_end(-signal.SIGSEGV, signal.SIGSEGV),
    "SIGABRT": check_end(-signal.SIGABRT, signal.SIGABRT),
    "hangup": test_hangup,
    "restart_on_reset": test_restart_on_reset,
    "mistake leaves the terminal alone": test_mistake_leaves_terminal_alone,
    "pipes": test_pipes,
    "no escapes in pipes": test_no_escapes_in_pipes,
    "end of input is not the end": test_end_of_input_is_not_the_end,
    "engine line": test_engine_line,
    "stats": test_stats,
    "status line": test_status_line,
    "status line is wiped before output":
        test_status_line_is_wiped_before_output,
    "no status line when off": test_no_status_line_when_off,
    "no status line without a terminal":
        test_no_status_line_without_terminal,
}


def run_one(name):
    try:
        TESTS[name]()
        return None
    except (Failure, subprocess.TimeoutExpired, OSError) as e:
        return e


def main():
    global program, payload
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, payload = (os.path.abspath(a) for a in sys.argv[1:3])
    names = sys.argv[3:] or list(TESTS)
    print(f"1..{len(names)}")
    bad = 0
    # Each has a terminal of its own, and most of the time waits.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (name, e) in enumerate(zip(names, pool.map(run_one, names)), 1):
            if e is None:
                print(f"ok {number} - {name}", flush=True)
            else:
                print(f"not ok {number} - {name}\n#   {e}", flush=True)
                bad += 1
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
