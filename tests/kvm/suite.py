#!/usr/bin/env python3
"""The kvm suite: what runs on engine soft, on engine kvm, in one session.

usage: suite.py --build DIR --groups G,G... --asm A,A... [--only REGEX]
                [--bochs MODEL | --here]

Where there is KVM on hardware it is used; else tools/kvmhost.py's machine, started once.
With --bochs it is tools/bochshost.py's, with that processor.  With --here it is this
host itself, whose /dev/kvm emulates a guest's ring 0 (page-table virtual machines).
The plan is every group of the guest suite, every program of tests/cpu/asm, and the
lines of the file `list`, or in Bochs the debugger's stub, a boot, and one with Debian's
gdb.  Before that the guest groups run here on engine soft: the same tests must have
reported the same, but for those that `differences` names.  A test named there that
fails is reported as known (TODO), one that passes is a failure: strike the line.
In QEMU's machine an entry that fails has a second machine and a third.  A test fails
when it fails in all of them; else a line `# flaky` names it, and it is counted as that.
Writes TAP, and a line for each entry of the plan that tools/test-totals.py counts.
"""
import argparse
import collections
import contextlib
import glob
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
LINE = re.compile(r"(not )?ok \d+ - (.*?)(?: # SKIP ?(.*))?$")
SECONDS = 1200          # of the whole session
BOOT_SECONDS = 60
BEAT_SECONDS = 45
MACHINES = 6            # QEMU's TCG hangs, or is no more, now and then
TRIES = 2               # of an entry that a machine was lost in
AGAIN = 2               # machines for what fails in QEMU's first
LOST = 75               # kvmhost.py: the machine was gone before the command's end
# What `differences` may name: any KVM, a processor below it, or its kind on what is
# faithful (hardware, Bochs); or a KVM that emulates ring 0.
PLACES = ("kvm", "tcg", "bochs", "vmx", "svm", "pvm")


class Result:
    """One line of TAP."""

    def __init__(self, name, ok, skip=None):
        self.name, self.ok, self.skip, self.why = name, ok, skip, ""

    def key(self):
        """What is compared between engines."""
        skip = "" if self.skip is None else f" # SKIP {self.skip}"
        return ("ok " if self.ok else "not ok ") + self.name + skip


def parse(text):
    """Results, and what is wrong with the stream itself."""
    results, plan, wrong = [], None, None
    for line in text.splitlines():
        if m := LINE.match(line):
            results.append(Result(m[2], not m[1], m[3]))
        elif m := re.match(r"1\.\.(\d+)", line):
            plan = int(m[1])
        elif line.startswith("Bail out!"):
            wrong = line
        elif line.startswith("#") and results and not results[-1].ok:
            results[-1].why += line[1:].strip() + " "
    if wrong is None and plan != len(results):
        wrong = f"{len(results)} results of {plan}"
    return results, wrong


# --- the table of differences ---------------------------------------------


class Difference:
    def __init__(self, fields, where):
        self.entry, self.test, self.on, self.why = fields
        self.where = where
        self.failed = self.passed = 0

    def applies(self, where):
        return self.on.rstrip("?") in where

    def may_pass(self):
        return self.on.endswith("?")


def differences():
    table = collections.defaultdict(list)   # one for each of PLACES, it may be
    for n, line in enumerate((HERE / "differences").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 4 or fields[2].rstrip("?") not in PLACES:
            sys.exit(f"differences:{n}: not entry | test | {' '.join(PLACES)} | why")
        table[fields[0], fields[1]].append(Difference(fields, f"differences:{n}"))
    return table


def lookup(table, entry, name, where):
    """The last line that applies.  Group `two` runs the tests of others twice at a time:
    their lines count."""
    key = (entry, name)
    if entry == "guest two" and ": " in name:
        other = name.split(": ", 1)[1]
        key = (f"guest {other.split(': ')[0]}", other)
    return next((d for d in reversed(table.get(key, [])) if d.applies(where)), None)


# --- the plan --------------------------------------------------------------


def plan(args, table):
    build = pathlib.Path(args.build).resolve()
    runner = build / "tests/guest/guest_run"
    entries = []
    for g in args.groups.split(","):
        entries.append(dict(name=f"guest {g}", tap=True, seconds=400, argv=[
            str(runner), "-E", "kvm", g, str(runner.parent)]))
    for a in args.asm.split(","):
        cpu = build / "tests/cpu"
        entries.append(dict(name=f"asm {a}", tap=False, seconds=120, argv=[
            str(cpu / "run_asm"), "-E", "kvm", str(cpu / f"asm_{a}")]))
    words = {"BUILD": str(build), "SOURCE": str(SOURCE)}
    lines = [] if args.bochs else (HERE / "list").read_text().splitlines()
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, kind, seconds, command = (f.strip() for f in line.split("|"))
        argv = [re.sub(r"\$(\w+)", lambda m: words[m[1]], w)
                for w in shlex.split(command)]
        entries.append(dict(name=name, tap=kind == "tap",
                            seconds=int(seconds), argv=argv))
    for e in entries:
        for d in table.get((e["name"], "not run"), []):
            e["not_on_" + d.on] = d.why
    if args.bochs:
        entries += [stub_entry(build), boot_entry(build), gdb_entry(build)]
    return [e for e in entries if re.search(args.only, e["name"])]


def stub_entry(build):
    """The stub of -G, without gdb and Python."""
    payload = build / "tests/cli/payload.elf"
    nm = subprocess.run(["nm", payload], stdout=subprocess.PIPE, check=True).stdout
    symbols = dict(reversed(line.split()[::2]) for line in nm.decode().splitlines())
    return dict(name="gdb stub", tap=False, seconds=120, argv=[
        "sh", str(HERE / "stub.sh"), "kvm", str(build / "src/cmd/bhyve"), str(payload),
        *("0x" + symbols[n] for n in ("start", "stack_top", "command"))])


def boot_entry(build):
    """Debian's kernel; 1 is bhyve's status of a machine that powered off."""
    files = [str(build / f) for f in ("src/cmd/bhyve", "guest/vmlinuz", "guest/initrd.img")]
    bhyve, kernel, initrd = files
    argv = [bhyve, "-E", "kvm", "-c", "1", "-m", "256M", "-s", "0,hostbridge", "-s",
            "31,lpc", "-l", "com1,stdio", "--kernel", kernel, "--initrd", initrd,
            "--append", "console=ttyS0 quiet script=demo", "demo"]
    script = (f"{shlex.join(argv)} >/tmp/boot; [ $? = 1 ] && "
              "grep 'hello from the guest' /tmp/boot || { tail -5 /tmp/boot; false; }")
    return dict(name="boot demo", tap=False, seconds=200, argv=["sh", "-c", script],
                files=files)


def python_files(*argv):
    """What Python loads in a program, by what it says of that: its modules, their
    bytecode, extensions.  No locale, as in the machine: that has modules of its own."""
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, check=False,
                       env={"PYTHONVERBOSE": "1"})
    return re.findall(r"[ '](/[^ ']+\.(?:pyc?|so))\b", p.stderr.decode())


def gdb_entry(build):
    """Debian's gdb and a booting kernel; both gdb and the test need Debian's Python."""
    python, gdb = "/usr/bin/python3", "/usr/bin/gdb"
    program = [python, str(SOURCE / "tests/boot/gdb.py")]
    bhyve, *guest = (str(build / f) for f in ("src/cmd/bhyve", "guest/vmlinuz",
                                              "guest/initrd.img"))
    # What is built into Python, too: by os.py it knows where it is.
    files = [*program, bhyve, *guest,
             *python_files(python, "-X", "frozen_modules=off", program[1], "--help")]
    if os.path.exists(gdb):
        files += [gdb, *python_files(gdb, "-batch", "-nx")]
    return dict(name="boot gdb", tap=False, seconds=600, files=files, argv=[
        *program, "--engine", "kvm", "--bhyve", bhyve, "--guest", str(build / "guest")])


def status_file(work, entry):
    return work / "out" / (entry["name"].replace("/", "_") + ".status")


def hangs(work, began):
    """A machine that does not begin, or that writes its sign of life no more."""
    try:
        return time.time() - (work / "alive").stat().st_mtime > BEAT_SECONDS
    except FileNotFoundError:
        return time.monotonic() - began > BOOT_SECONDS


def lost_in(entries, work):
    """The entry that a lost machine was at; None in its start and at its end."""
    if not (work / "alive").exists():
        return None
    return next((e for e in entries if not status_file(work, e).exists()), None)


def give_up(entry, work):
    """An entry that no machine survives has failed; the others go on."""
    out = work / "out" / entry["name"].replace("/", "_")
    with open(out, "a", encoding="utf-8") as f:
        f.write(f"\nBail out! {TRIES} machines were lost in it\n")
    status_file(work, entry).write_text("124 0\n")


def run_host(host, work, end):
    """Status of the session; LOST when the machine hung or ended by itself."""
    with open(work / "log", "wb") as log:
        p = subprocess.Popen(host, stdin=subprocess.DEVNULL, stdout=log,
                             stderr=subprocess.STDOUT, start_new_session=True,
                             env=dict(os.environ, TEST_ENGINE="kvm"))
    began = time.monotonic()
    while p.poll() is None:
        time.sleep(0.5)
        hung = hangs(work, began)
        if hung or time.monotonic() > end:
            os.killpg(p.pid, signal.SIGTERM)    # the machine, too
            p.wait()
            return LOST if hung else 124
    return p.returncode


def session(args, entries, work):
    """Runs the plan; what of PLACES it ran on."""
    host = [sys.executable, str(SOURCE / "tools/kvmhost.py"), "--cpus", "2", args.build,
            sys.executable, str(HERE / "session.py"), str(work)]
    end = time.monotonic() + SECONDS
    lost = collections.Counter()
    for _ in range(MACHINES):
        left = [e for e in entries if not status_file(work, e).exists()]
        (work / "plan.json").write_text(json.dumps(left))
        (work / "alive").unlink(missing_ok=True)
        status = run_host(host, work, end)
        if status != LOST:
            break
        entry = lost_in(entries, work)
        name = entry["name"] if entry else "its start or at its end"
        log = (work / "log").read_text(errors="replace")
        print(f"# the machine was lost in {name}: {log[-300:]!r}", flush=True)
        lost[name] += 1
        if entry and lost[name] == TRIES:
            give_up(entry, work)
    text = (work / "log").read_text(errors="replace")
    if status == 77:
        print("1..0 # SKIP " + (text.strip().splitlines() or ["no kvm"])[-1])
        sys.exit(77)
    if status != 0 or not (work / "where").exists():
        print(f"Bail out! the session ended with {status}: {text[-500:]!r}")
        sys.exit(1)
    where = (work / "where").read_text().strip()
    print(f"# {where}")
    if "TCG" in where:
        return {"kvm", "tcg"}
    return {"kvm", "vmx" if "VMX" in where else "svm"}


def why_not_here(args):
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        return f"/dev/kvm: {e.strerror}"
    if subprocess.run([sys.executable, SOURCE / "tools/kvmhost.py", "--real", args.build,
                       "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return "KVM on hardware, which the suite kvm runs on"
    return None


def here_session(_, entries, work):
    """On this host's KVM, without a machine around it."""
    (work / "plan.json").write_text(json.dumps(entries))
    status = run_host([sys.executable, str(HERE / "session.py"), str(work), "pvm"], work,
                      time.monotonic() + SECONDS)
    if status != 0:
        text = (work / "log").read_text(errors="replace")
        print(f"Bail out! the session ended with {status}: {text[-500:]!r}")
        sys.exit(1)
    print("# " + (work / "where").read_text().strip())
    return {"kvm", "pvm"}


def bochs_script(entries, path):
    """Like session.py, for busybox, with one file for everything."""
    text = "#!/bin/sh\ngrep -qw vmx /proc/cpuinfo && echo '@@ VMX'\n"
    for e in entries:
        if "not_on_bochs" in e:
            text += f"echo '@@ begin {e['name']}'\necho '@@ end 77 0'\n"
            continue
        text += (f"echo '@@ begin {e['name']}'\nbegan=$(cut -d. -f1 /proc/uptime)\n"
                 f"timeout {e['seconds']} {shlex.join(e['argv'])} 2>&1\nstatus=$?\n"
                 "echo\necho \"@@ end $status $(($(cut -d. -f1 /proc/uptime) - began))\"\n")
    path.write_text(text)
    path.chmod(0o755)


def bochs_results(text, work):
    entry, out = None, []
    for line in text.splitlines():
        if line.startswith("@@ begin "):
            entry, out = {"name": line[9:]}, []
        elif line.startswith("@@ end ") and entry:
            name = entry["name"].replace("/", "_")
            (work / "out" / name).write_text("\n".join(out) + "\n")
            status_file(work, entry).write_text(line[7:] + "\n")
            entry = None
        elif entry:
            out.append(line)
    if entry:
        print(f"# {entry['name']} did not come to its end: " + repr(out[-5:]))


def bochs_session(args, entries, work):
    """The same in a machine that Bochs makes; the seconds are the machine's."""
    bochs_script(entries, work / "session.sh")
    files = {str(work / "session.sh")}
    for e in entries:
        files.update(f for f in e.get("files", e["argv"]) if os.path.isfile(f))
    files.update(map(str, pathlib.Path(args.build).resolve().glob("tests/guest/*.elf")))
    p = subprocess.run(
        [sys.executable, str(SOURCE / "tools/bochshost.py"), "--cpu", args.bochs,
         "--memory", "1024",
         *[w for f in sorted(files) for w in ("--file", f)], args.build,
         str(work / "session.sh")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        check=False)
    text = p.stdout.decode(errors="replace")
    (work / "log").write_text(text)
    if p.returncode == 77:
        print("1..0 # SKIP no Bochs")
        sys.exit(77)
    kind = "VMX" if "@@ VMX" in text else "SVM"
    print(f"# kvm on Bochs's {kind}, {args.bochs}")
    bochs_results(text, work)
    return {"kvm", "bochs", kind.lower()}


def run_soft(args, entries):
    """The guest groups on engine soft: name to output."""
    out = {}
    wanted = {e["name"] for e in entries}
    for name in args.groups.split(","):
        if f"guest {name}" not in wanted:
            continue
        runner = pathlib.Path(args.build) / "tests/guest/guest_run"
        p = subprocess.run([runner, "-E", "soft", name, runner.parent],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           check=False)
        out[f"guest {name}"] = p.stdout.decode(errors="replace")
    return out


# --- judgement -------------------------------------------------------------


class Report:
    def __init__(self):
        self.n = self.bad = 0
        self.failing = set()    # entries

    def line(self, ok, name, more=""):
        """Meson takes the first # for that of TODO: a known failure of "#GP" would fail."""
        name = name.replace("#", "")
        self.n += 1
        self.bad += not ok and " # TODO" not in more
        print(f"{'ok' if ok else 'not ok'} {self.n} - {name}{more}")


def earlier(work, entry):
    """What machines before the last one said of an entry, oldest first."""
    return sorted((work / "out").glob(glob.escape(entry.replace("/", "_")) + ".[1-9]"))


def flaky_tests(work, entry, text, table, where):
    """Tests that failed in one of QEMU's machines and passed in another: name to why."""
    texts = [f.read_text(errors="replace") for f in earlier(work, entry)] + [text]
    passed, failed = set(), {}
    for results in (parse(t)[0] for t in texts):
        bad = {r.name: r.why for r in results if not r.ok}
        passed |= {r.name for r in results if r.skip is None} - set(bad)
        failed |= bad
    return {name: why for name, why in failed.items()
            if name in passed and lookup(table, entry, name, where) is None}


def judge_tap(report, entry, text, status, flaky, table, where):
    """(failed, known) of an entry that wrote TAP."""
    results, wrong = parse(text)
    failed = known = forgiven = 0
    for r in results:
        d = lookup(table, entry, r.name, where)
        name = f"{entry}: {r.name}"
        if d is not None:
            d.failed += not r.ok or r.skip is not None
            d.passed += r.ok and r.skip is None
        if r.ok:
            report.line(True, name, "" if r.skip is None else f" # SKIP {r.skip}")
        elif d is not None:
            known += 1
            report.line(False, name, f" # TODO {d.on}: {d.why}")
        elif r.name in flaky:
            forgiven += 1
            report.line(True, name)
        else:
            failed += 1
            report.line(False, name)
            print(f"# {r.why}")
    for name, why in flaky.items():
        print(f"# flaky {entry}: {name}: {why}")
    if wrong or (status != 0 and failed + known + forgiven == 0):
        failed += 1
        report.line(False, f"{entry}: to its end")
        print(f"# status {status}; {wrong}; {text[-300:]!r}")
    return failed, known


def compare(report, entry, soft, kvm, flaky, table, where):
    """The same tests reported the same on both engines, but for the table, for
    what is flaky, and for what one of them skips, which its own line says."""
    skipped = {r.name for text in (soft, kvm) for r in parse(text)[0]
               if r.skip is not None} | set(flaky)

    def lines(text):
        return collections.Counter(
            r.key() for r in parse(text)[0] if r.name not in skipped
            and lookup(table, entry, r.name, where) is None)
    here, there = lines(soft), lines(kvm)
    if any(not r.ok and r.name.endswith("came to its end")
           and lookup(table, entry, r.name, where) for r in parse(kvm)[0]):
        here &= there       # known to end early: what it did not come to is not there
    report.line(here == there, f"{entry}: the same lines as on engine soft")
    for sign, more in (("soft", here - there), ("kvm", there - here)):
        for key in sorted(more.elements()):
            print(f"# only on {sign}: {key}")
    return here != there


def stale(report, table, entries, where):
    ran = {e["name"] for e in entries}
    for d in (d for rows in table.values() for d in rows):
        if d.entry not in ran or d.test == "not run" or not d.applies(where) or d.may_pass():
            continue
        if lookup(table, d.entry, d.test, where) is not d:
            continue
        if d.failed == 0 or d.passed != 0:
            report.failing.add(d.entry)
            report.line(False, f"{d.where} is stale: {d.entry}: {d.test} "
                        + ("passes" if d.passed else "does not exist"))


def judge(entries, work, soft, table, where):
    report = Report()
    for e in entries:
        name = e["name"]
        out = work / "out" / name.replace("/", "_")
        if not status_file(work, e).exists():
            report.line(False, f"{name}: ran to its end")
            report.failing.add(name)
            print(f"# entry FAIL 0 {name}")
            continue
        text = out.read_text(errors="replace")
        status, took = status_file(work, e).read_text().split()
        known = 0
        if int(status) == 77 and not text.strip():
            why = lookup(table, name, "not run", where).why
            report.line(True, name, f" # SKIP {why}")
            continue
        if e["tap"]:
            flaky = flaky_tests(work, name, text, table, where)
            failed, known = judge_tap(report, name, text, int(status), flaky, table,
                                      where)
            if name in soft:
                failed += compare(report, name, soft[name], text, flaky, table, where)
        else:
            d = lookup(table, name, "status", where)
            failed = int(status) not in (0, 77) and d is None
            more = ""
            if int(status) == 77:
                more = f" # SKIP {text.strip().splitlines()[-1:]}"
            elif int(status) != 0 and d is not None:
                known, more = 1, f" # TODO {d.on}: {d.why}"
            if d is not None:
                d.failed += int(status) != 0
                d.passed += int(status) == 0
            report.line(int(status) in (0, 77), name, more)
            if failed:
                print("".join(f"# {x}\n" for x in text.splitlines()[-20:]), end="")
        if failed:
            report.failing.add(name)
        elif earlier(work, name) and not (e["tap"] and flaky):
            said = earlier(work, name)[-1].read_text(errors="replace").split("\n")
            print(f"# flaky {name}: in another machine: {' '.join(said[-4:])}")
        print(f"# entry {'FAIL' if failed else 'passed'} {known} {name} ({took} s)")
    stale(report, table, entries, where)
    print(f"1..{report.n}")
    return report


def run_again(args, entries, work, soft, where):
    """QEMU's SVM is not to be trusted for long.  In 7.2 a VMEXIT clears
    CPU_INTERRUPT_VIRQ in the word that other threads set interrupts in, without a lock
    (do_vmexit() in svm_helper.c), so that now and then an interrupt of the machine's is
    lost: a guest hears no key, or all processors sleep for good.  One guest of 2000 or
    so ends in a triple fault, of which no more is known.  What a machine said stays, as
    NAME.1, NAME.2."""
    for n in range(1, AGAIN + 1):
        with contextlib.redirect_stdout(io.StringIO()):
            failing = judge(entries, work, soft, differences(), where).failing
        again = [e for e in entries if e["name"] in failing]
        if not again:
            return
        for e in again:
            out = work / "out" / e["name"].replace("/", "_")
            print(f"# {e['name']} fails in one machine and is run in another", flush=True)
            status_file(work, e).unlink(missing_ok=True)
            if out.exists():
                out.rename(out.with_name(f"{out.name}.{n}"))
        session(args, again, work)


def main():
    p = argparse.ArgumentParser()
    for name in ("--build", "--groups", "--asm"):
        p.add_argument(name, required=True)
    p.add_argument("--only", default="")
    p.add_argument("--bochs", help="a model of tools/bochshost.py")
    p.add_argument("--here", action="store_true", help="this host's KVM, which emulates")
    args = p.parse_args()
    if args.here and (why := why_not_here(args)):
        print("1..0 # SKIP " + why)
        sys.exit(77)
    table = differences()
    entries = plan(args, table)
    name, run = ("kvm", session)
    if args.bochs:
        name, run = (f"bochs-{args.bochs}", bochs_session)
    elif args.here:
        name, run = ("kvm-here", here_session)
    work = pathlib.Path(args.build).resolve() / name
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    # One after the other: a busy host makes the machine's kernel hang in its start.
    soft = run_soft(args, entries)
    where = run(args, entries, work)
    if "tcg" in where:
        run_again(args, entries, work, soft, where)
    sys.exit(judge(entries, work, soft, table, where).bad != 0)


main()
