#!/usr/bin/env python3
"""What the kvm engine costs: start, exits, memory; against a bare program and QEMU.

usage: kvm.py [--here] BUILD [RUNS]

Runs the payload of bench/kvm in turn in bare.c's loop, in ours and in QEMU's microvm, RUNS
times (default 5); where there is no KVM on hardware, in the machine of tools/kvmhost.py,
whose clocks count instructions.  With --here on this host's /dev/kvm, whatever it is.
Prints medians over the runs, for an exit the median of the rounds in a run, the
spread (highest by lowest), and the ratio to the bare loop, or for what that has not, to QEMU.
"""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
COUNT = 1000  # payload.S
RAM_MIB = 64
BUILT = "bare", "launch", "payload.elf", "payload.bin"
KINDS = {"i": "port read", "o": "port write", "r": "MMIO read", "w": "MMIO write"}


def build(out):
    out.mkdir(exist_ok=True)
    cc = os.environ.get("CC", "gcc")
    src = HERE / "kvm"
    for name in "bare", "launch":
        subprocess.run([cc, "-O2", "-Wall", "-Wextra", "-o", out / name,
                        src / f"{name}.c"], check=True)
    subprocess.run([cc, "-m32", "-nostdlib", "-static", "-no-pie",
                    "-Wl,--build-id=none,--no-warn-rwx-segments",
                    "-T", src / "payload.ld", "-o", out / "payload.elf",
                    src / "payload.S"], check=True)
    subprocess.run(["objcopy", "-O", "binary", out / "payload.elf",
                    out / "payload.bin"], check=True)


def commands(out):
    """The registers are the HPET's in ours, a virtio device's in microvm."""
    elf = out / "payload.elf"
    yield "bare", [out / "bare", out / "payload.bin"]
    yield "bhyve", [out / "bhyve", "-E", "kvm", "-m", f"{RAM_MIB}M",
                    "-s", "0,hostbridge", "-s", "31,lpc", "-l", "com1,stdio",
                    "--kernel", elf, "--append", "@fed00000", "bench"]
    yield "qemu", ["qemu-system-x86_64", "-M", "microvm,memory-backend=ram",
                   "-accel", "kvm", "-object",
                   f"memory-backend-memfd,id=ram,size={RAM_MIB}M,share=on",
                   "-m", str(RAM_MIB), "-nodefaults", "-no-reboot", "-display",
                   "none", "-serial", "stdio", "-kernel", elf, "-append", "@feb00000"]


def resident_kib(pid):
    """All but the mapping of the memfd that is guest RAM."""
    total, ram = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ram = "memfd:" in line
        elif line.startswith("Rss:") and not ram:
            total += int(line.split()[1])
    return total


def run_once(launch, command):
    """One figure a row: cycles for an exit, ms to the first byte, MiB."""
    p = subprocess.Popen([launch, *command], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    rounds, row, pid = {}, {}, None
    for line in p.stdout:
        words = line.split()
        if line.startswith("pid "):
            pid = int(words[1])
        elif line.startswith("first "):
            row["start, ms"] = int(words[1]) / 1e6
        elif len(words) == 2 and words[0] in KINDS:
            rounds.setdefault(KINDS[words[0]], []).append(int(words[1], 16) / COUNT)
        elif line.startswith("end"):
            row["memory, MiB"] = resident_kib(pid) / 1024
            break
    p.stdin.write("q")
    p.stdin.close()
    p.stdout.read()
    p.wait()
    if "memory, MiB" not in row:
        sys.exit(f"kvm.py: {command[0]} did not get to the end")
    return {**{k: statistics.median(v) for k, v in rounds.items()}, **row}


def table(results):
    print(f"{'row':14}" + "".join(f"{n:>12} {'spread':>7}" for n in results)
          + f"{'bhyve/bare':>12} {'bhyve/qemu':>11}")
    for row in [*KINDS.values(), "start, ms", "memory, MiB"]:
        med = {n: statistics.median(r[row] for r in runs)
               for n, runs in results.items()}
        line = f"{row:14}"
        for name, runs in results.items():
            values = [r[row] for r in runs]
            line += f"{med[name]:12.2f} {max(values) / min(values):7.2f}"
        line += f"{med['bhyve'] / med['bare']:12.2f}"
        line += f"{med['bhyve'] / med['qemu']:12.2f}" if "qemu" in med else ""
        print(line)


def main():
    args = [a for a in sys.argv[1:] if a != "--here"]
    build_dir = pathlib.Path(args[0]).resolve()
    times = int(args[1]) if len(args) > 1 else 5
    out = build_dir / "bench-kvm"
    if "BHYVE_KVMHOST" not in os.environ:
        build(out)
    if "--here" not in sys.argv:
        host = HERE.parent / "tools" / "kvmhost.py"
        os.execv(sys.executable, [sys.executable, host, "--icount", build_dir,
                                  "python3", os.path.abspath(__file__), "--here",
                                  build_dir, str(times)])
    print("KVM:", "on an SVM that QEMU's TCG emulates; a cycle and a nanosecond are "
          "one instruction" if "BHYVE_KVMHOST" in os.environ else "this host's")
    results = {}
    with tempfile.TemporaryDirectory() as top:
        # Not through the file system of another machine, each time.
        tmp = pathlib.Path(top)
        for f in BUILT:
            shutil.copy(out / f, tmp)
        shutil.copy(build_dir / "src/cmd/bhyve", tmp)
        for n in range(times + 1):
            for name, command in commands(tmp):
                row = run_once(tmp / "launch", command)
                if n > 0:  # the first is cold
                    results.setdefault(name, []).append(row)
    table(results)


main()
