"""The initial RAM disk of a machine that has KVM (kvmhost.py, bochshost.py)."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def is_fresh(out, parts):
    """Nothing that it is made from is newer."""
    return out.exists() and all(out.stat().st_mtime >= p.stat().st_mtime
                                for p in parts)


def make_initrd(room, full, out):
    """KVM's modules and the init script of tools/`room`, as a cpio archive; made when
    stale."""
    parts = [HERE / room / "init", HERE / room / "modules", full / "kernel.deb",
             pathlib.Path(__file__)]
    if is_fresh(out, parts):
        return
    with tempfile.TemporaryDirectory() as d:
        scripts = pathlib.Path(d) / "scripts"
        scripts.mkdir()
        shutil.copy(parts[0], scripts / "init")
        modules, new = f"{d}/modules.cpio", f"{out}.{os.getpid()}"
        subprocess.run([sys.executable, HERE / "mkmodules.py", modules,
                        full / "kernel.deb", parts[1]], check=True)
        subprocess.run([sys.executable, HERE / "mkinitramfs.py", new,
                        full / "busybox", scripts, "+" + modules], check=True)
        os.replace(new, out)
