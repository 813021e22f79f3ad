#!/usr/bin/env python3
"""Whole systems on disks: Debian by systemd, data on every disk model, power failures.

usage: disk.py CASE --bhyve PATH --guest DIR [--work DIR] [--qemu]

Each case is a function, and one boot checks many things.  --qemu runs the same in
QEMU's TCG: a case that fails there too is itself wrong.  The image and the kernels
are made by tools/disk.sh and tools/guest.sh.
"""
import argparse
import contextlib
import functools
import hashlib
import http.server
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from common import Failure, check_log, need
from machine import PART, Console, Machine, Ssh, copy_image, fsck, tool

HERE = pathlib.Path(__file__).parent
GUEST = HERE / "guest"
TOOLS = HERE.parent.parent / "tools"
PROMPT = r"deb# "
sys.path.insert(0, str(GUEST))
import data  # noqa: E402  (the guest's program is the host's oracle)


class Step:
    """Prints how long a part took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, *exc):
        print(f"{time.monotonic() - self.started:8.1f} s  {self.what}",
              flush=True)


# --- Debian -----------------------------------------------------------------------


def healthy(g, log):
    if not g.opts.qemu:         # TCG has clocks to complain about
        check_log(log)


def multi_user(g, sh):
    """systemd is content, and so is the kernel."""
    state = sh.run("systemctl is-system-running --wait", 300, status=None)
    failed = sh.run("systemctl --failed --plain --no-legend --no-pager")
    need(state.strip() == "running" and not failed.strip(),
         f"systemd says {state.strip()!r}; failed: {failed}")
    healthy(g, sh.run("dmesg"))
    errors = sh.run("journalctl -b -p err --no-pager -q")
    need(not errors.strip(), "errors in the journal:\n" + errors)


def console(m):
    """The prompt of root's shell on the serial line."""
    m.term.expect(PROMPT, 600)
    c = Console(m.term)
    need(c.run("echo on $(hostname) $((6*7))") == "on deb 42\n", "the console")
    return c


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def web(directory):
    """A web server on this host's 127.0.0.1; the guest finds it at 10.0.2.2."""
    handler = functools.partial(Files, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def network(g, ssh):
    """DHCP gave an address, a route and a name server; bytes are the same both ways,
    by ssh and from a server on the host."""
    need("deb 42" in ssh.once("echo $(hostname) $((6*7))"), "a second connection")
    need("10.0.2.15/24" in ssh.run("ip -4 -o addr"), "no address by DHCP")
    need("via 10.0.2.2" in ssh.run("ip route"), "no route by DHCP")
    need("10.0.2.3" in ssh.run("resolvectl dns"), "no name server by DHCP")
    blob = random.Random(1).randbytes(6 << 20)
    (g.work / "blob").write_bytes(blob)
    want = hashlib.sha256(blob).hexdigest()
    need(want in ssh.run("sha256sum", stdin=blob), "ssh in: other bytes")
    with web(g.work) as port:
        got = ssh.run(
            "python3 -c 'import urllib.request as u, hashlib; "
            f'd = u.urlopen("http://10.0.2.2:{port}/blob").read(); '
            "print(hashlib.sha256(d).hexdigest())'")
    need(want in got, "http: other bytes")
    out = subprocess.run([*ssh.base, "cat /usr/bin/python3.11 | tee >(sha256sum >&2)"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=300)
    need(hashlib.sha256(out.stdout).hexdigest() in out.stderr.decode(),
         "ssh out: other bytes")


def load(ssh):
    """User space with both processors busy computes what it must."""
    sums = GUEST / "sums.py"
    host = subprocess.run([sys.executable, sums], stdout=subprocess.PIPE,
                          check=True, timeout=300).stdout.decode()
    got = ssh.run("python3 -", 300, sums.read_text())
    need(got == host, f"sums differ:\nhost\n{host}\nguest\n{got}")
    for what in ("--cpu 2 --cpu-method all --cpu-ops 60",
                 "--vm 2 --vm-bytes 32m --vm-method all --vm-ops 4000",
                 "--pipe 2 --pipe-ops 20000 --futex 2 --futex-ops 4000",
                 "--fork 2 --fork-ops 300 --switch 2 --switch-ops 5000",
                 "--fp 2 --fp-ops 40 --matrix 2 --matrix-ops 200"):
        out = ssh.run(f"stress-ng --verify --timeout 60 {what} 2>&1", 150)
        need("successful run completed" in out and "fail:" not in out, out)
    crypto(ssh)


def crypto(ssh):
    """openssl signs and encrypts; the other side knows whether that is right."""
    script = r"""
set -e
cd /tmp
head -c 300000 /usr/bin/openssl >plain
for c in aes-128-ctr aes-256-cbc chacha20 camellia-128-cbc; do
	openssl enc -$c -pbkdf2 -iter 100 -k word -in plain -out secret 2>/dev/null
	openssl enc -d -$c -pbkdf2 -iter 100 -k word -in secret | cmp - plain
done
for k in "RSA -pkeyopt rsa_keygen_bits:2048" "EC -pkeyopt ec_paramgen_curve:P-256"; do
	openssl genpkey -algorithm $k -out key 2>/dev/null
	openssl pkey -in key -pubout -out pub
	openssl dgst -sha256 -sign key -out sig plain
	openssl dgst -sha256 -verify pub -signature sig plain
done
openssl enc -aes-256-ctr -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
	-iv 0f0e0d0c0b0a09080706050403020100 -in /dev/zero 2>/dev/null |
	head -c 1000000 | sha256sum
"""
    out = ssh.run("sh -s", 180, script)
    need(out.count("Verified OK") == 2, out)
    # The same by the host's openssl, on the real processor.
    need(keystream() in out, "AES-CTR differs: " + out)


def keystream():
    zero = bytes(1000000)
    out = subprocess.run(
        ["openssl", "enc", "-aes-256-ctr", "-K",
         "00112233445566778899aabbccddeeff" * 2, "-iv",
         "0f0e0d0c0b0a09080706050403020100"], input=zero,
        stdout=subprocess.PIPE, check=True).stdout
    return hashlib.sha256(out).hexdigest()


def devices(sh, want):
    """lspci can make sense of what is there: capabilities inside the header's list,
    decoding and mastering on, no leftovers of errors."""
    text = sh.run("lspci -vv -nn")
    for name in want:
        need(name in text, f"no {name} in:\n{text}")
    need("<access denied>" not in text and "!!!" not in text
         and "<chain looped>" not in text, text)
    for part in re.split(r"\n\n", text.strip()):
        if "Virtio" not in part and "SATA" not in part:
            continue
        need("Kernel driver in use" in part, "no driver:\n" + part)
        need("BusMaster+" in part, "not a bus master:\n" + part)
        need("MSI-X: Enable+" in part or "MSI: Enable+" in part
             or "Interrupt: pin A routed to IRQ" in part,
             "no interrupt:\n" + part)
        status = re.search(r"Status: .*", part).group(0)
        for bad in "<TAbort+", "<MAbort+", ">SERR+", "<PERR+":
            need(bad not in status, f"{bad}:\n{part}")
    need(re.search(r"\S", sh.run("lspci -t")), "lspci -t")


def power_off(g, m, sh):
    sh.leave("systemctl poweroff")
    m.end()
    healthy(g, m.term.log)


# --- data on disks ----------------------------------------------------------------


def fill(path, seed, mib=16):
    with open(path, "wb") as f:
        f.write(data.at_first(seed, mib << 20))
    return path


def write_in_guest(sh, disks, count=150):
    """(device, seed) each: all at the same time."""
    runs = " ".join(f"python3 /tmp/data.py write {d} {s} {count} & pids=\"$pids $!\";"
                    for d, s in disks)
    sh.put("/tmp/data.py", (GUEST / "data.py").read_bytes())
    out = sh.run('pids=; ' + runs + " for p in $pids; do wait $p || exit 1; done", 600)
    need(out.count("data ") == len(disks), out)


def check_on_host(path, seed, count=150):
    subprocess.run([sys.executable, GUEST / "data.py", "check", path,
                    str(seed), str(count)], check=True, timeout=120)


# --- the cases --------------------------------------------------------------------


def debian(g):
    """The whole of it on two processors: systemd, ssh, network, disks, load."""
    image = copy_image(g.opts, g.work / "root.img")
    modern = fill(g.work / "modern", 11)
    legacy = fill(g.work / "legacy", 12)
    fixed = fill(g.work / "fixed", 13, 4)
    with Machine(g.opts) as m:
        m.disk(image).disk(modern, "virtio-blk", "transport=modern")
        m.disk(legacy, "virtio-blk", "transport=legacy")
        m.disk(fixed, "virtio-blk", "ro").network()
        m.random = True
        with Step("boot to a prompt"):
            m.boot("quiet root=/dev/vda1")
            console(m)
        ssh = Ssh(g.opts, m.port)
        with Step("systemd is content"):
            multi_user(g, ssh)
        with Step("network"):
            network(g, ssh)
        with Step("devices"):
            devices(ssh, ["Virtio block device", "Virtio network device"])
            read_only(ssh, "/dev/vdd", fixed)
            entropy(ssh)
        with Step("data"):
            write_in_guest(ssh, [("/dev/vdb", 11), ("/dev/vdc", 12)])
        with Step("load"):
            load(ssh)
        healthy(g, ssh.run("dmesg"))
        with Step("power off"):
            power_off(g, m, ssh)
    check_on_host(modern, 11)
    check_on_host(legacy, 12)
    need(fixed.read_bytes() == data.at_first(13, 4 << 20), "ro disk changed")
    fsck(image, PART)


def read_only(ssh, device, path):
    want = hashlib.sha256(path.read_bytes()).hexdigest()
    need(want in ssh.run(f"sha256sum {device}"), "ro disk: other bytes")
    need(ssh.run(f"blockdev --getro {device}").strip() == "1", "not ro")
    ssh.run(f"! dd if=/dev/zero of={device} bs=4k count=1 oflag=direct 2>&1")


def entropy(ssh):
    """The kernel has taken virtio's random numbers, and they are not constant."""
    current = ssh.run("cat /sys/class/misc/hw_random/rng_current")
    need("virtio_rng" in current, f"rng_current is {current}")
    words = ssh.run("head -c 4096 /dev/hwrng | od -An -v -t x8 -w8").split()
    need(len(set(words)) == 512, "the random numbers repeat")


def ahci(g):
    """The same image on AHCI, with Debian's larger kernel; disks and a CD.  No network:
    commands go over the serial line."""
    image = copy_image(g.opts, g.work / "root.img")
    disk = fill(g.work / "disk", 21)
    cd = fill(g.work / "cd", 22, 6)
    with Machine(g.opts, kernel=f"{g.opts.guest}/full") as m:
        m.disk(image, "ahci-hd").disk(disk, "ahci-hd").disk(cd, "ahci-cd")
        with Step("boot to a prompt"):
            m.boot("quiet root=UUID=6d696e69-6d61-4c20-6469-736b206f6e65")
            sh = console(m)
        with Step("systemd is content"):
            multi_user(g, sh)
        with Step("devices"):
            devices(sh, ["SATA controller"])
            device = sized(sh, disk)
            ata(sh, device, disk)
            cdrom(sh, cd)
        with Step("data"):
            write_in_guest(sh, [(device, 21)])
        healthy(g, sh.run("dmesg"))
        with Step("power off"):
            power_off(g, m, sh)
    check_on_host(disk, 21)
    need(cd.read_bytes() == data.at_first(22, 6 << 20), "the CD changed")
    fsck(image, PART)


def sized(sh, disk):
    """The disk of that size: Linux names SCSI disks in the order in which they
    answer."""
    size = disk.stat().st_size
    name = sh.run(f"lsblk -dbno NAME,SIZE | awk '$2 == {size} {{ print $1 }}'")
    need(re.fullmatch(r"sd[a-z]\n", name), f"disks of {size} bytes: {name!r}")
    return "/dev/" + name.strip()


def ata(sh, device, disk):
    sectors = disk.stat().st_size // 512
    text = sh.run(f"hdparm -I {device}")
    need(re.search(rf"LBA48? +user addressable sectors: +{sectors}\b", text),
         text)
    need("Write cache" in text and "DMA:" in text, text)
    text = sh.run(f"smartctl -i {device}", status=None)
    need("User Capacity" in text and f"{disk.stat().st_size:,} bytes" in text,
         text)
    sh.run(f"hdparm -f -F {device}")


def cdrom(sh, cd):
    want = hashlib.sha256(cd.read_bytes()).hexdigest()
    out = sh.run("dd if=/dev/sr0 bs=2048 2>/dev/null | sha256sum")
    need(want in out, "CD: other bytes")
    out = sh.run("dd if=/dev/sr0 bs=64k iflag=direct 2>/dev/null | sha256sum")
    need(want in out, "CD past the cache: other bytes")
    need(sh.run("blockdev --getro /dev/sr0").strip() == "1", "CD not ro")


# --- power failures ---------------------------------------------------------------


def with_program(g):
    """The initramfs with the program `records` and its script."""
    exe = g.work / "records"
    subprocess.run(["gcc", "-O1", "-static", "-Wall", "-o", exe,
                    GUEST / "records.c"], check=True)
    initrd = g.work / "initrd.img"
    subprocess.run(
        [sys.executable, TOOLS / "mkinitramfs.py", initrd,
         f"{g.opts.guest}/busybox", TOOLS / "initramfs",
         f"bin/records={exe}", f"scripts/records={GUEST / 'records'}",
         f"+{g.opts.guest}/modules.cpio"], check=True)
    return initrd


def last_acknowledged(log):
    done = re.findall(r"\back (\d+)\r", log)
    return int(done[-1]) if done else -1


def crash(g):
    """Ten times the monitor is killed while the guest appends records, each with an
    fsync.  Every record that was acknowledged is there at the next boot, and the
    file system needs nothing but its journal."""
    initrd, disk = with_program(g), g.work / "disk"
    disk.write_bytes(b"")
    os.truncate(disk, 48 << 20)
    subprocess.run([tool("mke2fs"), "-q", "-F", "-t", "ext4", disk], check=True)
    rng = random.Random(time.time_ns())
    have = -1
    for round_ in range(11):
        with Machine(g.opts, cpus=1, mem="256M") as m:
            m.initrd = initrd
            m.disk(disk)
            t = m.boot("quiet script=records" + (" check" if round_ == 10
                                                 else ""))
            found = int(t.expect(r"records (\d+)\r", 120).group(1))
            need(found > have, f"round {round_}: {have + 1} acknowledged, "
                 f"{found} found")
            if round_ == 10:
                m.end()
                break
            t.expect(r"ack \d+\r", 60)
            time.sleep(rng.uniform(0.05, 1.5))
            m.term.kill()
            time.sleep(0.1)             # what the terminal still holds
            now = last_acknowledged(t.log)
            print(f"  round {round_}: {found} found, killed after {now}",
                  flush=True)
            have = max(have, now)
    need(have > 50, f"only {have} records: the rounds did too little")
    fsck(disk)


CASES = {f.__name__: f for f in (debian, ahci, crash)}


class Setting:
    def __init__(self, opts, work):
        self.opts, self.work = opts, pathlib.Path(work)


# Device models and files of a case.
NEEDS = {
    "debian": (("virtio-blk", "virtio-net", "virtio-rnd"),
               ("vmlinuz", "debian.img")),
    "ahci": (("ahci-hd", "ahci-cd"),
             ("full/vmlinuz", "debian.img")),
    "crash": (("virtio-blk",), ("vmlinuz", "modules.cpio")),
}


def lacking(opts):
    """What a case lacks here, or nothing."""
    models, files = NEEDS[opts.case]
    known = " ".join(models) if opts.qemu else subprocess.run(
        [opts.bhyve, "-s", "help"], stdout=subprocess.PIPE
    ).stdout.decode().split("Not built in yet")[0]
    for name in models:
        if not re.search(rf"(^|\s){name}\b", known):
            return f"this bhyve has no {name}"
    for f in files:
        if not os.path.exists(f"{opts.guest}/{f}"):
            return f"no {opts.guest}/{f}: tools/guest.sh and tools/disk.sh make it"
    if not shutil.which("ssh"):
        return "no ssh here"
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("case", choices=CASES)
    p.add_argument("--bhyve", required=True)
    p.add_argument("--guest", required=True)
    p.add_argument("--work", help="keep the disks here")
    p.add_argument("--qemu", action="store_true")
    opts = p.parse_args()
    if why := lacking(opts):
        print(why)
        return 77
    with contextlib.ExitStack() as stack:
        work = opts.work or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="bhyve-disk-"))
        os.makedirs(work, exist_ok=True)
        try:
            CASES[opts.case](Setting(opts, work))
        except (Failure, subprocess.SubprocessError) as e:
            print("FAILED:", e)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
