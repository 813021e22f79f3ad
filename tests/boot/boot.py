#!/usr/bin/env python3
"""The boot suite: Debian's kernel in the machine, from the outside.

usage: boot.py CASE --bhyve PATH --guest DIR

Each case is a function; it prints what it saw and exits non-zero with a reason
when the guest or the exit status was not what it must be.  The guest's scripts
are tools/initramfs/*.
"""
import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

from common import Failure, Terminal, check_log, need

ENGINE = os.environ.get("TEST_ENGINE")  # tests/kvm/suite.py: kvm
BASE = [*(["-E", ENGINE] if ENGINE else []), "-H", "-s", "0,hostbridge", "-s", "31,lpc", "-l", "com1,stdio"]


class Guest:
    def __init__(self, opts):
        self.bhyve = opts.bhyve
        self.dir = opts.guest

    def args(self, cpus, mem, append, extra=()):
        return [self.bhyve, "-c", str(cpus), "-m", mem, *BASE, *extra,
                "--kernel", f"{self.dir}/vmlinuz",
                "--initrd", f"{self.dir}/initrd.img",
                "--append", "console=ttyS0 " + append, "boottest"]

    def run(self, cpus, append, mem="512M", timeout=240, extra=()):
        started = time.monotonic()
        p = subprocess.run(self.args(cpus, mem, append, extra),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=timeout)
        out = p.stdout.decode("utf-8", "replace").replace("\r", "")
        err = p.stderr.decode("utf-8", "replace")
        print(f"-c {cpus} {append!r}: status {p.returncode}, "
              f"{time.monotonic() - started:.1f} s")
        return p.returncode, out, err


def pattern():
    return b"".join(b"0123456789abcdef\n" for _ in range(4194304 // 17 + 1))[
        :4194304]


def shell(g, cpus):
    """A shell runs the check script; every printed value is known here."""
    status, out, err = g.run(cpus, "script=check")
    tail = out[-3000:] + err
    need("check: done" in out, f"the script did not finish:\n{tail}")
    need(status == 1, f"status {status}, expected 1 (power-off):\n{tail}")
    data = pattern()
    for line in (
            "uname: Linux x86_64", f"processors: {cpus}", "gzip: same",
            "sha256: " + hashlib.sha256(data).hexdigest(),
            "sha512: " + hashlib.sha512(data).hexdigest(),
            "md5: " + hashlib.md5(data).hexdigest(),
            f"bc: {pow(2, 256, 1000000007)}",
            "awk: %.9f" % sum(1 / i for i in range(1, 20001))):
        need(line in out, f"missing in the output: {line}\n{out[-6000:]}")
    need(out.count(f"seq: {20000 * 20001 // 2}") == 4, "parallel sums are wrong")
    source = re.search(r"^clocksource: (\S+)$", out, re.M)
    print("clocksource", source and source.group(1))
    need(source and source.group(1) in ("kvm-clock", "tsc"), "clocksource")
    log = out.split("dmesg-begin")[1].split("dmesg-end")[0]
    check_log(log)
    timers = re.search(r"LOC:((?:\s+\d+)+)", out)
    need(timers and all(int(n) > 0 for n in timers.group(1).split()),
         "a processor has had no timer interrupts")


def c1(g):
    shell(g, 1)


def c2(g):
    shell(g, 2)


def demo(g):
    """Two processors, a shell, power-off: the shortest whole boot."""
    status, out, err = g.run(2, "quiet script=demo")
    need("processors: 2" in out and "hello from the guest" in out,
         out[-3000:] + err)
    need(status == 1, f"status {status}, expected 1 (power-off)")


def c4(g):
    shell(g, 4)


def c8(g):
    shell(g, 8)


def reset(g):
    status, out, err = g.run(1, "quiet script=reboot")
    need("rebooting" in out, out[-2000:] + err)
    need(status == 0, f"status {status}, expected 0 (reset)")
    # By the vector that a BIOS has in real mode.
    status, out, err = g.run(1, "quiet script=reboot reboot=b")
    need(status == 0, f"status {status}, expected 0 (reset)\n{out[-2000:]}{err}")


def halt(g):
    status, out, err = g.run(2, "quiet script=halt")
    need("halting" in out, out[-2000:] + err)
    need(status == 2, f"status {status}, expected 2 (halted)")


def panic(g):
    status, out, err = g.run(1, "script=panic panic=-1")
    need("Kernel panic" in out, out[-2000:] + err)
    need(status == 0, f"status {status}, expected 0 (panic=-1 resets)")


def triple(g):
    status, out, err = g.run(1, "quiet script=reboot reboot=t,force")
    need(status == 3, f"status {status}, expected 3 (triple fault)")


def high_memory(g):
    """RAM on both sides of the PCI hole."""
    status, out, err = g.run(1, "quiet script=demo", mem="5G")
    total = re.search(r"MemTotal:\s+(\d+) kB", out)
    need(total and int(total.group(1)) > 4800000, out[-1500:] + err)
    need(status == 1, f"status {status}")


def acpi_off(g):
    """Without ACPI the kernel uses the 8259 and cannot power off: it halts.
    (Debian's kernel does not read MP tables; tests/unit checks ours.)"""
    status, out, err = g.run(1, "script=demo acpi=off")
    need("hello from the guest" in out, out[-3000:] + err)
    need(status == 2, f"status {status}, expected 2 (halted)")


def twenty(g):
    for n in range(20):
        cpus = (1, 2, 4)[n % 3]
        status, out, err = g.run(cpus, "quiet script=demo", timeout=120)
        need(status == 1 and "hello from the guest" in out,
             f"boot {n + 1} of 20: status {status}\n{out[-3000:]}{err}")


# --- the terminal -----------------------------------------------------------------


def terminal(g):
    """Typing, line editing with arrow keys, Ctrl-C into the guest, leaving."""
    t = Terminal(g.args(1, "256M", "quiet"))
    t.expect(r"guest# ", 120)
    t.send(b"echo sum $((20+22))\r")
    t.expect(r"sum 42\r")
    t.expect(r"guest# ")
    t.send(b"echo ac\x1b[Db\r")           # left arrow, then b: "abc"
    t.expect(r"\nabc\r")
    t.expect(r"guest# ")
    t.send(b"\x1b[A\x1b[A\r")             # up twice: the sum again
    t.expect(r"sum 42\r")
    t.expect(r"guest# ")
    t.send(b"sleep 1000\r")
    time.sleep(1.5)
    t.send(b"\x03")                       # Ctrl-C reaches the guest
    t.expect(r"guest# ")
    t.send(b"echo alive $?\r")
    t.expect(r"alive 130")
    t.send(b"\x01h")                      # Ctrl-A h: the list of keys
    t.expect(r"Ctrl-A x")
    t.send(b"\x01x")
    need(t.status() in (0, 1, 4), "Ctrl-A x")


def no_root(g):
    """A root file system that is not there: the reason, and a shell."""
    t = Terminal(g.args(1, "256M", "quiet root=LABEL=none rootdelay=1"))
    t.expect(r"init: no root=LABEL=none after 1 s", 120)
    t.expect(r"guest# ")
    t.send(b"poweroff -f\r")
    need(t.status() == 1, "power-off")


def power_button(g):
    """SIGTERM presses the power button; the shell here ignores it, so that
    the second one must stop the machine."""
    t = Terminal(g.args(1, "256M", "quiet"))
    t.expect(r"guest# ", 120)
    os.kill(t.pid, signal.SIGTERM)
    t.expect(r"(?i)power button")
    os.kill(t.pid, signal.SIGTERM)
    t.status()


CASES = {f.__name__: f for f in (
    c1, c2, c4, c8, demo, reset, halt, panic, triple, high_memory, acpi_off, twenty,
    terminal, power_button, no_root)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("case", choices=CASES)
    p.add_argument("--bhyve", required=True)
    p.add_argument("--guest", required=True)
    opts = p.parse_args()
    if not os.path.exists(f"{opts.guest}/vmlinuz"):
        print(f"no guest in {opts.guest}: run `make check`, or "
              f"tools/guest.sh {opts.guest}")
        return 77
    try:
        CASES[opts.case](Guest(opts))
    except Failure as e:
        print("FAILED:", e)
        return 1
    except subprocess.TimeoutExpired as e:
        print("FAILED: no end within", e.timeout, "s\n",
              (e.output or b"")[-3000:].decode("utf-8", "replace"))
        return 1
    return 0


sys.exit(main())
