"""A real PostgreSQL, of the system's package: started below a folder, on a socket of its own, for as long as asked."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def programs():
    """The folder of its programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def missing():
    """Why there is no server to be had; empty where there is one."""
    if programs() is None:
        return "no PostgreSQL here: apt-get install postgresql"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


class Server:
    """A server; `url` names an empty database of it each time."""

    def __init__(self, folder):
        self.folder, self.databases = folder, 0

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def crash(self):
        """As a power cut has it: no goodbye to anybody."""
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    @contextlib.contextmanager
    def little_room(self, octets):
        """No file of it may grow beyond so many: what a full disk says, it says from there on."""
        process = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        self._run("prlimit", "--pid", process, f"--fsize={octets}:")
        try:
            yield
        finally:
            self._run("prlimit", "--pid", process, "--fsize=unlimited:")

    def url(self):
        self.databases += 1
        name = f"dlhw{self.databases}"
        self._run("createdb", "-h", self.folder, "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program, *arguments):
        own = programs() / program
        unprivileged = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*unprivileged, own if own.exists() else program, *map(str, arguments)], cwd=self.folder, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip


@contextlib.contextmanager
def server():
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 characters at most
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    found = Server(folder)
    try:
        found._run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
                   "--locale=C", "--wal-segsize=1")  # fmt: skip
        found.start()
        try:
            yield found
        finally:
            found.crash()
    finally:
        shutil.rmtree(folder)
