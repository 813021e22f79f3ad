"""A machine with disks and networks, in bhyve; or the same in QEMU's TCG, to see
whether it is the test that is wrong."""
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time

from common import Failure, Terminal, need

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ports import free_port  # noqa: E402

PART = 1048576          # where tools/disk.sh puts the root file system


class Disk:
    def __init__(self, path, kind="virtio-blk", opts=()):
        self.path, self.kind, self.opts = str(path), kind, opts


class Machine:
    """What to start: devices are added, then boot() begins."""

    def __init__(self, opts, cpus=2, mem="1G", kernel=None):
        self.opts, self.cpus, self.mem = opts, cpus, mem
        self.dir = kernel or opts.guest
        self.initrd = f"{self.dir}/initrd.img"
        self.disks, self.port, self.random = [], None, False
        self.term = None

    def disk(self, path, kind="virtio-blk", *opts):
        self.disks.append(Disk(path, kind, opts))
        return self

    def network(self):
        """User-mode network; host port `port` of 127.0.0.1 is the guest's 22, and
        the guest may reach the host (open)."""
        self.port = free_port()
        return self

    def bhyve(self, append):
        args = [self.opts.bhyve, "-c", str(self.cpus), "-m", self.mem, "-H",
                "-s", "0,hostbridge", "-s", "31,lpc", "-l", "com1,stdio"]
        slot = 2
        for d in self.disks:
            args += ["-s", ",".join([str(slot), d.kind, d.path, *d.opts])]
            slot += 1
        if self.port:
            args += ["-s", f"{slot},virtio-net,slirp,open,"
                     f"hostfwd=tcp:127.0.0.1:{self.port}-:22"]
            slot += 1
        if self.random:
            args += ["-s", f"{slot},virtio-rnd"]
        return [*args, "--kernel", f"{self.dir}/vmlinuz", "--initrd",
                self.initrd, "--append", append, "disktest"]

    def qemu(self, append):
        # RAM as a memfd, which bench/rss.py can tell from the rest.
        args = ["qemu-system-x86_64", "-M", "q35,memory-backend=ram", "-object",
                f"memory-backend-memfd,id=ram,size={self.mem}",
                "-accel", "tcg,thread=multi",
                "-cpu", "max", "-smp", str(self.cpus), "-m", self.mem,
                "-nodefaults", "-display", "none", "-no-reboot",
                "-serial", "stdio"]
        for n, d in enumerate(self.disks):
            ro = ",readonly=on" if "ro" in d.opts or d.kind == "ahci-cd" else ""
            args += ["-drive", f"id=d{n},if=none,format=raw,file={d.path}{ro}"]
            args += ["-device", self.qemu_device(n, d)]
        if self.port:
            args += ["-device", "virtio-net-pci,netdev=n0", "-netdev",
                     f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        if self.random:
            args += ["-device", "virtio-rng-pci"]
        return [*args, "-kernel", f"{self.dir}/vmlinuz", "-initrd",
                self.initrd, "-append", append]

    @staticmethod
    def qemu_device(n, d):
        if d.kind == "ahci-hd":
            return f"ide-hd,bus=ide.{n},drive=d{n}"
        if d.kind == "ahci-cd":
            return f"ide-cd,bus=ide.{n},drive=d{n}"
        legacy = "on" if "transport=legacy" in d.opts else "off"
        return (f"virtio-blk-pci,drive=d{n},disable-modern={legacy},"
                "disable-legacy=off")

    def boot(self, append):
        make = self.qemu if self.opts.qemu else self.bhyve
        self.term = Terminal(make("console=ttyS0 " + append), pipes=True)
        return self.term

    def end(self, timeout=120):
        """The status of a machine that powered off."""
        status = self.term.status(timeout)
        need(status == (0 if self.opts.qemu else 1),
             f"status {status}, expected 1 (powered off):\n"
             + self.term.log[-2000:])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.term:
            self.term.kill()


def report(command, started):
    print(f"  {time.monotonic() - started:6.1f} s  "
          f"{command.splitlines()[0][:90]}", flush=True)


class Console:
    """Commands in the guest over the serial line, in a shell that does not echo."""

    def __init__(self, term):
        self.term = term
        term.send(b"exec env PS1= TERM=dumb sh -c "
                  b"'stty -echo -onlcr cols 1000; echo rea\"\"dy; exec sh'\r")
        term.expect("ready\n", 120)

    def run(self, command, timeout=300, status=0):
        """Output of a command that must end with a status (None: any)."""
        started = time.monotonic()
        self.term.send(f"{command}\necho EN''D $?\n".encode())
        m = self.term.expect(r"(?s)(.*?)END (\d+)\n", timeout)
        report(command, started)
        need(status in (None, int(m.group(2))),
             f"{command!r}: status {m.group(2)}\n{m.group(1)[-3000:]}")
        return m.group(1)

    def put(self, path, content):
        text = base64.encodebytes(content).decode()
        self.run(f"base64 -d >{path} <<'X'\n{text}X")

    def leave(self, command):
        self.term.send(command.encode() + b"\n")


class Ssh:
    """Commands in the guest, over one connection: a key exchange takes a software
    CPU long.  once() makes a new one."""

    def __init__(self, opts, port):
        self.dir = tempfile.TemporaryDirectory(prefix="bhyve-ssh-")
        self.base = ["ssh", "-p", str(port), "-i", f"{opts.guest}/id_ed25519",
                     "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
                     "-o", f"ControlPath={self.dir.name}/c",
                     "-o", "StrictHostKeyChecking=no",
                     "-o", "UserKnownHostsFile=/dev/null",
                     "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
                     "-o", "ConnectTimeout=60", "root@127.0.0.1"]

    def once(self, command):
        """By a connection of its own."""
        return subprocess.run(
            [*self.base, "-o", "ControlPath=none", command], check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            timeout=120).stdout.decode()

    def put(self, path, content):
        self.run(f"cat >{path}", stdin=content)

    def leave(self, command):
        """The last command, which ends the machine."""
        self.run(command, status=None, quiet=True)
        subprocess.run([*self.base, "-O", "exit"], stderr=subprocess.DEVNULL,
                       timeout=30)

    def run(self, command, timeout=300, stdin=None, status=0, quiet=False):
        """Output of a command that must end with a status (None: any)."""
        started = time.monotonic()
        if isinstance(stdin, str):
            stdin = stdin.encode()
        p = subprocess.run([*self.base, command], input=stdin or b"",
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=timeout)
        out = p.stdout.decode("utf-8", "replace")
        if not quiet:
            report(command, started)
        need(status in (None, p.returncode),
             f"{command!r}: status {p.returncode}\n{out[-3000:]}"
             + p.stderr.decode("utf-8", "replace")[-3000:])
        return out


def copy_image(opts, to):
    """A copy of the disk image that may be written to."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto",
                    f"{opts.guest}/debian.img", to], check=True)
    os.chmod(to, 0o644)
    return to


def tool(name):
    """A program that users' paths may not have."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise Failure(f"no {name} here")
    return found


def fsck(path, offset=0):
    """Nothing to repair in an ext4 file system, offset bytes into a file."""
    p = subprocess.run([tool("e2fsck"), "-fn", f"{path}?offset={offset}"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=120)
    need(p.returncode == 0, "e2fsck: " + p.stdout.decode())
