#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""-E: which engine, and one line that says why, whatever /dev/kvm is like.

usage: engine.py PROGRAM PAYLOAD SHIM [TEST ...]

SHIM (tests/kvm/fail_ioctl.c) makes /dev/kvm absent, forbidden, of another version,
without a capability, slow or broken; what it imitates is enough to be measured, not to
run a guest.  Where there is a /dev/kvm and we may change who may use it, that is
done, too.  Writes TAP.
"""

import errno
import grp
import os
import re
import subprocess
import sys

from machine import TIMEOUT, need, run_tests

program, payload, shim = (os.path.abspath(a) for a in sys.argv[1:4])

IRQCHIP = "0"           # KVM_CAP_IRQCHIP
SIGNAL_MSI = "77"           # KVM_CAP_SIGNAL_MSI
KVM_RUN, KVM_CREATE_VM = 0xae80, 0xae01
NOBODY = 65534


def sanitizer_runtime():
    """A sanitizer's library wants to be the first one; it passes on to the next."""
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True,
                               check=True).stdout
    return re.findall(r"=> (\S*/lib[at]san\.so\S*)", libraries)


def run(engine, preload=True, more=(), **settings):
    """(status, lines); the guest's machine cannot be built unless it is soft's, which
    powers off by a letter on standard input."""
    env = dict(os.environ)
    if preload:
        env["LD_PRELOAD"] = " ".join([*sanitizer_runtime(), shim])
    env.update({"KVM_SHIM_" + k: str(v) for k, v in settings.items()})
    p = subprocess.run(
        [*more, program, "-E", engine, "-m", "32M", "-s", "31,lpc", "-l",
         "com1,stdio", "--kernel", payload, "vm"],
        input=b"p", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=env, timeout=TIMEOUT, check=False)
    return p.returncode, p.stderr.decode().splitlines()


def refused(pattern, **settings):
    """-E kvm says that in one line and ends with status 4; -E auto takes soft, names
    the same reason in its one line, and the guest runs."""
    status, lines = run("kvm", **settings)
    need(status == 4, f"status {status}: {lines}")
    need(len(lines) == 1 and
         re.fullmatch(f"bhyve: -E kvm: {pattern}", lines[0]), f"{lines}")
    status, lines = run("auto", **settings)
    need(status == 1, f"auto: status {status}: {lines}")
    need(len(lines) == 1 and re.fullmatch(
        f"bhyve: engine soft: .*; not kvm: {pattern}", lines[0]), f"{lines}")


def test_absent():
    for e in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        refused(r"no /dev/kvm \(.*\)", OPEN=e)


def test_forbidden():
    """The group is the one that the device has, if it has one."""
    for e in (errno.EACCES, errno.EPERM):
        refused(r"no permission to use /dev/kvm[;,] .*(usermod -aG \w+ \$USER|"
                r"then join that group).*", OPEN=e)


def test_broken_open():
    refused(r"/dev/kvm: Too many open files", OPEN=errno.EMFILE)


def test_version():
    refused(r"/dev/kvm speaks API version 11, not 12", FAKE=11)


def test_capability():
    refused(r"this kernel's KVM lacks an interrupt controller in the kernel",
            FAKE=12, CAP=f"{IRQCHIP},0")
    refused(r"this kernel's KVM lacks KVM_SIGNAL_MSI", FAKE=12,
            CAP=f"{SIGNAL_MSI},0")


def test_runs_nothing():
    refused(r"KVM runs no guest code: KVM_RUN: Cannot allocate memory", FAKE=12,
            FAIL=f"{KVM_RUN},2,{errno.ENOMEM}")
    refused(r"KVM runs no guest code: KVM_CREATE_VM: Input/output error", FAKE=12,
            FAIL=f"{KVM_CREATE_VM},1,{errno.EIO}")


def test_slow():
    """auto prefers the software CPU; who says kvm gets it, with a warning."""
    rate = r"this KVM emulates, \d+ million instructions/s in ring 0"
    status, lines = run("auto", FAKE=12, RUN_NS=20_000_000)
    need(status == 1 and len(lines) == 1 and re.fullmatch(
        f"bhyve: engine soft: .*; not kvm: {rate}", lines[0]), f"{lines}")
    status, lines = run("kvm", FAKE=12, RUN_NS=20_000_000)
    need(status == 4 and re.fullmatch(
        f"bhyve: engine kvm: {rate}; -E auto would not take it", lines[0]),
        f"{lines}")
    # It obeyed: the imitation goes no further than this.
    need(any("engine kvm" in s for s in lines[1:]), f"{lines}")


def test_fast():
    status, lines = run("auto", FAKE=12)
    need(status == 4 and re.fullmatch(
        r"bhyve: engine kvm: hardware, \d+ million instructions/s in ring 0",
        lines[0]), f"{lines}")


def test_soft_asks_nobody():
    status, lines = run("soft", OPEN=errno.ENOENT)
    need(status == 1 and not lines, f"status {status}: {lines}")


def test_real_permissions():
    """As nobody: the group's name, or that there is none."""
    if not os.path.exists("/dev/kvm"):
        return "no /dev/kvm"
    if os.geteuid() != 0:
        return "not root"
    before = os.stat("/dev/kvm")
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, NOBODY))
    try:
        os.chmod("/dev/kvm", 0o600)
        status, lines = run("kvm", preload=False, more=user)
        need(status == 4 and "lets no group in" in lines[0], f"{lines}")
        os.chown("/dev/kvm", 0, group.gr_gid)
        os.chmod("/dev/kvm", 0o660)
        status, lines = run("kvm", preload=False, more=user)
        need(status == 4 and len(lines) == 1 and
             f"usermod -aG {group.gr_name} $USER" in lines[0], f"{lines}")
    finally:
        os.chown("/dev/kvm", before.st_uid, before.st_gid)
        os.chmod("/dev/kvm", before.st_mode & 0o7777)
    return None


run_tests({name[5:]: fn for name, fn in list(globals().items())
           if name.startswith("test_")}, sys.argv[4:])
