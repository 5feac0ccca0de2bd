"""A private authority is trusted where the environment names its certificate, nowhere else; on a real TLS server."""

from __future__ import annotations

import datetime
import inspect
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from aimlvideo import SettingsError, VideoClient
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import Unavailable
from aimlvideo.shell.http.transport import CERTIFICATE_VARIABLES, HttpTransport, _trusted_authorities, open_session

pytestmark = pytest.mark.real_time


@dataclass(frozen=True)
class Authority:
    """The certificate of a private authority, and a server's certificate and key that it has signed."""

    bundle: Path
    server: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder = tmp_path_factory.mktemp("authority")
    now = datetime.datetime.now(datetime.UTC)

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        day = datetime.timedelta(days=1)
        unsigned = x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named("authority"))
        unsigned = unsigned.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return unsigned.not_valid_before(now - day).not_valid_after(now + day)

    key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = builder("authority", key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    # Python 3.13 wants a certificate to say whose key has signed it, and an authority's that its key signs some.
    usage = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False) | {"key_cert_sign": True}
    root = root.add_extension(x509.KeyUsage(**usage), critical=True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.sign(key, hashes.SHA256()).public_bytes(pem))
    leaf = builder("server", server_key).add_extension(here, critical=False).add_extension(signer, critical=False)
    secret = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(leaf.sign(key, hashes.SHA256()).public_bytes(pem) + secret)
    return Authority(folder / "ca.pem", folder / "server.pem")


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CERTIFICATE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def served_over_tls(authority: Authority) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="{}")

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", CERTIFICATE_VARIABLES)
async def test_a_private_authority_is_trusted_where_the_environment_names_it(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(authority.bundle))
    async with served_over_tls(authority) as url, open_session() as session:
        assert (await HttpTransport(session, url, "k").send(Request("GET", "/x"))).status == 200


async def test_an_authority_that_nobody_named_is_not_trusted_and_nothing_was_sent(authority: Authority) -> None:
    async with served_over_tls(authority) as url, open_session() as session:
        with pytest.raises(Unavailable, match="certificate"):
            await HttpTransport(session, url, "k").send(Request("GET", "/x"))


@pytest.mark.parametrize("name", CERTIFICATE_VARIABLES)
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nxx\n"])
async def test_a_bundle_that_cannot_be_used_is_said_when_the_client_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv(name, str(bundle))
    reason = "no such file" if content is None else "no certificates in it"
    with pytest.raises(
        SettingsError, match=rf"{name} is .*ca.pem': expected a file with certificates in PEM.*{reason}"
    ):
        async with VideoClient("k", "https://api.example.com"):
            pass


def test_a_folder_of_certificates_and_no_bundle_at_all_are_fine(tmp_path: Path) -> None:
    assert _trusted_authorities({}) is None
    assert _trusted_authorities({"REQUESTS_CA_BUNDLE": ""}) is None
    assert _trusted_authorities({"REQUESTS_CA_BUNDLE": str(tmp_path)}) is not None


def test_certificates_are_read_once_and_again_when_the_file_has_changed(authority: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(authority.bundle.read_bytes())
    environment = {"SSL_CERT_FILE": str(bundle)}
    first = _trusted_authorities(environment)
    assert _trusted_authorities(environment) is first
    os.utime(bundle, (1, 1))
    assert _trusted_authorities(environment) is not first
