"""A ledger on S3: journal here, sealed files there, outages in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import boto3
import httpx
import pytest
from ledger_rows import make_call
from moto.server import ThreadedMotoServer

from router_lab.errors import LedgerError
from router_lab.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Wire:
    """A TCP relay that can be told to drop every connection after some bytes towards the server."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.cut_after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            sent = 0
            while True:
                try:
                    data = client.recv(16384)
                    if not data or (self.cut_after is not None and sent + len(data) > self.cut_after):
                        break
                    server.sendall(data)
                except OSError:
                    break
                sent += len(data)
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while True:
            try:
                data = server.recv(65536)
                if not data:
                    return
                client.sendall(data)
            except OSError:
                return


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # buckets outlive a server in one process
    create_bucket(port, "lab")
    relay = Wire((host, port))
    yield relay
    relay.close()
    server.stop()


def create_bucket(port: int, name: str) -> None:
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
    client.create_bucket(Bucket=name)


def uri(wire: Wire) -> str:
    return (
        f"s3://lab/team?region=us-east-1&endpoint_override=http%3A%2F%2F127.0.0.1%3A{wire.port}&scheme=http"
    )


@pytest.mark.soak
async def test_rows_survive_outages_and_arrive_once(tmp_path: Path, wire: Wire) -> None:
    noise = Random(1).randbytes(400_000).hex()
    with Ledger(uri(wire), journal=tmp_path) as ledger:
        await make_call(ledger, prompt=noise)
        wire.cut_after = 100_000  # mid-upload
        with pytest.raises(LedgerError, match=r"s3://lab/team/attempts/.*Nothing is lost"):
            ledger.seal()
        await make_call(ledger)
        assert ledger.status().tables[0].unsealed_rows == 2
        wire.cut_after = None
        assert ledger.seal() == 2
        assert ledger.seal() == 0
        assert ledger.attempts()["prompt"].str.len().sort_values().tolist() == [10, 800_000]
        assert ledger.tables().attempts.count().to_pyarrow().as_py() == 2
        await make_call(ledger)
        ledger.compact()
        report = ledger.verify()
        assert report.ok, str(report)
    # Another machine has no journal of ours, and reads what is sealed.
    elsewhere = Ledger(uri(wire), journal=tmp_path / "elsewhere")
    assert len(elsewhere.attempts()) == 3
    # And when it writes, both see both.
    with elsewhere:
        await make_call(elsewhere)
        elsewhere.seal()
        assert len(elsewhere.attempts()) == 4
    assert len(Ledger(uri(wire), journal=tmp_path).attempts()) == 4


async def test_a_bucket_that_is_not_there_is_no_empty_ledger(tmp_path: Path, wire: Wire) -> None:
    assert len(Ledger(uri(wire), journal=tmp_path / "empty").attempts()) == 0
    mistyped = uri(wire).replace("lab/team", "lbb/team")
    with pytest.raises(LedgerError, match=r"s3://lbb/team: there is no bucket 'lbb'"):
        Ledger(mistyped, journal=tmp_path / "reading").attempts()
    ledger = Ledger(mistyped, journal=tmp_path / "writing")
    await make_call(ledger)
    with pytest.raises(LedgerError, match="there is no bucket 'lbb'"):
        ledger.close()
    create_bucket(wire.port, "lbb")
    with Ledger(mistyped, journal=tmp_path / "writing") as ledger:
        assert ledger.seal() == 1
        assert len(ledger.attempts()) == 1


def test_credentials_in_the_address_are_never_shown(tmp_path: Path) -> None:
    ledger = Ledger("s3://mykey:mysecret@bucket/prefix?session_token=hidden", journal=tmp_path)
    with pytest.raises(LedgerError) as caught:
        ledger.attempts()
    for text in (repr(ledger), str(caught.value), ledger.status.__doc__ or ""):
        assert "mysecret" not in text
        assert "hidden" not in text
