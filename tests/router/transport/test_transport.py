"""The transport over real sockets: what each way to fail comes out as, and whether it was sent."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import resource
import socket
import ssl
import traceback
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx
import pytest
from raw_server import KEY, LONG, OK, Reader, Script, Server, Writer, answering, request, reset, serving

from router_lab.errors import ProviderError
from router_lab.router.transport import transport_faults
from router_lab.router.transport.transport import Transport
from waiting import time_passes, works_for


async def hang(server: Server, reader: Reader, writer: Writer) -> None:
    await server.read(reader)
    await reader.read()


async def reset_before_headers(server: Server, reader: Reader, writer: Writer) -> None:
    await server.read(reader)
    reset(writer)


async def reset_mid_body(server: Server, reader: Reader, writer: Writer) -> None:
    await server.read(reader)
    writer.write(LONG + b'{"usage":')
    await writer.drain()
    await reader.read(1)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens; its port is taken, so that nobody else does."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


async def failure(url: str, *, timeout_s: float = 60, **options: float) -> ProviderError:
    async with Transport(**options) as transport:  # type: ignore[arg-type]
        with pytest.raises(ProviderError) as caught:
            await transport.send(request(url), attempt_id="a1", timeout_s=timeout_s)
    assert KEY not in str(caught.value) + repr(caught.value)
    return caught.value


async def test_an_answer_comes_back_whole_and_the_request_names_its_attempt() -> None:
    async with serving(answering(OK, stay=True)) as server, Transport() as transport:
        response = await transport.send(request(server.url), attempt_id="attempt-7", timeout_s=60)
    assert (response.status, response.body, response.cut) == (200, b"{}", None)
    assert response.headers["Content-Type"] == "application/json"
    assert server.bodies == [b'{"q":1}']
    head = server.heads[0].lower()
    assert b"x-client-request-id: attempt-7\r\n" in head
    assert f"x-api-key: {KEY}\r\n".encode() in head
    assert b"accept-encoding: identity\r\n" in head
    assert KEY not in repr(request(server.url)) + repr(response)


@pytest.mark.parametrize("status", [301, 307, 400, 429, 500, 529])
async def test_every_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 1\r\n\r\n!".encode()
    async with serving(answering(head, stay=True)) as server, Transport() as transport:
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
    assert (response.status, response.body) == (status, b"!")
    assert len(server.heads) == 1


async def test_an_error_that_quotes_the_key_loses_it() -> None:
    body = f"bad key {KEY}".encode()
    head = f"HTTP/1.1 401 No\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    async with serving(answering(head, body, stay=True)) as server, Transport() as transport:
        sent = request(server.url)
        response = await transport.send(sent, attempt_id="a1", timeout_s=60)
        async with transport.stream(sent, attempt_id="a2", timeout_s=60) as stream:
            streamed = await stream.read()
    assert response.body == streamed == b"bad key [redacted]"


@pytest.mark.parametrize(
    "answer", [f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(), f"{KEY}\r\n\r\n".encode(), b""]
)
async def test_errors_hold_nothing_of_the_request(answer: bytes) -> None:
    """Neither what an HTTP library quotes of the answer, nor the frames that a crash reporter keeps."""
    async with serving(answering(answer, stay=False)) as server, Transport() as transport:
        sent = request(server.url)
        with pytest.raises(ProviderError) as caught:
            await transport.send(sent, attempt_id="a1", timeout_s=60)
        with pytest.raises(ProviderError) as streamed:
            async with transport.stream(sent, attempt_id="a2", timeout_s=60):
                pass
    for error in (caught.value, streamed.value):
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        told.stack = traceback.StackSummary.from_list(told.stack[1:])  # without this test's own frame
        assert KEY not in "".join(told.format())


async def test_a_refused_connection_was_not_sent(nowhere: str) -> None:
    error = await failure(nowhere)
    assert (error.kind, error.sent, error.retryable, error.status) == ("connect", False, True, None)


async def test_an_unknown_host_was_not_sent() -> None:
    error = await failure("http://no-such-host.invalid/")
    assert (error.kind, error.sent, error.retryable) == ("dns", False, True)
    assert "no-such-host.invalid" in str(error)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///nowhere", "http://[::1", "nonsense"])
async def test_a_url_that_is_none_was_not_sent(url: str) -> None:
    error = await failure(url)
    assert (error.sent, error.retryable) == (False, False)


async def test_a_server_that_does_not_speak_tls_was_not_sent_anything() -> None:
    async def nonsense(server: Server, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(b"this is no handshake\r\n")
        await writer.drain()

    async with serving(nonsense) as server:
        error = await failure(server.url.replace("http:", "https:"))
    assert (error.kind, error.sent, error.retryable) == ("tls", False, True)
    assert "permitted" not in str(error), "an SSL library's number is none of the operating system's"


async def test_a_tls_handshake_that_hangs_up_or_never_ends_was_not_sent() -> None:
    async def silence(server: Server, reader: Reader, writer: Writer) -> None:
        await reader.read()

    async def hang_up(server: Server, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        reset(writer)

    async with serving(silence) as server:
        url = server.url.replace("http:", "https:")
        slow = await failure(url, connect_timeout_s=0.05)
        cut_short = await failure(url, timeout_s=0.05)
    async with serving(hang_up) as server:
        dropped = await failure(server.url.replace("http:", "https:"))
    assert (slow.kind, slow.sent) == ("connect_timeout", False)
    assert (cut_short.kind, cut_short.sent) == ("timeout", False)
    assert (dropped.sent, dropped.retryable) == (False, True)


async def test_waiting_for_a_free_connection_is_not_sending() -> None:
    async with serving(hang) as server, Transport(max_connections=1) as transport:
        first = asyncio.create_task(transport.send(request(server.url), attempt_id="a1", timeout_s=30))
        await asyncio.wait_for(server.arrived.wait(), 60)
        with pytest.raises(ProviderError) as caught:
            await transport.send(request(server.url), attempt_id="a2", timeout_s=0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert (caught.value.kind, caught.value.sent) == ("timeout", False)
    assert len(server.heads) == 1


async def test_a_server_that_never_answers_was_sent_to() -> None:
    async with serving(hang) as server:
        failing = asyncio.create_task(failure(server.url, timeout_s=7))
        await server.arrived.wait()
        time_passes(7)
        error = await failing
    assert (error.kind, error.sent, error.retryable) == ("timeout", True, True)
    assert "7 s" in str(error)


@pytest.mark.parametrize(
    "script",
    [
        reset_before_headers,
        answering(),
        answering(b"HTTP/1.1 200"),
        answering(b"HTTP/1.1 200 OK\r\ncontent-le"),
    ],
)
async def test_a_connection_lost_before_the_headers_may_have_been_billed(script: Script) -> None:
    async with serving(script) as server:
        error = await failure(server.url)
    assert (error.kind, error.sent, error.retryable, error.status) == ("dropped", True, True, None)
    assert len(server.heads) == 1


@pytest.mark.parametrize("nonsense", [b"hello there\r\n\r\n", b"HTTP/9.9 abc\r\n\r\n", b"\x16\x03\x01" * 9])
async def test_an_answer_that_is_not_http_may_have_been_billed(nonsense: bytes) -> None:
    async with serving(answering(nonsense)) as server:
        error = await failure(server.url)
    assert (error.sent, error.retryable, error.status) == (True, True, None)
    assert error.kind in ("protocol", "dropped")


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((LONG, b'{"usage":'), "dropped"),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n", b'{"usage":', b"\r\n"), "dropped"),
    ],
)
async def test_a_body_cut_short_keeps_what_arrived(pieces: tuple[bytes, ...], kind: str) -> None:
    async with serving(answering(*pieces)) as server, Transport() as transport:
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
    assert (response.status, response.body) == (200, b'{"usage":')
    assert response.cut is not None
    assert (response.cut.kind, response.cut.sent, response.cut.retryable) == (kind, True, True)


async def test_a_body_that_stops_arriving_times_out_with_what_arrived() -> None:
    async with serving(reset_mid_body) as server, Transport() as transport:
        sending = asyncio.create_task(transport.send(request(server.url), attempt_id="a1", timeout_s=60))
        await server.arrived.wait()
        for _ in range(20):  # what was sent on this loop is read within a few turns of it
            await works_for(0.005)
        time_passes(60)
        response = await sending
    assert (response.status, response.body) == (200, b'{"usage":')
    assert response.cut is not None
    assert (response.cut.kind, response.cut.status) == ("timeout", 200)


def encoded(coding: str, body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", gzip.compress(b"[1]" * 99_999)), ("deflate", zlib.compress(b"[1]" * 99_999)),
     ("deflate", zlib.compress(b"[1]" * 99_999, wbits=-15)),
     ("identity", b"[1]" * 99_999), ("gzip, identity", gzip.compress(b"[1]" * 99_999))],
)  # fmt: skip
async def test_an_encoding_that_nobody_asked_for_comes_off(coding: str, body: bytes) -> None:
    async with serving(answering(encoded(coding, body))) as server, Transport() as transport:
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
    async with (
        serving(answering(encoded(coding, body))) as server,
        Transport() as transport,
        transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream,
    ):
        pieces = [piece async for piece in stream.chunks()]
    assert response.body == b"".join(pieces) == b"[1]" * 99_999


async def received(coding: str, body: bytes, status: str) -> tuple[bytes, bytes, ProviderError | None]:
    """The body as a whole answer and as a stream's, and why the whole one was cut."""
    script = answering(encoded(coding, body, status), stay=True)
    async with serving(script) as server, Transport() as transport:
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
        async with transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream:
            return response.body, await stream.read(), response.cut


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br", "x"])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad"])
@pytest.mark.parametrize("body", [b"{}", b'{"error": "too long \xc3\xa9"}' * 9999, b"xx", b""])
async def test_a_text_that_is_called_encoded_is_taken_as_it_is(coding: str, status: str, body: bytes) -> None:
    assert await received(coding, body, status) == (body, body, None)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"\x0b\x05\x80\x93\x01\xff" * 9),
        ("zstd", b"\x28\xb5\x2f\xfd" * 9),
        ("gzip", b"\x1f\x8b\x08\x00 damaged" * 9),
        ("gzip", gzip.compress(bytes(range(256)) * 99)[:-8] + bytes(8)),
    ],
)
async def test_an_encoding_that_does_not_come_off_says_so(coding: str, body: bytes) -> None:
    _, _, cut = await received(coding, body, "200 OK")
    assert cut is not None and cut.kind == "content_encoding" and cut.retryable
    assert f"content-encoding {coding}" in str(cut) and "accept-encoding: identity" in str(cut)
    whole, streamed, cut = await received(coding, body, "401 No")
    assert cut is None
    for refusal in (whole, streamed):
        assert f"content-encoding {coding}".encode() in refusal


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_small_body_that_holds_gigabytes_is_dropped(times: int) -> None:
    body = b"\0" * 50_000_000
    for _ in range(times):
        body = gzip.compress(body, 6)
    script = answering(encoded(", ".join(["gzip"] * times), body), stay=True)
    async with serving(script) as server, Transport(max_body_bytes=1_000_000) as transport:
        tracemalloc.start()
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        async with transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream:
            with pytest.raises(ProviderError) as caught:
                async for _ in stream.chunks():
                    pass
    assert response.cut is not None
    assert response.cut.kind == caught.value.kind == ("body_too_large" if times == 1 else "content_encoding")
    assert len(response.body) <= 1_000_000
    assert peak < 10_000_000


async def test_a_body_larger_than_the_limit_is_dropped() -> None:
    script = answering(LONG, b"x" * 1000, stay=True)
    async with serving(script) as server, Transport(max_body_bytes=999) as transport:
        response = await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
        async with transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream:
            with pytest.raises(ProviderError) as caught:
                async for _ in stream.chunks():
                    pass
    assert response.cut is not None
    assert response.cut.kind == caught.value.kind == "body_too_large"
    assert not response.cut.retryable


async def test_a_connection_dropped_while_idle_is_not_silently_sent_over_again() -> None:
    """The second POST reaches a server that hangs up on reused connections: one arrival, one error."""

    async def once(server: Server, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(OK)
        await server.read(reader)
        reset(writer)

    async with serving(once) as server, Transport() as transport:
        await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
        with pytest.raises(ProviderError) as caught:
            await transport.send(request(server.url), attempt_id="a2", timeout_s=60)
    assert (caught.value.kind, caught.value.sent) == ("dropped", True)
    assert len(server.heads) == 2
    assert server.connections == 1


async def test_a_connection_closed_between_requests_is_replaced() -> None:
    closing = OK.replace(b"content-type", b"connection: close\r\ncontent-type")
    async with serving(answering(closing)) as server, Transport() as transport:
        for number in range(3):
            response = await transport.send(request(server.url), attempt_id=f"a{number}", timeout_s=60)
            assert response.body == b"{}"
    assert server.connections == len(server.heads) == 3


async def test_a_large_body_is_sent_with_its_length_and_without_a_warning() -> None:
    body = b"x" * 3_000_000
    async with serving(answering(OK, stay=True)) as server, Transport() as transport:
        await transport.send(request(server.url, body), attempt_id="a1", timeout_s=60)
    assert server.bodies == [body]
    assert b"transfer-encoding" not in server.heads[0].lower()


async def test_a_refusal_before_the_body_was_read_is_an_answer_or_an_error_but_never_hangs() -> None:
    async def refuse(server: Server, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        await reader.read(1)

    async with serving(refuse) as server, Transport() as transport:
        sending = transport.send(request(server.url, b"x" * 20_000_000), attempt_id="a1", timeout_s=90)
        try:
            response = await asyncio.wait_for(sending, 60)
        except ProviderError as error:
            assert error.sent
        else:
            assert response.status == 413


@pytest.fixture
def open_files() -> Iterator[None]:
    """Room for both ends of them: some systems allow 256 files until somebody asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(512, soft)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_hundred_and_more_requests_are_in_flight_at_once(open_files: None) -> None:
    together = asyncio.Barrier(150)

    async def meet(server: Server, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        await together.wait()
        writer.write(OK)
        await writer.drain()

    async with serving(meet, backlog=200) as server, Transport() as transport:
        sending = [
            transport.send(request(server.url), attempt_id=f"a{number}", timeout_s=30)
            for number in range(150)
        ]
        responses = await asyncio.gather(*sending)
    assert {response.status for response in responses} == {200}


async def test_a_stream_arrives_piece_by_piece_and_slow_callers_are_not_timed() -> None:
    told = asyncio.Event()

    async def script(server: Server, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await told.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await writer.drain()

    async with (
        serving(script) as server,
        Transport() as transport,
        transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream,
    ):
        pieces = stream.chunks()
        assert await anext(pieces) == b"first"
        time_passes(61)  # what the caller does takes longer than the server may
        told.set()
        assert [piece async for piece in pieces] == [b"second"]


async def test_a_stream_that_stops_arriving_times_out() -> None:
    async with (
        serving(reset_mid_body) as server,
        Transport() as transport,
        transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream,
    ):
        pieces = stream.chunks()
        assert await anext(pieces) == b'{"usage":'
        asyncio.get_running_loop().call_soon(time_passes, 60)
        with pytest.raises(ProviderError) as caught:
            await anext(pieces)
    assert (caught.value.kind, caught.value.sent, caught.value.status) == ("timeout", True, 200)


async def test_a_stream_cut_short_raises_and_one_never_begun_raises_on_entry(nowhere: str) -> None:
    async with (
        serving(answering(LONG, b"begin")) as server,
        Transport() as transport,
        transport.stream(request(server.url), attempt_id="a1", timeout_s=60) as stream,
    ):
        pieces = stream.chunks()
        assert await anext(pieces) == b"begin"
        with pytest.raises(ProviderError) as cut:
            await anext(pieces)
    assert (cut.value.kind, cut.value.sent) == ("dropped", True)
    async with Transport() as transport:
        with pytest.raises(ProviderError) as refused:
            async with transport.stream(request(nowhere), attempt_id="a1", timeout_s=60):
                pytest.fail("there is no stream")
    assert not refused.value.sent


async def test_cancelling_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def watch(server: Server, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        await reader.read()
        gone.set()

    async with serving(watch) as server, Transport() as transport:
        sending = asyncio.create_task(transport.send(request(server.url), attempt_id="a1", timeout_s=30))
        await asyncio.wait_for(server.arrived.wait(), 60)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(gone.wait(), 60)


async def test_a_client_of_ones_own_is_used_and_its_errors_are_mapped() -> None:
    async def app(scope: object, receive: Callable[[], Awaitable[dict[str, object]]], send: object) -> None:
        assert isinstance(scope, dict)
        if scope["path"] == "/crash":
            raise LookupError(KEY)
        message = await receive()
        body = message["body"]
        assert callable(send)
        await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": body})

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))  # type: ignore[arg-type]
    async with Transport(client) as transport:
        response = await transport.send(request("http://sim/ok"), attempt_id="a1", timeout_s=60)
        with pytest.raises(ProviderError) as caught:
            await transport.send(request("http://sim/crash"), attempt_id="a1", timeout_s=60)
    assert (response.status, response.body, response.headers["a"]) == (201, b'{"q":1}', "b")
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("unexpected", True, False)
    assert KEY not in str(caught.value)
    assert client.is_closed


@pytest.mark.parametrize("make", [httpx.AsyncClient, lambda: httpx.AsyncClient(transport=None)])
async def test_a_plain_httpx_client_tells_refused_from_lost(
    make: Callable[[], httpx.AsyncClient], nowhere: str
) -> None:
    async with serving(reset_before_headers) as server, Transport(make()) as transport:
        with pytest.raises(ProviderError) as lost:
            await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
        with pytest.raises(ProviderError) as refused:
            await transport.send(request(nowhere), attempt_id="a1", timeout_s=60)
    assert (lost.value.sent, lost.value.retryable) == (True, True)
    assert (refused.value.sent, refused.value.retryable) == (False, True)


async def test_an_aiohttp_client_of_ones_own_does_not_take_a_lost_answer_for_one_never_sent() -> None:
    """httpx-aiohttp calls a server that hangs up a ConnectTimeout."""
    from httpx_aiohttp import HttpxAiohttpClient

    async with serving(answering()) as server, Transport(HttpxAiohttpClient()) as transport:
        with pytest.raises(ProviderError) as lost:
            await transport.send(request(server.url), attempt_id="a1", timeout_s=60)
    assert (lost.value.kind, lost.value.sent) == ("dropped", True)


async def test_proxies_of_the_environment_are_obeyed_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(answering(OK, stay=True)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with Transport() as transport:
            response = await transport.send(request("http://far.invalid/x"), attempt_id="a1", timeout_s=60)
        assert response.status == 200
        assert proxy.heads[0].startswith(b"POST http://far.invalid/x HTTP/1.1")
        async with Transport(trust_env=False) as transport:
            with pytest.raises(ProviderError):
                await transport.send(request("http://far.invalid/x"), attempt_id="a1", timeout_s=60)
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("proxied", [False, True])
async def test_cookies_are_never_sent_back(monkeypatch: pytest.MonkeyPatch, proxied: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: id=7; path=/\r\ncontent-length: 2\r\n\r\n{}"
    async with serving(answering(answer, stay=True)) as server:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        url = "http://far.invalid/x" if proxied else server.url
        async with Transport() as transport:
            for number in range(3):
                await transport.send(request(url), attempt_id=f"a{number}", timeout_s=60)
    assert len(server.heads) == 3
    assert not any(b"cookie" in head.lower() for head in server.heads)


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy_is_refused_by_name_and_sees_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    async with serving(answering(OK, stay=True)) as proxy, serving(answering(OK, stay=True)) as near:
        monkeypatch.setenv(variable, proxy.url.replace("http", scheme, 1))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with Transport() as transport:
            with pytest.raises(ProviderError, match=f"{variable} names a SOCKS proxy.*NO_PROXY") as refused:
                await transport.send(request("http://far.invalid/x"), attempt_id="a1", timeout_s=60)
            answered = await transport.send(request(near.url), attempt_id="a2", timeout_s=60)
    assert (refused.value.kind, refused.value.sent, refused.value.retryable) == ("proxy", False, False)
    assert (answered.status, proxy.connections) == (200, 0)


async def test_json_is_fetched_for_questions(nowhere: str) -> None:
    head = b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a":[1]}'
    async with serving(answering(head, stay=True)) as server, Transport() as transport:
        assert await transport.get_json(server.url) == {"a": [1]}
    assert server.heads[0].startswith(b"GET ")
    async with Transport() as transport:
        with pytest.raises(ProviderError):
            await transport.get_json(nowhere)


def _exceptions(module: object) -> set[type[Exception]]:
    return {
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, Exception) and not issubclass(item, Warning)
    }


# What these stand for cannot happen here: we send no web sockets, follow no redirects, read each body
# once and bind no upload trackers.
NEVER_RAISED = {
    httpx.CookieConflict,
    httpx.StreamError,
    httpx.StreamConsumed,
    httpx.StreamClosed,
    httpx.ResponseNotRead,
    httpx.RequestNotRead,
}


def test_no_exception_of_the_libraries_below_is_left_without_a_meaning() -> None:
    """A new release with a new exception class fails here, not in a ledger."""
    known = tuple(kind for kind, _ in transport_faults.FAULTS)
    raised = (
        _exceptions(httpx) | _exceptions(aiohttp.client_exceptions) | {ssl.SSLError, OSError}
    ) - NEVER_RAISED
    assert len(raised) > 40
    unmapped = {kind.__name__ for kind in raised if not issubclass(kind, known)}
    assert unmapped <= {"WSMessageTypeError"}


def test_a_mapping_comes_before_that_of_its_base() -> None:
    kinds = [kind for kind, _ in transport_faults.FAULTS]
    for position, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:position]), kind


def test_importing_the_transport_loads_no_http_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, router_lab.router.transport.transport; "
        "print({'httpx', 'aiohttp', 'pandas', 'pyarrow', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()", done.stdout
