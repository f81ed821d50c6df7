"""The gate of the soak and the servers behind it, of which one is killed every few seconds."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
NODE = TESTS / ".cache/bin/node"
FIXTURE = TESTS / "fixtures/everything.mjs"
READY_S = 30
# The gate gives itself thirty seconds to drain.
STOP_S = 40


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Remote:
    """A server on a port of its own; it comes back there."""

    REST_S = 0

    def __init__(self, name, era):
        self.name, self.era, self.port = name, era, free_port()
        self.start()

    def start(self):
        words = [NODE, FIXTURE, "--port", str(self.port), "--era", self.era]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def table(self):
        return f'url = "http://127.0.0.1:{self.port}/mcp"\n'

    def kill(self, _gate):
        self.process.kill()
        self.process.wait()
        time.sleep(0.3)
        self.start()
        return True

    def end(self):
        self.process.kill()
        self.process.wait()


class Child:
    """A server that the gate starts itself; each of its processes may be killed, and the gate must start another."""

    # One that dies again and again within a minute of its start is left down on purpose.
    REST_S = 75

    def __init__(self, name, era):
        self.name, self.era = name, era

    def table(self):
        words = [str(FIXTURE), "--stdio", "--era", self.era]
        return f"command = {json.dumps(str(NODE))}\nargs = {json.dumps(words)}\n"

    def kill(self, gate):
        children = [pid for pid, words in gate.children() if f"--stdio --era {self.era}" in words]
        if children:
            os.kill(random.choice(children), signal.SIGKILL)
        return bool(children)

    def end(self):
        pass


def processes():
    """Every process: its id, its parent's, its state and its words."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield int(folder.name), int(parent), state, words


class Gate:
    def __init__(self, binary, folder, servers, policy):
        self.listen, self.admin = free_port(), free_port()
        tables = [
            f'[listen]\naddress = "127.0.0.1:{self.listen}"',
            f'[admin]\naddress = "127.0.0.1:{self.admin}"',
            '[state]\ndirectory = "state"',
            "[runtime]\npin = false\nshards = 2",
            '[journal]\nring_directory = "ring"',
            '[anonymous]\nallow = ["*/*"]\nprompts = ["*/*"]\nresources = ["*/*"]',
            *(f"[servers.{server.name}]\n{server.table()}{policy}" for server in servers),
        ]
        (folder / "tollgate.toml").write_text("\n".join(tables))
        self.log = folder / "gate.log"
        with self.log.open("ab") as log:
            words = [binary, "serve", "--config", folder / "tollgate.toml"]
            self.process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + READY_S
        while self.read("/readyz") is None:
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"tests/soak: error: the gate does not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def read(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as response:
                return response.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def meter(self, name):
        """A figure, summed over its labels; nothing where the gate has none by that name."""
        lines = (self.read("/metrics") or "").splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(value) for value in found) if found else None

    def children(self):
        own = (each for each in processes() if each[1] == self.process.pid)
        return [(pid, words) for pid, _, state, words in own if state != "Z"]

    def zombies(self):
        return [pid for pid, parent, state, _ in processes() if parent == self.process.pid and state == "Z"]

    def resident_bytes(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        """Asks it to end; false where it does not."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_S) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
