"""Keys and certificates of a throw-away control plane, made by the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Written out, because the distribution's openssl.cnf adds extensions of its own.
_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
{name}
[extensions]
{extensions}
"""
_CA = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign"
_LEAF = "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature"
LOOPBACK = "IP:127.0.0.1, DNS:localhost"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates; knows nothing about what they are for."""

    pair: Pair

    @classmethod
    def create(cls, folder: Path, name: str) -> Authority:
        return cls(_certificate(folder / name, f"CN = {name}", _CA, signer=None))

    def client(self, user: str, *, group: str = "", file: str = "") -> Pair:
        """The API server takes the common name as the user and the organisation as a group."""
        name = f"CN = {user}" + (f"\nO = {group}" if group else "")
        return self._issue(file or user, name, "clientAuth")

    def server(self, name: str, *, names: str = LOOPBACK) -> Pair:
        """Good as a client, too: etcd calls itself with the certificate it serves."""
        return self._issue(name, f"CN = {name}", "serverAuth, clientAuth", names)

    def _issue(self, file: str, name: str, use: str, names: str = "") -> Pair:
        extensions = f"{_LEAF}\nextendedKeyUsage = {use}"
        if names:
            extensions += f"\nsubjectAltName = {names}"
        path = self.pair.cert.parent / file
        return _certificate(path, name, extensions, signer=self.pair)


def _certificate(path: Path, name: str, extensions: str, *, signer: Pair | None) -> Pair:
    pair = Pair(cert=Path(f"{path}.crt"), key=Path(f"{path}.key"))
    config = Path(f"{path}.cnf")
    config.write_text(_CONFIG.format(name=name, extensions=extensions))
    sign = [] if signer is None else ["-CA", str(signer.cert), "-CAkey", str(signer.key)]
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "3650", "-config", str(config), *sign),
        *("-keyout", str(pair.key), "-out", str(pair.cert)),
    )
    return pair


def signing_key(path: Path) -> Path:
    """The key of service account tokens, which no certificate goes with."""
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
    return path


def _openssl(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)
