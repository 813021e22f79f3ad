#!/usr/bin/env python3
"""Debian's gdb against a booting Debian kernel, through the stub of -G.

usage: gdb.py --bhyve PATH --guest DIR [--engine soft|kvm]

The kernel is stopped before its first instruction, at a hardware and a software
breakpoint, by single steps, by a watchpoint and by Ctrl-C; memory and registers
are compared with what the kernel's file and the architecture say.

Where QEMU makes the processor (tools/kvmhost.py) no breakpoint stops guests: its SVM
has neither debug registers nor an intercept of INT3.  There the kernel is looked
at where the boot loader leaves it and all goes by steps; that breakpoints are refused is
checked, and the last line says so.  Bochs's VMX (tools/bochshost.py) has all of it;
tests/kvm/suite.py --bochs runs this there, with what it imports and no more.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from common import Failure, Terminal, need

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ports import free_port  # noqa: E402

# Linux x86-64, startup_64: where the unpacked kernel begins without KASLR.
KERNEL = 0x1000000


def command(opts, gdb_arg, append, cpus=2):
    return [opts.bhyve, "-E", opts.engine, "-c", str(cpus), "-m", "512M", "-s", "0,hostbridge",
            "-s", "31,lpc", "-l", "com1,stdio", "-G", gdb_arg,
            "--kernel", f"{opts.guest}/vmlinuz",
            "--initrd", f"{opts.guest}/initrd.img",
            "--append", "console=ttyS0 " + append, "gdbtest"]


class Machine:
    def __init__(self, opts, gdb_arg, append, cpus=2):
        self.p = subprocess.Popen(
            command(opts, gdb_arg, "quiet nokaslr " + append, cpus),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def end(self, timeout=240):
        try:
            out, _ = self.p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            out, _ = self.p.communicate()
            raise Failure("the machine did not end:\n" +
                          out.decode("utf-8", "replace")[-2000:])
        return self.p.returncode, out.decode("utf-8", "replace")


def gdb(port, commands, timeout=240):
    args = ["gdb", "-batch", "-nx"]
    for c in ["set pagination off", "set confirm off", "set tcp connect-timeout 30",
              "set architecture i386:x86-64",
              f"target remote 127.0.0.1:{port}", *commands]:
        args += ["-ex", c]
    p = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=timeout)
    return p.stdout.decode("utf-8", "replace")


def wait_port(port, timeout=90):
    """Until the stub listens; asking would be a client, so look in /proc."""
    want = f":{port:04X} "
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with open("/proc/net/tcp") as f:
            if any(want in line and " 0A " in line for line in f):
                return
        time.sleep(0.05)
    raise Failure(f"nobody listens on port {port}")


def has(out, *patterns):
    pos = 0
    for p in patterns:
        m = re.compile(p, re.M).search(out, pos)
        need(m, f"gdb did not say {p!r}:\n{out}")
        pos = m.end()


def boot_stepwise(opts):
    port = free_port()
    m = Machine(opts, f"w127.0.0.1:{port}", "script=demo")
    wait_port(port)
    if opts.breaks:
        start = [f"hbreak *{KERNEL:#x}", "continue"]
        there = ["tbreak *$third", "continue"]
    else:
        start = [f"hbreak *{KERNEL:#x}", "continue", "delete"]
        there = ["stepi"]
    # The next push lands below the stack pointer.
    watch = ["set $stack = $rsp", 'eval "watch *(long *)%lu", $rsp - 8',
             "continue", "p $rsp == $stack - 8"] if opts.breaks else []
    out = gdb(port, [
        "info threads",
        *start,
        "p/x $rip",
        "p/x $cr0 & 0x80000001",
        "p/x $efer & 0x500",
        "p $mxcsr",
        "p/x $xmm3.uint128",
        # The breakpoint does not show.
        "x/2xb $rip",
        "set $first = $rip",
        "stepi",
        "p $rip > $first && $rip < $first + 16",
        "set $r12 = 0x123456789abcdef0",
        "p/x $r12",
        "set $xmm3.v2_int64[1] = 77",
        "p $xmm3.v2_int64[1]",
        # Two instructions on, by an INT3 that the guest could see.
        "stepi", "set $second = $rip", "stepi", "set $third = $rip",
        "set $rip = $second",
        *there,
        "p $rip == $third",
        f"monitor gpa {KERNEL:#x}",
        "monitor vcpus",
        *watch,
        "delete",
        "continue",
    ])
    status, console = m.end()
    has(out, r"1 +Thread 1 \(vCPU 0\)",
        r"2 +Thread 2 \(vCPU 1( \(not started\))?\)",
        r"hit Breakpoint 1" if opts.breaks
        else r"Cannot insert hardware breakpoint 1",
        r"\$1 = 0x1000000$" if opts.breaks else r"\$1 = 0x[0-9a-f]+$",
        r"\$2 = 0x80000001$",
        r"\$3 = 0x500$", r"\$4 = \[ IM DM ZM OM UM PM \]", r"\$5 = 0x0$",
        r"0x[0-9a-f]+:\s+0x(?!cc)[0-9a-f]{2}\s+0x[0-9a-f]{2}", r"\$6 = 1$",
        r"\$7 = 0x123456789abcdef0$", r"\$8 = 77$", r"\$9 = 1$",
        r"0x1000000 is at guest-physical 0x1000000", r"vCPU 0: started",
        *([r"Hardware watchpoint", r"\$10 = 1$"] if opts.breaks else []),
        r"exited with code 01")
    need("hello from the guest" in console, console[-2000:])
    need(status == 1, f"status {status}, expected 1")


def interrupt_and_detach(opts):
    """Stop a running system with two processors, look, let it go on.  It waits at
    its shell, however long the debugger takes."""
    port = free_port()
    t = Terminal(command(opts, f"{port}", "quiet nokaslr"))
    t.expect(r"guest# ", 240)
    # A host whose processors' TSCs differ is "unstable" from the start.
    complaints = "dmesg | grep -ciE 'lockup|stall|unstable'"
    t.send(f"echo before $((6 * 7)); {complaints}\r".encode())
    before = t.expect(r"before 42\s+(\d+)\s", 60)[1]
    out = gdb(port, ["info threads", "thread 2", "p $cs & 3", "p/x $cr4 & 0x20",
                     "info registers fs_base gs_base", "detach"])
    has(out, r"Thread 1 \(vCPU 0\)", r"Thread 2 \(vCPU 1", r"\$1 = [03]$",
        r"\$2 = 0x20$", r"gs_base", r"detached")
    t.expect(r"debugger is attached")
    # ^C of a client that lets it run, once it is attached.
    p = subprocess.Popen(
        ["gdb", "-batch", "-nx", "-ex", "set architecture i386:x86-64",
         "-ex", f"target remote 127.0.0.1:{port}", "-ex", "continue",
         "-ex", "p/x $cr0 & 1", "-ex", "detach"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    t.expect(r"debugger is attached", 60)
    time.sleep(3)
    p.send_signal(signal.SIGINT)
    text = p.communicate(timeout=60)[0].decode("utf-8", "replace")
    has(text, r"SIGINT", r"\$1 = 0x1$", r"detached")
    t.send(f"echo alive $((6 * 7)); {complaints}\r".encode())
    t.expect(rf"alive 42\s+{before}\s", 60)
    t.send(b"poweroff -f\r")
    status = t.status()
    need(status == 1, f"status {status}, expected 1")


def breakpoints(opts):
    """Of a running kernel, at a known address, on its second processor: more than
    there are debug registers, in memory, not seen by the client; one that has a
    debug register, one in memory."""
    port = free_port()
    t = Terminal(command(opts, f"{port}", "quiet nokaslr"))
    t.expect(r"guest# ", 240)
    t.send(b"exec taskset 2 sh\r")
    t.expect(r"# ", 60)
    t.send(b"grep -wE '__(x64|do)_sys_getppid|__x64_sys_(getuid|getgid|"
           b"geteuid|getegid|sync|umask)' /proc/kallsyms; echo end\r")
    t.expect(r"end\r\n")
    symbols = {}
    m = t.expect(r"(?s)(.*)end\r\n", 60)
    for address, name in re.findall(r"(ffffffff[0-9a-f]{8}) [tT] (\w+)", m[1]):
        symbols[name] = int(address, 16)
    sync, umask = symbols["__x64_sys_sync"], symbols["__x64_sys_umask"]
    others = [a for n, a in symbols.items() if a not in (sync, umask)]
    p = subprocess.Popen(
        ["gdb", "-batch", "-nx", "-ex", "set architecture i386:x86-64",
         "-ex", f"target remote 127.0.0.1:{port}",
         "-ex", f"x/1xb {sync:#x}",
         *[w for a in others for w in ("-ex", f"hbreak *{a:#x}")],
         "-ex", f"hbreak *{sync:#x}", "-ex", f"break *{umask:#x}",
         "-ex", "continue", "-ex", "p/x $rip", "-ex", "x/1xb $rip",
         "-ex", "p/x $cs & 3", "-ex", "stepi", "-ex", f"p $rip > {sync:#x}",
         "-ex", "stepi", "-ex", "stepi", "-ex", "delete",
         "-ex", f"x/1xb {sync:#x}",
         # The shell's umask calls it twice.
         *[w for kind in ("hbreak", "break") for w in (
             "-ex", f"{kind} *{umask:#x}", "-ex", "continue", "-ex", "p/x $rip",
             "-ex", "delete")],
         "-ex", "detach"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    t.expect(r"debugger is attached", 60)
    time.sleep(3)
    t.send(b"sync; umask; echo synced\r")
    text = p.communicate(timeout=120)[0].decode("utf-8", "replace")
    byte = re.search(rf"{sync:#x}:\s+(0x[0-9a-f]+)", text)
    need(byte and byte[1] != "0xcc", text)
    first = len(others) + 1
    has(text, rf"Thread 2 hit Breakpoint {first}, ", rf"\$1 = {sync:#x}$",
        rf"{sync:#x}:\s+{byte[1]}$",
        r"\$2 = 0x0$", r"\$3 = 1$", rf"{sync:#x}:\s+{byte[1]}$",
        rf"Thread 2 hit Breakpoint {first + 2}, ", rf"\$4 = {umask:#x}$",
        rf"Thread 2 hit Breakpoint {first + 3}, ", rf"\$5 = {umask:#x}$", r"detached")
    t.expect(r"\r\nsynced", 60)
    t.send(b"poweroff -f\r")
    status = t.status()
    need(status == 1, f"status {status}, expected 1")


def kill(opts):
    port = free_port()
    m = Machine(opts, f"w{port}", "", cpus=1)
    wait_port(port)
    gdb(port, ["stepi", "kill"])
    status, _ = m.end(30)
    need(status == 1, f"status {status} after kill, expected 1")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bhyve", required=True)
    p.add_argument("--guest", required=True)
    p.add_argument("--engine", default="soft")
    p.add_argument("case", nargs="*")
    opts = p.parse_args()
    opts.breaks = opts.engine != "kvm" or \
        os.environ.get("BHYVE_KVMHOST") not in ("tcg", "icount")
    if not os.path.exists(f"{opts.guest}/vmlinuz"):
        print(f"no guest in {opts.guest}")
        return 77
    if shutil.which("gdb") is None:
        print("no gdb; tools/need.sh check installs it")
        return 77
    try:
        cases = [boot_stepwise, interrupt_and_detach, kill]
        if opts.breaks:
            cases.append(breakpoints)
        for case in cases:
            if opts.case and case.__name__ not in opts.case:
                continue
            started = time.monotonic()
            case(opts)
            print(f"{case.__name__}: {time.monotonic() - started:.1f} s", flush=True)
    except (Failure, subprocess.TimeoutExpired) as e:
        print("FAILED:", e)
        return 1
    if not opts.breaks:
        print("no breakpoint and no watchpoint was met: none works in a KVM on QEMU")
    return 0


sys.exit(main())
