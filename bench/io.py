#!/usr/bin/env python3
"""Disk and network of a guest, against QEMU TCG: the same image, kernel and drivers.

usage: io.py BUILD [RUNS]

Both machines in turn, RUNS times (default 3): Debian boots from a disk, fio works on a
second one (virtio-blk, a file in the page cache), iperf3 talks to the host through
the user-mode network.  Prints medians, their ratio, the monitor's CPU time for an
I/O and for a MiB, and its resident memory without the guest's RAM, at once and when the
guest was idle for a while.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "boot"), str(HERE.parent / "tests")]
from machine import Machine, Ssh, copy_image  # noqa: E402
from ports import free_port  # noqa: E402

SECONDS = 5
DISK_MIB = 256
IDLE_SECONDS = 20   # a software CPU gives back what it translated
# name, fio's rw, block size, queue depth
JOBS = [(f"{rw} {bs} qd{qd}", rw, bs, qd)
        for bs, rws in (("4k", ("randread", "randwrite")),
                        ("1m", ("read", "write")))
        for rw in rws for qd in (1, 32)]


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Timed:
    """A guest command's output and the monitor's CPU time for it."""

    def __init__(self, m, ssh):
        self.pid, self.ssh = m.term.pid, ssh

    def __call__(self, command):
        before = cpu_seconds(self.pid)
        out = self.ssh.run(command, quiet=True)
        return out, cpu_seconds(self.pid) - before


def fio(run, rw, bs, depth, limit):
    out, cpu = run(
        f"fio --name=x --filename=/dev/vdb --direct=1 --ioengine=libaio "
        f"--rw={rw} --bs={bs} --iodepth={depth} {limit} --randseed=1 "
        "--output-format=json")
    job = json.loads(out[out.index("{"):])["jobs"][0]
    return job["write" if "write" in rw else "read"], cpu


def disk_rows(run):
    for name, rw, bs, depth in JOBS:
        # fio's own start costs a software CPU seconds: it is taken off.
        _, base = fio(run, rw, bs, depth, "--number_ios=1")
        side, cpu = fio(run, rw, bs, depth,
                        f"--time_based --runtime={SECONDS}")
        rate = ({"MiB/s": side["bw_bytes"] / 1048576} if bs == "1m"
                else {"IO/s": side["iops"]})
        yield name, {**rate, "us CPU/IO": max(cpu - base, 0) / side["total_ios"] * 1e6}


def net_rows(run):
    for name, flag in ("tcp guest to host", ""), ("tcp host to guest", "-R"):
        port = free_port()
        server = subprocess.Popen(
            ["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            out, cpu = run(f"iperf3 -c 10.0.2.2 -p {port} -t {SECONDS} -J {flag}")
        finally:
            server.kill()
            server.wait()
        got = json.loads(out)["end"]["sum_received"]
        mib = got["bytes"] / 1048576
        yield name, {"MiB/s": mib / got["seconds"], "ms CPU/MiB": cpu / mib * 1e3}


def resident(pid):
    out = subprocess.run([sys.executable, HERE / "rss.py", str(pid)],
                         stdout=subprocess.PIPE, check=True).stdout
    return float(out)


def one(opts, data):
    """All rows of one machine's run."""
    image = copy_image(opts, data.parent / "root.img")
    rows = {}
    with Machine(opts, mem="512M") as m:
        m.disk(image).disk(data).network()
        started = time.monotonic()
        m.boot("root=/dev/vda1 quiet").expect("deb# ", 600)
        rows["boot to a prompt"] = {"s": time.monotonic() - started}
        ssh = Ssh(opts, m.port)
        run = Timed(m, ssh)
        run("true")
        rows.update(disk_rows(run))
        rows.update(net_rows(run))
        rows["memory, after the load"] = {"MiB": resident(m.term.pid)}
        time.sleep(IDLE_SECONDS)
        rows["memory, idle guest"] = {"MiB": resident(m.term.pid)}
        ssh.leave("systemctl poweroff")
        m.term.status(180)
    return rows


def table(results):
    print(f"\n{'row':24} {'unit':>11} {'qemu':>10} {'bhyve':>10} "
          f"{'bhyve/qemu':>11}")
    for name, values in results["bhyve"][0].items():
        for unit in values:
            q, b = (statistics.median(r[name][unit] for r in results[e])
                    for e in ("qemu", "bhyve"))
            print(f"{name:24} {unit:>11} {q:10.1f} {b:10.1f} "
                  f"{b / q if q else float('nan'):11.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build")
    p.add_argument("runs", type=int, nargs="?", default=3)
    args = p.parse_args()
    results = {"qemu": [], "bhyve": []}
    with tempfile.TemporaryDirectory(dir=args.build, prefix="bench-io-") as d:
        data = pathlib.Path(d) / "data"
        data.write_bytes(os.urandom(1 << 20) * DISK_MIB)
        for n in range(args.runs):
            for engine in results:
                opts = types.SimpleNamespace(
                    bhyve=f"{args.build}/src/cmd/bhyve",
                    guest=f"{args.build}/guest", qemu=engine == "qemu")
                results[engine].append(one(opts, data))
            print(f"run {n + 1} of {args.runs} done, load "
                  f"{os.getloadavg()[0]:.1f}", file=sys.stderr)
    table(results)


main()
