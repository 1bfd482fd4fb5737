"""An etcd of a test's own, and a certificate for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.services import missing, wait_for_port


class OwnEtcd:
    """An etcd of a test's own, in a folder, that may be stopped and started again. In: how many members it has; the files of
    a certificate and its key, for TLS, which clients must show, too."""

    def __init__(self, folder: Path, members: int = 1, certificate: tuple[Path, Path] | None = None) -> None:
        if shutil.which("etcd") is None:
            missing("etcd", "the command is not installed (Debian: etcd-server)")
        self._folder = folder
        self._certificate = certificate
        self.ports = [free_port() for _ in range(members)]
        self._peers = [f"http://127.0.0.1:{free_port()}" for _ in range(members)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"etcd://{hosts}"
        if certificate is not None:
            cert, key = certificate
            self.url = f"etcds://{hosts}?ca={cert}&cert={cert}&key={key}"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        try:
            self.start()
        except OSError:
            self.stop()
            raise

    def start(self) -> None:
        cluster = ",".join(f"m{number}={peer}" for number, peer in enumerate(self._peers))
        for number, (port, peer) in enumerate(zip(self.ports, self._peers, strict=True)):
            here = f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{port}"
            data = str(self._folder / f"etcd{number}")
            command = ["etcd", "--name", f"m{number}", "--data-dir", data, "--log-level", "error", "--unsafe-no-fsync"]
            command += ["--listen-client-urls", here, "--advertise-client-urls", here, "--listen-peer-urls", peer]
            command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", cluster]
            if self._certificate is not None:
                cert, key = map(str, self._certificate)
                command += ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", cert, "--client-cert-auth"]
            self._processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port, process in self._processes.items():
            wait_for_port(port, process)

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=30)
        self._processes.clear()

    def kill(self, port: int) -> None:
        """One member, at once."""
        process = self._processes.pop(port)
        process.kill()
        process.wait(timeout=30)


@contextmanager
def own_etcd(folder: Path, members: int = 1, certificate: tuple[Path, Path] | None = None) -> Generator[OwnEtcd]:
    server = OwnEtcd(folder, members, certificate)
    try:
        yield server
    finally:
        server.stop()


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate of 127.0.0.1, which is its own authority, and of its key."""
    if shutil.which("openssl") is None:
        missing("openssl", "the command is not installed (Debian: openssl)")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=flowdsl-test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key
