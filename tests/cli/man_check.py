#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The manual pages name exactly the options, devices and keys there are.

usage: man_check.py PROGRAM bhyve.8 bhyve_config.5
"""

import re
import shutil
import subprocess
import sys


def output(program, *args):
    return subprocess.run([program, *args], capture_output=True, text=True,
                          check=True).stdout


def help_options(program):
    """{"-c", "--cpus", ...} and lines too long for a terminal."""
    options, wide = set(), []
    for line in output(program, "--help").splitlines():
        if len(line) > 80:
            wide.append(line)
        m = re.match(r"  (-\w)?(?:, |   ? )?(--[\w-]+)?", line)
        if re.match(r"  (-\w|    --)", line):
            options |= {o for o in m.groups() if o}
    return options, wide


def man_options(path):
    options = set()
    for line in open(path, encoding="utf-8"):
        if not line.startswith(".It Fl "):
            continue
        # ".It Fl c , -cpus Ar ..." or ".It Fl -kernel Ar ..."
        m = re.match(r"\.It Fl (-?[\w-]+)(?: , (-[\w-]+))?(?: |$)", line)
        options |= {"-" + o for o in m.groups() if o}
    return options


def help_keys(program):
    """name -> default, None: none, "later": not built in yet."""
    keys, name = {}, None
    for line in output(program, "--help-keys").splitlines():
        if not line.startswith(" "):
            name = line
            keys[name] = None
        elif line == "    not built in yet":
            keys[name] = "later"
        elif "; default " in line:
            keys[name] = line.split("; default ")[1]
    return keys


def man_keys(path):
    keys, later = {}, False
    for line in open(path, encoding="utf-8"):
        if line.startswith((".Ss", ".Sh")):
            later = line.strip() == ".Ss Not built in yet"
        m = re.match(r"\.It Va (\S+)(?: Pq (.*))?$", line)
        if m:
            keys[m[1]] = "later" if later else m[2]
    return keys


def help_devices(program):
    """Built-in devices; "-s help" lists the others after a headline."""
    text = output(program, "-s", "help").split("Not built in yet:")[0]
    return set(re.findall(r"^  (\S+)", text, re.M))


def man_devices(path):
    """The tags of the first list inside the item of -s."""
    text = open(path, encoding="utf-8").read()
    item = text[text.index(".It Fl s ,"):text.index(".It Fl l ,")]
    return set(re.findall(r"^\.It Cm (\S+)", item, re.M))


def compare(what, program, page, complain):
    for name in sorted(program - page):
        complain(f"{what} {name} is not in the manual page")
    for name in sorted(page - program):
        complain(f"{what} {name} is in the manual page only")


def man_warnings(path):
    """What groff has to say, where it is installed."""
    if shutil.which("groff") is None:
        return []
    p = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", "-z", path],
                       capture_output=True, text=True, check=False)
    # Debian's groff-base has no hyphenation patterns and says so.
    return [w for w in p.stderr.splitlines()
            if "hyphen" not in w and "can't find macro file" not in w]


def main():
    program, bhyve8, config5 = sys.argv[1:]
    wrong = []
    options, wide = help_options(program)
    compare("option", options, man_options(bhyve8), wrong.append)
    wrong += [f"--help: wider than 80 columns: {line}" for line in wide]
    compare("device", help_devices(program), man_devices(bhyve8),
            wrong.append)
    keys, manual = help_keys(program), man_keys(config5)
    compare("key", set(keys), set(manual), wrong.append)
    for name in sorted(set(keys) & set(manual)):
        if keys[name] != manual[name]:
            wrong.append(f"key {name}: default {keys[name]}, the manual page "
                         f"says {manual[name]}")
    for page in bhyve8, config5:
        wrong += man_warnings(page)
    for line in wrong:
        print(line)
    print(f"{len(options)} options, {len(keys)} keys compared")
    # Guards against comparing nothing with nothing.
    sys.exit(bool(wrong) or len(options) < 40 or len(keys) < 60)


if __name__ == "__main__":
    main()
