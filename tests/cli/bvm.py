#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""bvmcons (-b) and bvmdbg (-g), driven by a guest in the real program.

usage: bvm.py PROGRAM PAYLOAD [TEST ...]

The guest is payload.S: com1 tells it what to do with the ports.  Writes TAP.
"""

import os
import socket
import subprocess
import sys
import time

from machine import (ENGINE, Failure, Machine, Stream, TIMEOUT, heard, need,
                     run_tests)

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ports import free_port  # noqa: E402

NO_DATA = "ffffffff"
FLOOD = 0x100000
BUSY = b"Socket already connected\r\n"
LOST = b"bvmdbg: output lost: nobody reads it"
ALL_BYTES = bytes(range(256))

program, payload = (os.path.abspath(a) for a in sys.argv[1:3])


def wait_for_input(m):
    """The first answer of a 4-byte read that is not "no data"."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        answer = m.ask(b"4")
        if answer != NO_DATA:
            return answer
    raise Failure("no data came")


def read_all(m, data):
    """Every byte arrives once, in order, zero-extended; then no data."""
    for byte in data:
        answer = wait_for_input(m)
        need(answer == f"{byte:08x}", f"{answer} instead of byte {byte:#x}")
    answer = m.ask(b"4")
    need(answer == NO_DATA, f"after the last byte: {answer}")


def write_all(m, stream, data):
    for byte in data:
        m.send(b"w" + bytes([byte]))
    got = stream.take(len(data))
    need(got == data, f"{got!r} came, not {data!r}")


# --- bvmcons ---------------------------------------------------------------


def cons(*options):
    m = Machine(program, payload, "-b", *options)
    m.send(b"c")
    return m


def test_cons_probes():
    with cons() as m:
        for command, want in (b"2", "6276"), (b"1", "ff"), (b"4", NO_DATA):
            answer = m.ask(command)
            need(answer == want, f"{command}: {answer}, not {want}")
        # Writes of other widths are nothing, and the guest goes on.
        m.send(b"oxWy")
        m.is_alive()
        m.out.silent(0.2)
        m.end(1)
        m.out.silent(0)


def test_cons_output():
    with cons() as m:
        write_all(m, m.out, ALL_BYTES)
        m.end(1)


def test_cons_input():
    with cons() as m:
        need(m.ask(b"4") == NO_DATA, "data before there is any")
        m.process.stdin.write(ALL_BYTES)
        m.process.stdin.flush()
        read_all(m, ALL_BYTES)
        m.end(1)


def test_cons_echo():
    """More than the chip's ring and the host's pipe hold, both ways."""
    data = bytes(i * 7 & 0xff for i in range(20000))
    with cons() as m:
        m.send(b"e")
        for at in range(0, len(data), 1000):
            m.process.stdin.write(data[at:at + 1000])
            m.process.stdin.flush()
            got = m.out.take(1000)
            need(got == data[at:at + 1000], f"bytes at {at} differ")
        m.end(1)


def test_cons_end_of_input():
    with cons() as m:
        m.process.stdin.write(b"A")
        m.process.stdin.close()
        read_all(m, b"A")
        time.sleep(0.3)
        need(m.ask(b"4") == NO_DATA, "data after the end of input")
        write_all(m, m.out, b"still here")
        m.end(1)


def test_cons_nobody_reads():
    """The reader stalls: output is lost, the vCPU is not held up."""
    with cons() as m:
        m.send(b"f")
        need(m.console.line() == "flooded", "held up")
        m.is_alive()
        kept = 0
        while m.out.read(0.5):
            kept += len(m.out.seen)
            m.out.seen = b""
        need(65536 <= kept < FLOOD, f"{kept} bytes were kept")
        write_all(m, m.out, b"works again")
        m.end(1)


def test_cons_reader_is_gone():
    with cons() as m:
        m.process.stdout.close()
        m.send(b"f")
        need(m.console.line() == "flooded", "held up")
        m.is_alive()
        m.end(1)


def test_cons_absent():
    """Without -b nobody has the port."""
    with Machine(program, payload) as m:
        for command, want in (b"2", "ffff"), (b"4", NO_DATA):
            answer = m.ask(b"c" + command)
            need(answer == want, f"{command}: {answer}")
        m.end(1)


# --- bvmdbg ----------------------------------------------------------------


class Client(Stream):
    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        super().__init__(self.socket.fileno())

    def send(self, data):
        self.socket.sendall(data)

    def is_closed(self, seconds=TIMEOUT):
        """The other end hung up; what it said before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = len(self.seen)
            try:
                if not self.read(0.2) and len(self.seen) == before and \
                        self.socket.recv(1, socket.MSG_DONTWAIT) == b"":
                    return True
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return True
        return False

    def close(self):
        self.socket.close()


def dbg(port):
    m = Machine(program, payload, "-g", str(port))
    m.send(b"d")
    return m


def greet(m, client):
    """The client is the one: a byte of its arrives in the guest."""
    client.send(b"\x55")
    answer = wait_for_input(m)
    need(answer == "00000055", f"{answer}, not the client's byte")


def test_dbg_probes():
    """Signature by two bytes; one byte is no access the port has."""
    port = free_port()
    with dbg(port) as m:
        for command, want in (b"2", "4256"), (b"1", "ff"), (b"4", NO_DATA):
            answer = m.ask(command)
            need(answer == want, f"{command}: {answer}, not {want}")
        client = Client(port)
        m.send(b"oxWy")
        m.is_alive()
        client.silent(0.2)
        client.close()
        m.end(1)


def test_dbg_nobody_there():
    """Nothing waits for a debugger; what was sent before it is lost."""
    port = free_port()
    with dbg(port) as m:
        need(m.ask(b"4") == NO_DATA, "data without a client")
        m.send(b"f")
        need(m.console.line() == "flooded", "held up")
        client = Client(port)
        greet(m, client)
        client.silent(0.2)
        write_all(m, client, b"now")
        client.close()
        m.end(1)


def test_dbg_bytes():
    """All of them, both ways; 0xFF can be told from no data."""
    port = free_port()
    with dbg(port) as m:
        client = Client(port)
        client.send(ALL_BYTES)
        read_all(m, ALL_BYTES)
        write_all(m, client, ALL_BYTES)
        client.close()
        m.end(1)


def test_dbg_client_before_guest_asks():
    """Connected and sent before the guest ever touches the port."""
    port = free_port()
    with Machine(program, payload, "-g", str(port)) as m:
        client = Client(port)
        client.send(b"early\xff")
        time.sleep(0.3)
        m.send(b"d")
        read_all(m, b"early\xff")
        client.close()
        m.end(1)


def test_dbg_reconnects():
    port = free_port()
    with dbg(port) as m:
        for number in range(5):
            client = Client(port)
            greet(m, client)
            write_all(m, client, b"hello %d" % number)
            client.close()
            m.is_alive()
        need(m.ask(b"4") == NO_DATA, "data of nobody")
        m.end(1)


def test_dbg_last_words():
    """What a client sent before it closed still arrives."""
    port = free_port()
    with dbg(port) as m:
        client = Client(port)
        client.send(b"goodbye")
        client.close()
        read_all(m, b"goodbye")
        m.end(1)


def test_dbg_second_client():
    """One at a time: the second is told and sent away, the first stays."""
    port = free_port()
    with dbg(port) as m:
        first = Client(port)
        greet(m, first)
        second = Client(port)
        need(second.is_closed(), "the second client stays")
        need(second.seen == BUSY, f"it was told {second.seen!r}")
        second.close()
        greet(m, first)
        first.close()
        m.end(1)


def test_dbg_client_does_not_read():
    port = free_port()
    with dbg(port) as m:
        client = Client(port, receive_buffer=4096)
        greet(m, client)
        while LOST not in m.err.seen:  # more than the host's buffers hold
            m.send(b"f")
            need(m.console.line() == "flooded", "held up")
            m.err.read(0)
        m.is_alive()
        client.close()  # with output unsent
        m.is_alive()
        client = Client(port)
        greet(m, client)
        m.end(1)
        client.close()


def test_dbg_reset_by_client():
    """A client that dies (RST) is like one that closes."""
    port = free_port()
    with dbg(port) as m:
        client = Client(port)
        greet(m, client)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 b"\x01\0\0\0\0\0\0\0")
        client.close()
        m.send(b"f")
        need(m.console.line() == "flooded", "held up")
        client = Client(port)
        greet(m, client)
        client.close()
        m.end(1)


def test_dbg_echo():
    port = free_port()
    data = bytes(i * 11 & 0xff for i in range(100000))
    with dbg(port) as m:
        client = Client(port)
        m.send(b"e")
        for at in range(0, len(data), 2000):
            client.send(data[at:at + 2000])
            need(client.take(2000) == data[at:at + 2000],
                 f"bytes at {at} differ")
        client.close()
        m.end(1)


def test_dbg_loopback_only():
    """Listens on 127.0.0.1 and nowhere else (docs/deviations.md)."""
    port = free_port()
    with dbg(port) as m:
        with open("/proc/net/tcp", encoding="ascii") as f:
            listening = [line.split()[1] for line in f if f":{port:04X} " in
                         line and line.split()[3] == "0A"]
        need(listening == [f"0100007F:{port:04X}"], f"{listening}")
        m.end(1)


def test_dbg_off():
    """-g 0 is no -g."""
    with dbg(0) as m:
        answer = m.ask(b"2")
        need(answer == "ffff", f"it is there: {answer}")
        m.end(1)


def test_dbg_port_taken():
    """The host's refusal: status 4, one line; the owner is not disturbed."""
    port = free_port()
    with dbg(port) as m:
        run = subprocess.run(
            [program, "-E", ENGINE, "-g", str(port), "--kernel", payload, "vm"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
            check=False)
        want = (f"bhyve: bvmdbg: listening on 127.0.0.1:{port}: "
                "Address already in use\n").encode()
        need((run.returncode, run.stdout, heard(run.stderr)) == (4, b"", want),
             f"{run.returncode} {run.stdout!r} {run.stderr!r}")
        client = Client(port)
        greet(m, client)
        client.close()
        m.end(1)


def test_dbg_and_cons():
    """Both at once, each with its own bytes."""
    port = free_port()
    m = Machine(program, payload, "-b", "-g", str(port))
    with m:
        client = Client(port)
        m.send(b"d")
        greet(m, client)
        m.send(b"c")
        m.process.stdin.write(b"c")
        m.process.stdin.flush()
        read_all(m, b"c")
        write_all(m, m.out, b"to the console")
        m.send(b"d")
        write_all(m, client, b"to the debugger")
        client.close()
        m.end(1)


TESTS = {
    "bvmcons probes by width": test_cons_probes,
    "bvmcons output": test_cons_output,
    "bvmcons input": test_cons_input,
    "bvmcons echo": test_cons_echo,
    "bvmcons end of input": test_cons_end_of_input,
    "bvmcons nobody reads": test_cons_nobody_reads,
    "bvmcons reader is gone": test_cons_reader_is_gone,
    "bvmcons absent": test_cons_absent,
    "bvmdbg probes by width": test_dbg_probes,
    "bvmdbg nobody there": test_dbg_nobody_there,
    "bvmdbg bytes": test_dbg_bytes,
    "bvmdbg client before the guest asks": test_dbg_client_before_guest_asks,
    "bvmdbg reconnects": test_dbg_reconnects,
    "bvmdbg last words": test_dbg_last_words,
    "bvmdbg second client": test_dbg_second_client,
    "bvmdbg client does not read": test_dbg_client_does_not_read,
    "bvmdbg reset by the client": test_dbg_reset_by_client,
    "bvmdbg echo": test_dbg_echo,
    "bvmdbg on the loopback address only": test_dbg_loopback_only,
    "bvmdbg off": test_dbg_off,
    "bvmdbg port taken": test_dbg_port_taken,
    "bvmcons and bvmdbg together": test_dbg_and_cons,
}

run_tests(TESTS, sys.argv[3:])
