# SPDX-License-Identifier: BSD-2-Clause
"""TCP ports for tests that run side by side."""
import pathlib
import random
import socket

LOWEST = 10240
RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_given = set()


def free_port():
    """A port of the loopback that nobody listens on.  It lies below those that the
    kernel gives by itself: such a one could be anybody's before a test's program
    listens on it, or be answered by its own end (TCP's simultaneous open)."""
    highest = int(RANGE.read_text().split()[0]) - 1
    while True:
        port = random.randint(LOWEST, highest)
        if port in _given:
            continue
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                continue
        _given.add(port)
        return port
