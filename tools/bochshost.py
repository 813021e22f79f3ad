#!/usr/bin/env python3
"""Run a command on a machine with VMX, and so /dev/kvm, that Bochs makes.

usage: bochshost.py [--cpu MODEL] [--file PATH ...] [--seconds N] DIR COMMAND [ARGUMENT ...]

Bochs interprets a processor with VMX and EPT, down to what QEMU's TCG (kvmhost.py)
leaves out: debug registers in a guest, intercepts of #DB and #BP, segment limits,
#AC.  Debian's kernel and its KVM run on that.  There is one
processor, at about 80 million instructions a second, and the command finds only
what was given to it: each --file, the command's own, and the libraries that those
need, at their own paths, and busybox for the rest.  It sees no disk and no network.
Its output is passed on as it comes, its status is ours; 77 when the machine cannot
be made.  DIR/guest/full must hold Debian's larger kernel (tools/guest.sh).
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from cpio import Cpio
from hostinitrd import is_fresh, make_initrd

HERE = pathlib.Path(__file__).resolve().parent
BOCHS = pathlib.Path("/usr/share/bochs")
GRUB = pathlib.Path("/usr/lib/grub/i386-pc")
DEFAULT_CPU = "broadwell_ult"   # has SMAP, and no XSAVES, of which Bochs lacks some
# The clock's: fewer than Bochs runs a second make its time pass faster than ours, and
# a guest's tick then is all that the kernel does.
IPS = 100_000_000

# Without `sound` Bochs looks for a sound card, and aborts where there is none.
CONFIG = """\
display_library: rfb, options="timeout=0"
romimage: file={bochs}/BIOS-bochs-latest, options=fastboot
vgaromimage: file={bochs}/VGABIOS-lgpl-latest
megs: {memory}
cpu: model={cpu}, count=1, ips={ips}, reset_on_triple_fault=0
clock: sync=none, time0=utc
ata0-master: type=cdrom, path={work}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={work}/serial
vga: update_freq=1
speaker: enabled=0
sound: driver=dummy
log: {work}/log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
# Of one processor whose clock is its own count of instructions there is nothing to check.
APPEND = ("console=ttyS0 quiet mitigations=off nokaslr nosmp tsc=reliable "
          "no_timer_check raid=noautodetect panic=-1")


def make_kernel(full, out):
    parts = [full / "vmlinuz", HERE / "bochshost" / "kernel.py",
             HERE / "bochshost" / "entry.S"]
    if is_fresh(out, parts):
        return
    new = f"{out}.{os.getpid()}"
    subprocess.run([sys.executable, parts[1], parts[0], new], check=True)
    os.replace(new, out)


def libraries(path):
    """What the dynamic linker would load for a program."""
    p = subprocess.run(["ldd", path], stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, check=False)
    return [pathlib.Path(m[1]) for m in
            re.finditer(rb"(?:=> |^\t)(/\S+) \(", p.stdout, re.M)
            for m in [[None, m[1].decode()]]]


def stripped(path):
    """Without its symbols when it is an ELF file: Bochs reads slowly."""
    data = path.read_bytes()
    if not data.startswith(b"\x7fELF"):
        return data
    with tempfile.NamedTemporaryFile() as out:
        p = subprocess.run(["strip", "-o", out.name, path], check=False,
                           stderr=subprocess.DEVNULL)
        return pathlib.Path(out.name).read_bytes() if p.returncode == 0 else data


def make_job(args, out):
    """The script that runs the command there, and its files, as a cpio archive."""
    env = {k: v for k, v in os.environ.items() if k.startswith(("BHYVE_", "TEST_"))}
    words = " ".join(f"{k}={shlex.quote(v)}" for k, v in env.items())
    script = (f"#!/bin/sh\ncd {shlex.quote(os.getcwd())} || exit 77\n"
              f"exec env HOME=/tmp BHYVE_KVMHOST=bochs {words} "
              f"{shlex.join(args.command)}\n")
    files = {pathlib.Path(os.path.abspath(f)) for f in args.file}
    if os.path.exists(args.command[0]):
        files.add(pathlib.Path(os.path.abspath(args.command[0])))
    for f in list(files):
        files.update(libraries(f))
    cpio, made = Cpio(), set()

    def directory(path):
        for d in [*reversed(path.parents), path]:
            name = str(d).strip("/")
            if name not in made | {"", "."}:
                made.add(name)
                cpio.directory(name)
    directory(pathlib.Path("/job"))
    directory(pathlib.Path(os.getcwd()))
    cpio.file("job/run", script.encode(), 0o755)
    for f in sorted(files):
        directory(f.parent)
        # Python's bytecode is good for a source of that time.
        cpio.file(str(f).strip("/"), stripped(f), 0o755, int(f.stat().st_mtime))
    out.write_bytes(cpio.finish())


def make_disc(work, kernel, initrd, append):
    """GRUB, the kernel and the two archives on a disc that Bochs's BIOS boots."""
    tree = work / "disc"
    (tree / "boot" / "grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(
        f"linux /vmlinuz {APPEND} {append}\ninitrd /initrd /job\nboot\n")
    shutil.copy(kernel, tree / "vmlinuz")
    shutil.copy(initrd, tree / "initrd")
    shutil.move(work / "job", tree / "job")
    p = subprocess.run(
        ["grub-mkrescue", "-o", work / "boot.iso", "-d", GRUB,
         "--install-modules=normal linux iso9660 biosdisk boot", "--locales=",
         "--themes=", "--fonts=", tree],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        sys.exit("bochshost: grub-mkrescue: " + p.stdout.decode())


class Console(threading.Thread):
    """Passes on what the machine writes, and looks for the status in it."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ended, self.text = path, False, b""
        self.shown = 0

    def more(self):
        if self.path.exists():
            with open(self.path, "rb") as f:
                f.seek(len(self.text))
                self.text += f.read()
        end = self.text.find(b"bochshost: status")
        upto = self.text.rfind(b"\n") + 1 if end < 0 else end
        sys.stdout.buffer.write(self.text[self.shown:upto].replace(b"\r", b""))
        sys.stdout.flush()
        self.shown = max(self.shown, upto)

    def run(self):
        while not self.ended:
            self.more()
            time.sleep(0.2)

    def status(self):
        self.ended = True
        self.join()
        self.more()
        m = re.search(rb"bochshost: status (\d+)", self.text)
        return int(m[1]) if m else None


def run(args, work):
    (work / "config").write_text(CONFIG.format(
        bochs=BOCHS, memory=args.memory, cpu=args.cpu, ips=IPS, work=work))
    (work / "debugger").write_text("continue\n")    # Debian's has it, and it waits
    console = Console(work / "serial")
    console.start()
    with open(work / "out", "wb") as out:
        p = subprocess.Popen(
            ["bochs", "-q", "-f", work / "config", "-rc", work / "debugger"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            p.wait(timeout=args.seconds)
        except subprocess.TimeoutExpired:
            print(f"bochshost: not done in {args.seconds} s", file=sys.stderr)
        finally:
            p.kill()
            p.wait()
    return console.status()


def missing(full):
    needs = [("bochs", shutil.which("bochs")),
             ("grub-mkrescue", shutil.which("grub-mkrescue")),
             ("xorriso", shutil.which("xorriso")),
             (GRUB, GRUB.exists()), (full, (full / "vmlinuz").exists()),
             (BOCHS / "VGABIOS-lgpl-latest",
              (BOCHS / "VGABIOS-lgpl-latest").exists())]
    return [str(what) for what, there in needs if not there]


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--cpu", default=DEFAULT_CPU, help="see bochs --help cpu")
    p.add_argument("--append", default="", help="for the kernel, e.g. ignore_loglevel")
    p.add_argument("--file", action="append", default=[])
    p.add_argument("--memory", type=int, default=512, help="MiB")
    p.add_argument("--seconds", type=int, default=1200)
    p.add_argument("dir")
    p.add_argument("command", nargs=argparse.REMAINDER)
    args = p.parse_args()
    top = pathlib.Path(args.dir).resolve()
    full = top / "guest" / "full"
    lacks = missing(full)
    if lacks:
        print("bochshost: needs", ", ".join(lacks), file=sys.stderr)
        sys.exit(77)
    initrd = top / "guest" / "bochshost.img"
    kernel = top / "guest" / "bochshost.kernel"
    make_initrd("bochshost", full, initrd)
    make_kernel(full, kernel)
    work = pathlib.Path(tempfile.mkdtemp(prefix=".bochshost-", dir=top))
    try:
        make_job(args, work / "job")
        make_disc(work, kernel, initrd, args.append)
        status = run(args, work)
        if status is None:
            log = (work / "log").read_text(errors="replace") \
                if (work / "log").exists() else ""
            print(log[-1000:], file=sys.stderr)
    finally:
        if not os.environ.get("BOCHSHOST_KEEP"):
            shutil.rmtree(work)
    if status is None:
        sys.exit("bochshost: the machine ended without a status")
    sys.exit(status)


main()
