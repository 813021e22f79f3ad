#!/usr/bin/env python3
"""Devices of small guests, from both sides: a busybox shell inside, the host outside.

usage: devices.py CASE --bhyve PATH --guest DIR

Each case is a function.  The guests are tools/initramfs in memory: a boot is a few
seconds; what needs Debian's programs is in disk.py.
"""
import argparse
import contextlib
import hashlib
import os
import pathlib
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time

from common import Failure, Terminal, check_log, need
from machine import Console

BASE = ["-m", "256M", "-H", "-s", "0,hostbridge", "-s", "31,lpc"]
MIB = 1 << 20


class Setting:
    def __init__(self, opts, work):
        self.opts, self.work = opts, pathlib.Path(work)

    def file(self, name, mib, seed=0):
        path = self.work / name
        path.write_bytes(random.Random(seed).randbytes(mib * MIB))
        return path

    def args(self, *devices, kernel="", append="", com1=True):
        d = f"{self.opts.guest}{kernel}"
        tty = ["-l", "com1,stdio"] if com1 else []
        return [self.opts.bhyve, *BASE, *tty, *devices, "--kernel",
                f"{d}/vmlinuz", "--initrd", f"{d}/initrd.img", "--append",
                ("console=ttyS0 " if com1 else "") + "quiet " + append]


@contextlib.contextmanager
def guest(args, name="small"):
    """A shell in it, and the terminal."""
    t = Terminal([*args, name], pipes=True)
    try:
        t.expect("guest# ", 240)
        yield Console(t), t
    finally:
        t.kill()


def power_off(sh, t, status=1):
    sh.leave("poweroff -f")
    got = t.status(60)
    need(got == status, f"status {got}, expected {status}\n{t.log[-2000:]}")


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


# --- interrupts -------------------------------------------------------------------

DRIVERS = ("virtio0", "virtio1", "virtio2", "virtio3", "ahci")


def wired(g, append, chip, *devices, status=1):
    """Disks, network, random numbers and a port work by wired interrupts that come
    from this chip, and each is counted."""
    blk, ata = g.file("blk", 4, 1), g.file("ata", 4, 2)
    args = g.args(
        "-c", "2", "-s", f"2,virtio-blk,{blk}", "-s", f"3,ahci-hd,{ata}", "-s",
        "4,virtio-net", "-s", "5:0,virtio-rnd", "-s",
        f"5:1,virtio-console,p={g.work}/p", *devices, kernel="/full",
        append=append)
    with guest(args) as (sh, t):
        for name, path in (("vda", blk), ("sda", ata)):
            need(md5(path) in sh.run(f"dd if=/dev/{name} bs=64k iflag=direct "
                                     "2>/dev/null | md5sum"), f"{name}: other bytes")
            sh.run(f"dd if=/bin/busybox of=/dev/{name} bs=100k seek=3 count=9 "
                   "conv=fsync 2>&1")
        sh.run("ip link set eth0 up; udhcpc -i eth0 -n -q 2>&1")
        sh.run("head -c 64 /dev/hwrng | md5sum")
        table = sh.run("cat /proc/interrupts")
        sh.run("! dmesg | grep 'nobody cared'")
        power_off(sh, t, status)
    for driver in DRIVERS:
        m = re.search(rf"^ *\d+: +(\d+) +(\d+) +(.*\b{driver}\b.*)$", table, re.M)
        need(m and int(m.group(1)) + int(m.group(2)) > 0,
             f"{append}: no interrupts of {driver}\n{table}")
        need(re.match(chip, m.group(3)) or driver == "ahci" and not append,
             f"{driver}: not by {chip}: {m.group(3)}")
    with open(f"{g.opts.guest}/full/busybox", "rb") as f:
        want = f.read(900 << 10)
    for name, path in (("vda", blk), ("sda", ata)):
        with open(path, "rb") as f:
            f.seek(300 << 10)
            need(f.read(len(want)) == want, f"{name}: the host sees other bytes")
    print(f"{append!r}: all by {chip}", flush=True)


def interrupts(g):
    """Every way an interrupt can take but MSI-X, which is disk.py's."""
    wired(g, "pci=nomsi", "IO-APIC")
    wired(g, "noapic pci=nomsi", "XT-PIC")
    # Without ACPI: routed by the MP table; Linux can then not power off.
    wired(g, "acpi=off pci=nomsi", "IO-APIC", status=2)
    # Linux's virtio knows MSI-X and wires; with -W there is no MSI-X.
    wired(g, "", "IO-APIC", "-W")


# --- a cable ----------------------------------------------------------------------


def carrier(sh, want):
    for _ in range(50):
        if sh.run("cat /sys/class/net/eth0/carrier").strip() == want:
            return
        time.sleep(0.2)
    raise Failure(f"the link is not {want}")


def plug_in(sh, n):
    sh.run(f"ip link set eth0 up; ip addr add 10.1.1.{n}/24 dev eth0")
    return sh.run("cat /sys/class/net/eth0/address").strip()


def cable(g):
    """Two machines ping each other; the link follows the other's life, however it
    ends; the socket goes with the last."""
    path = g.work / "cable"
    args = g.args("-s", f"4,virtio-net,unix={path},mtu=4000")
    with guest(args, "one") as (one, t1):
        mac = plug_in(one, 1)
        carrier(one, "0")
        need("4000" in one.run("cat /sys/class/net/eth0/mtu"), "mtu")
        for how in ("killed", "powered off"):
            with guest(args, "two") as (two, t2):
                other = plug_in(two, 2)
                need(re.match("58:9c:fc:", mac) and mac != other, mac)
                carrier(one, "1")
                carrier(two, "1")
                two.run("ping -c 3 10.1.1.1")
                one.run("ping -c 3 -s 3900 10.1.1.2")
                if how == "powered off":
                    power_off(two, t2)
            carrier(one, "0")
            print(f"{how}: link down", flush=True)
        power_off(one, t1)
    need(not path.exists(), "the socket is left")
    with guest(args, "one") as (one, t1):
        need(plug_in(one, 1) == mac, "the address changed between two runs")


# --- disks that fail --------------------------------------------------------------


def one_line(t, what):
    said = re.findall(rf"^bhyve: .*{what}.*", t.log, re.M)
    need(len(said) == 1, f"{len(said)} lines about {what}:\n{t.log[-3000:]}")


def faults(g):
    """A file that is cut off and one that the host does not let grow: errors in the
    guest, one line each, and the machine goes on."""
    cut, full = g.file("cut", 8), g.work / "full"
    limit = 300 * MIB                   # not below the guest's memory
    full.write_bytes(b"")
    os.truncate(full, 400 * MIB)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for aio in ("", ",aio=threads"):    # what the host allows, and threads
        os.truncate(cut, 8 * MIB)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard[1]))
        args = g.args("-s", f"2,virtio-blk,{cut}{aio}", "-s",
                      f"3,virtio-blk,{full}{aio}")
        try:
            with guest(args) as (sh, t):
                dd(sh, t, cut, limit)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, hard)


def dd(sh, t, cut, limit):
    good = md5(cut)
    need(good in sh.run("md5sum /dev/vda"), "other bytes")
    os.truncate(cut, 4 * MIB)
    sh.run("dd if=/dev/vda of=/dev/null bs=4k skip=1500 count=1 iflag=direct 2>&1",
           status=1)
    one_line(t, "read of 4096 bytes at 6144000: Input/output error")
    sh.run("dd if=/dev/zero of=/dev/vda bs=4k seek=1500 count=1 oflag=direct 2>&1",
           status=1)
    one_line(t, "write of 4096 bytes at 6144000: Input/output error")
    need(cut.stat().st_size == 4 * MIB, "a write made the file longer")
    for _ in range(3):
        sh.run("dd if=/dev/zero of=/dev/vdb bs=64k count=1 oflag=direct "
               f"seek={limit >> 16} 2>&1", status=1)
    one_line(t, "write of 65536 bytes at .*: File too large")
    sh.run(f"dd if=/dev/zero of=/dev/vdb bs=64k seek={(limit >> 16) - 1} count=1 "
           "oflag=direct 2>&1")
    power_off(sh, t)


# --- locks ------------------------------------------------------------------------


def locks(g):
    """Who has an image is told, and nothing is held by what was killed."""
    disk, port = g.file("disk", 1), g.work / "port"
    args = g.args("-s", f"2,virtio-blk,{disk}", "-s",
                  f"3,virtio-console,p={port}", "-s", "5:3,dummy")
    with guest(args) as (_, t):
        one_line(t, "-s 5:3,dummy: .*no function 0")
        p = subprocess.run([*args, "second"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=30)
        err = p.stderr.decode()
        need(p.returncode == 64 and f"in use by process {t.pid} (" in err,
             f"status {p.returncode}: {err}")
    need(port.exists(), "a killed machine cannot have removed its socket")
    with guest(args) as (sh, t):        # the same again, after SIGKILL
        power_off(sh, t)
    need(not port.exists(), "the socket is left")


# --- consoles ---------------------------------------------------------------------


def ports(g):
    """The shell is on a virtio console, and 15 ports carry data at the same time."""
    names = [f"n{i}" for i in range(15)]
    words = ",".join(f"{n}={g.work}/{n}" for n in names)
    args = g.args("-s", f"3,virtio-console,con=stdio,{words}",
                  append="console=hvc0", com1=False)
    with guest(args) as (sh, t):
        need("/dev/hvc0" in sh.run("tty"), "the shell is not on hvc0")
        want = random.Random(5).randbytes(5000).hex()
        want = want.translate(str.maketrans("0123456789", "ghijklmnop")).encode() + b"\n"
        with contextlib.ExitStack() as stack:
            socks = []
            for n in names:             # before the guest reads: else it sees an end
                s = stack.enter_context(socket.socket(socket.AF_UNIX))
                s.settimeout(60)
                s.connect(str(g.work / n))
                socks.append(s)
            for s in socks:
                s.sendall(want)
            # Until the guest knows of the client, a read sees an end.  Jobs of a
            # shell of its own: busybox's leaves its terminal when a job ends.
            sh.run("until ls /dev/vport*p15; do usleep 100000; done 2>/dev/null")
            sh.run("sh -c 'for p in /dev/vport*p[1-9]*; do { exec 3<>$p; "
                   "until read -r line <&3; do usleep 100000; done; "
                   "echo $line | tr a-z A-Z >&3; } & done; wait'")
            for n, s in zip(names, socks):
                need(take(s, len(want)) == want.upper(), f"{n}: other bytes")
        check_log(sh.run("dmesg"), "unable to open an initial console")
        power_off(sh, t)


def take(s, count):
    data = b""
    while len(data) < count:
        part = s.recv(65536)
        if not part:
            break
        data += part
    return data


# --- processors -------------------------------------------------------------------

CPU_LINES = ("for d in /sys/devices/system/cpu/cpu[0-9]*; do cd $d; "
             "echo ${d##*/cpu} $(cat topology/physical_package_id topology/core_id "
             "topology/thread_siblings_list topology/core_siblings_list "
             "cache/index0/shared_cpu_list cache/index3/shared_cpu_list); done")


def span(first, count):
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def topology(g):
    """Linux finds packages, cores, threads and shared caches as -c says, where
    they are no powers of two, too, and in x2APIC mode."""
    for sockets, cores, threads, *more in ((2, 3, 1), (1, 3, 2, "-x"), (3, 1, 3),
                                           (2, 2, 2, "-x")):
        cpus = sockets * cores * threads
        args = g.args("-c", f"{cpus},sockets={sockets},cores={cores},"
                      f"threads={threads}", *more)
        with guest(args) as (sh, t):
            lines = sorted(re.findall(r"^\d.*", sh.run(CPU_LINES), re.M))
            sh.run("! dmesg | grep -i 'x2apic: *disabled'")
            power_off(sh, t)
        want = []
        for i in range(cpus):
            core, package = i // threads, i // threads // cores
            on_core = span(core * threads, threads)
            on_package = span(package * cores * threads, cores * threads)
            want.append(f"{i} {package} {core % cores} {on_core} {on_package} "
                        f"{on_core} {on_package}")
        need(lines == sorted(want), f"{args}: {lines}, not {want}")


CASES = {f.__name__: f for f in (interrupts, cable, faults, locks, ports, topology)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("case", choices=CASES)
    p.add_argument("--bhyve", required=True)
    p.add_argument("--guest", required=True)
    opts = p.parse_args()
    kernel = "full/vmlinuz" if opts.case == "interrupts" else "vmlinuz"
    if not os.path.exists(f"{opts.guest}/{kernel}"):
        print(f"no {opts.guest}/{kernel}: tools/guest.sh makes it")
        return 77
    with tempfile.TemporaryDirectory(prefix="bhyve-dev-") as work:
        try:
            CASES[opts.case](Setting(opts, work))
        except (Failure, OSError, subprocess.SubprocessError) as e:
            print("FAILED:", e)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
