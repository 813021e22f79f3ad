#!/usr/bin/env python3
"""Handlers of the software CPU must reach the next instruction by a jump.

usage: tailcalls.py LIBSOFT.A

NEXT() is `return i[1].fn(c, i + 1, ...)`; when a local's address escapes, the compiler
makes it a call, and a guest loop then eats the host's stack.  i[1].fn is 32 bytes after
i, so such a call reads its target at +0x20 from a register.  Thunk-free: data only.
"""
import re
import subprocess
import sys

dump = subprocess.run(["objdump", "-d", "--no-show-raw-insn", sys.argv[1]],
                      capture_output=True, text=True, check=True).stdout
function, jumps, bad = "?", 0, []
for line in dump.splitlines():
    m = re.match(r"[0-9a-f]+ <(.*)>:$", line)
    if m:
        function = m[1]
    elif function != "soft_run" and re.search(
            r"\bcall +\*0x20\(%r", line):
        bad.append(function)
    elif re.search(r"\bjmp +\*", line):
        jumps += 1
for f in sorted(set(bad)):
    print(f"{f}: calls the next handler instead of jumping to it")
print(f"{jumps} indirect jumps, {len(bad)} calls")
sys.exit(1 if bad or jumps < 100 else 0)
