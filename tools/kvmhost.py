#!/usr/bin/env python3
"""Run a command on a machine that has /dev/kvm, where this one has none.

usage: kvmhost.py [--cpus N] [--memory SIZE] [--real] [--icount] DIR COMMAND [ARGUMENT ...]

QEMU's TCG implements AMD's SVM, so Debian's kernel in it has KVM proper: slow, but the
kernel's own code and a faithful processor underneath.  The command sees this
host's files, read-only, at their own paths; DIR (the build directory) can be written to.
Its output is passed on, its status is ours; 77 when the machine cannot be made, 75
when it ended before the command did.
A host with a KVM that runs guest kernels on hardware runs the command directly.
`--real` insists on that.  With `--icount` its clocks and TSC count instructions, one a
nanosecond, on one processor: what is measured there is the same every time, but
says nothing of what an instruction costs.  DIR/guest/full must hold Debian's larger kernel (tools/guest.sh).
"""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

from hostinitrd import make_initrd

HERE = pathlib.Path(__file__).resolve().parent


def hardware():
    """Whether /dev/kvm opens and there is VMX or SVM below it."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return "vmx" in flags or "svm" in flags


def write_job(top, command, kind):
    """The script that runs `command` there, in this directory and environment."""
    job = pathlib.Path(tempfile.mkdtemp(prefix=".kvmhost-", dir=top))
    keep = {k: v for k, v in os.environ.items()
            if k in ("PATH", "LANG", "TERM", "USER")
            or k.startswith(("BHYVE_", "MESON_", "TEST_"))}
    env = " ".join(f"{k}={shlex.quote(v)}" for k, v in keep.items())
    run = job / "run"
    run.write_text(f"#!/bin/sh\ncd {shlex.quote(os.getcwd())} || exit 77\n"
                   f"{shlex.quote(sys.executable)} {HERE / 'kvmhost' / 'hold.py'}\n"
                   f"exec env -i HOME=/tmp {env} BHYVE_KVMHOST={kind} "
                   f"{shlex.join(command)}\n")
    run.chmod(0o755)
    return job


def accel(args):
    if args.icount:
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"]
    return ["-accel", "tcg,thread=multi"]


def qemu(args, top, full, initrd, job):
    def share(tag, path, more=""):
        return ["-fsdev", f"local,id={tag},path={path},security_model=none{more}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return ["qemu-system-x86_64", "-nodefaults", "-display", "none",
            "-no-reboot", *accel(args), "-cpu", "max",
            "-smp", str(args.cpus), "-m", args.memory, "-serial", "stdio",
            "-kernel", full / "vmlinuz", "-initrd", initrd, "-append",
            f"console=ttyS0 quiet loglevel=1 mitigations=off panic=-1 "
            f"dir={top} job={job} tree={HERE.parent}",
            *share("root", "/", ",readonly=on,multidevs=remap"),
            *share("job", top, ",multidevs=remap")]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--cpus", type=int, default=2)
    p.add_argument("--memory", default="3G")
    p.add_argument("--real", action="store_true")
    p.add_argument("--icount", action="store_true")
    p.add_argument("dir")
    p.add_argument("command", nargs=argparse.REMAINDER)
    args = p.parse_args()
    if args.icount:
        args.cpus = 1
    if hardware():
        os.execvp(args.command[0], args.command)
    if args.real:
        sys.exit("kvmhost: no KVM on hardware here")
    top = pathlib.Path(args.dir).resolve()
    full = top / "guest" / "full"
    if not shutil.which("qemu-system-x86_64") or not (full / "vmlinuz").exists():
        print("kvmhost: needs qemu-system-x86_64 and", full, file=sys.stderr)
        sys.exit(77)
    initrd = top / "guest" / "kvmhost.img"
    make_initrd("kvmhost", full, initrd)
    job = write_job(top, args.command, "icount" if args.icount else "tcg")
    try:
        ended = subprocess.run(qemu(args, top, full, initrd, job),
                               stdin=subprocess.DEVNULL, check=False).returncode
        status = (job / "status").read_text().strip()
    except FileNotFoundError:
        status = ""
    finally:
        shutil.rmtree(job)
    if not status:
        print(f"kvmhost: the machine ended without a status (QEMU's: {ended})",
              file=sys.stderr)
        sys.exit(75)
    sys.exit(int(status))


main()
