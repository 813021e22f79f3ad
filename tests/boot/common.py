"""What the boot tests share: failures, a healthy kernel's log, a terminal."""
import os
import pty
import re
import signal
import threading
import time

# What a healthy kernel never says.  (ERST, GHES and the like are ACPI tables
# that are absent; they log at a level of their own and are not errors.)
BAD = [
    r"\boops\b", r"\bBUG:", r"lockup", r"\bunexpected\b", r"ACPI.*\berror\b",
    r"ACPI BIOS Error", r"unstable", r"\bWARNING:", r"Call Trace",
    r"rcu:.*stall", r"general protection", r"segfault", r"spurious",
    r"hung task", r"MCE:.*error", r"lost.*interrupt",
]


class Failure(Exception):
    pass


def need(cond, why):
    if not cond:
        raise Failure(why)


def check_log(log, known=None):
    """known: lines that this machine may have (a regular expression)."""
    for line in log.splitlines():
        if known and re.search(known, line):
            continue
        for bad in BAD:
            if re.search(bad, line, re.I) and not harmless(line):
                raise Failure(f"the kernel's log says: {line.strip()}")


def harmless(line):
    """Lines that match BAD and are no trouble: the boot command line itself,
    mitigation summaries."""
    return "Command line:" in line or "spurious 8259A interrupt: IRQ7" in line


class Terminal:
    """A program on a pseudo-terminal, or on pipes (which do not show bhyve's own
    status line).  A thread reads what it prints, so that a guest never waits for us;
    `log` has all of it."""

    def __init__(self, args, pipes=False):
        self.text = self.log = ""
        self.ended = False
        self.news = threading.Condition()
        self.pid = 0
        (self.on_pipes if pipes else self.on_terminal)(args)
        threading.Thread(target=self.read, daemon=True).start()

    def on_terminal(self, args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "vt100"
            os.execvp(args[0], args)
        self.to = self.fd

    def on_pipes(self, args):
        there, self.to = os.pipe()
        self.fd, here = os.pipe()
        self.pid = os.posix_spawnp(args[0], args, os.environ, file_actions=[
            (os.POSIX_SPAWN_DUP2, there, 0), (os.POSIX_SPAWN_DUP2, here, 1),
            (os.POSIX_SPAWN_DUP2, here, 2)])
        os.close(there)
        os.close(here)

    def read(self):
        while not self.ended:
            try:
                data = os.read(self.fd, 65536)
            except OSError:             # EIO: the other side is closed
                data = b""
            with self.news:
                text = data.decode("utf-8", "replace")
                self.text += text
                self.log += text
                self.ended = not data
                self.news.notify_all()

    def expect(self, what, timeout=90):
        """Wait for a regular expression in what comes from now on."""
        end = time.monotonic() + timeout
        with self.news:
            while not (m := re.search(what, self.text)):
                left = end - time.monotonic()
                need(left > 0, f"no {what!r} in:\n{self.text[-2000:]}")
                need(not self.ended,
                     f"ended before {what!r}:\n{self.text[-2000:]}")
                self.news.wait(left)
            self.text = self.text[m.end():]
        return m

    def send(self, data):
        while data:
            data = data[os.write(self.to, data):]

    def status(self, timeout=30):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid, st = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(st)
            time.sleep(0.02)
        self.kill()
        raise Failure(f"did not end:\n{self.text[-2000:]}")

    def kill(self):
        """End it as a power failure would."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
