"""Proxies and certificates of the environment: who needs them gets them, or hears the variable's name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from raw_server import OK, answering, request, serving

from router_lab import Router, settings
from router_lab.errors import ProviderError
from router_lab.ledger import Ledger
from router_lab.router.transport.transport import Transport


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("rules", "url", "around"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:9/", True),
        ("localhost, 10.0.0.0/8 127.0.0.1/32", "http://127.0.0.1:9/", True),
        ("10.0.0.0/8", "http://127.0.0.1:9/", False),
        ("127.0.0.1:9", "http://127.0.0.1:9/", True),
        ("127.0.0.1:8", "http://127.0.0.1:9/", False),
        ("::1", "http://[::1]:9/", True),
        ("[::1]", "http://[::1]:9/", True),
        ("[::1]:9", "http://[::1]:9/", True),
        ("[::1]:8", "http://[::1]:9/", False),
        ("::1/128", "http://[::1]:9/", True),
        ("[::]/64", "http://[::1]:9/", True),
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f0::7]:9/", True),
        ("fd07:b51a:cc66:f0::/64", "http://[::1]:9/", False),
        ("fd07:b51a:cc66:f0::/64,,not/a/range,[,]", "http://127.0.0.1:9/", False),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]:9/", True),
        ("invalid", "http://far.invalid/", True),
        (".invalid", "http://far.invalid/", True),
        ("*.invalid", "http://far.invalid/", True),
        ("far.invalid", "http://far.invalid/", True),
        ("FAR.Invalid:80", "http://far.invalid/", True),
        ("http://far.invalid", "http://far.invalid/", True),
        ("https://far.invalid", "http://far.invalid/", False),
        ("ar.invalid", "http://far.invalid/", False),
        ("127.0.0.0/8", "http://far.invalid/", False),
        ("*", "http://far.invalid/", True),
        ("", "http://far.invalid/", False),
    ],
)
async def test_no_proxy_as_curl_reads_it(
    monkeypatch: pytest.MonkeyPatch, rules: str, url: str, around: bool
) -> None:
    async with serving(answering(OK, stay=True)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", rules)
        async with Transport() as transport:
            if around:
                with pytest.raises(ProviderError):  # nobody is there
                    await transport.send(request(url), attempt_id="a", timeout_s=60)
            else:
                await transport.send(request(url), attempt_id="a", timeout_s=60)
    assert proxy.connections == (0 if around else 1)


@pytest.mark.parametrize(
    "rules", ["localhost,127.0.0.1,::1/128", "[::1]", "fd07:b51a:cc66:f0::/64", "]", "a:b:c"]
)
async def test_a_rule_about_others_keeps_nobody_from_anything(
    monkeypatch: pytest.MonkeyPatch, rules: str
) -> None:
    monkeypatch.setenv("NO_PROXY", rules)
    async with serving(answering(OK, stay=True)) as server, Transport() as transport:
        assert (await transport.send(request(server.url), attempt_id="a", timeout_s=60)).status == 200


@pytest.mark.parametrize("address", ["http://user:hush@", "gopher://there", "http://a b", "http://h:port"])
async def test_a_proxy_that_cannot_be_used_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("https_proxy", address)
    async with serving(answering(OK, stay=True)) as server, Transport() as transport:
        with pytest.raises(ProviderError, match="https_proxy is no address of a proxy") as refused:
            await transport.send(request("https://far.invalid/"), attempt_id="a", timeout_s=60)
        assert (await transport.send(request(server.url), attempt_id="b", timeout_s=60)).status == 200
    assert "hush" not in str(refused.value)
    assert (refused.value.sent, refused.value.retryable) == (False, False)


NO_CERTIFICATES = {
    "SSL_CERT_FILE": ("is not there", "is no file", "holds no certificate"),
    "SSL_CERT_DIR": ("is no folder",),
}


@pytest.mark.parametrize(
    ("variable", "problem"), [(name, said) for name, all_said in NO_CERTIFICATES.items() for said in all_said]
)
async def test_certificates_that_are_not_there_stop_those_who_need_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, problem: str
) -> None:
    place = tmp_path / "cacert.pem"
    if problem == "is no file":
        place.mkdir()
    elif problem == "holds no certificate":
        place.write_text("-----BEGIN PEAR-----\n")
    monkeypatch.setenv(variable, str(place))
    async with serving(answering(OK, stay=True)) as server, Transport() as transport:
        assert (await transport.send(request(server.url), attempt_id="a", timeout_s=60)).status == 200
        url = server.url.replace("http", "https")
        with pytest.raises(
            ProviderError, match=f"{variable}={place} {problem}; set {variable} to"
        ) as refused:
            await transport.send(request(url), attempt_id="b", timeout_s=60)
    assert (refused.value.kind, refused.value.sent, refused.value.retryable) == ("tls", False, False)


async def test_a_log_of_keys_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys"))
    async with Transport() as transport:
        with pytest.raises(
            ProviderError, match=r"SSLKEYLOGFILE=.* is not there; set SSLKEYLOGFILE to a file"
        ):
            await transport.send(request("https://127.0.0.1:9/"), attempt_id="a", timeout_s=60)


YAML = """
models:
  near: {{provider: openai, model: m, base_url: "{url}/v1", price: {{input: 1, output: 1}}}}
  far: {{provider: openai, model: m, base_url: "https://127.0.0.1:9/v1", price: {{input: 1, output: 1}}}}
routing: {{t: {{model: far, fallback: near}}, u: {{model: near}}}}
"""


async def test_the_row_of_such_a_call_is_unbilled_and_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is retried: no waiting brings a file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    with Ledger(tmp_path / "ledger") as ledger:
        async with Router(settings.parse(YAML.format(url="http://127.0.0.1:9")), ledger=ledger) as router:
            with pytest.raises(ProviderError, match="SSL_CERT_FILE"):
                await router.complete("hi", task_type="t")
        rows = ledger.attempts()
    assert rows[["billing", "outcome", "cost_usd"]].to_numpy().tolist() == [
        ["unbilled", "transport_error", 0.0]
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [(10, "renewed"), (9, "clock"), (62, "the name that the certificate is for"), (18, "SSL_CERT_FILE")],
)
def test_a_refused_certificate_has_a_remedy_of_its_own(code: int, said: str) -> None:
    from router_lab.router.transport.transport_faults import to_provider_error

    refused = ssl.SSLCertVerificationError(1, "refused")
    refused.verify_code, refused.verify_message = code, "refused"
    error = to_provider_error(refused, url="https://h/", status=None, connected=False, timeout_s=1)
    assert said in str(error) and not error.retryable


async def test_an_authority_that_is_not_in_the_file_that_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from router_lab.router.transport.transport_faults import to_provider_error

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mine.pem"))
    refused = ssl.SSLCertVerificationError(1, "refused")
    refused.verify_code, refused.verify_message = 20, "unable to get local issuer certificate"
    error = to_provider_error(refused, url="https://h/", status=None, connected=False, timeout_s=1)
    assert f"not in SSL_CERT_FILE={tmp_path / 'mine.pem'}" in str(error)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_encoding_nobody_can_take_off_is_named_and_falls_back(tmp_path: Path, stream: bool) -> None:
    body = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\n\x8b\x02\x80ab"
    good = b'{"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
    fine = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(good) + good
    )
    async with serving(answering(body)) as far, serving(answering(fine)) as near:
        yaml = YAML.format(url=near.url).replace("https://127.0.0.1:9", far.url)
        with Ledger(tmp_path / "ledger") as ledger:
            parsed = settings.parse(yaml + "retry: {policies: {standard: {retries: 0}}}")
            async with Router(parsed, ledger=ledger) as router:
                if stream:
                    text = "".join([chunk.text async for chunk in router.stream("hi", task_type="t")])
                else:
                    text = (await router.complete("hi", task_type="t")).text
            first = ledger.attempts().sort_values("attempt_no").iloc[0]
    assert text == "fine"
    assert (first["billing"], first["outcome"]) == ("unknown", "transport_error")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_that_lets_nothing_through_is_said_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:hush@127.0.0.1:9")
    async with Transport() as transport:
        with pytest.raises(ProviderError, match=rf"proxy of {variable} \(127\.0\.0\.1:9\)") as refused:
            await transport.send(request("http://far.invalid/"), attempt_id="a", timeout_s=60)
    assert "hush" not in str(refused.value)
    assert refused.value.sent is False


@pytest.mark.parametrize(("status", "said"), [(407, "wants a user"), (403, "answered 403")])
async def test_a_tunnel_that_a_proxy_refuses_is_said_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    refusal = f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode()
    async with serving(answering(refusal)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with Transport() as transport:
            with pytest.raises(ProviderError, match=said) as refused:
                await transport.send(request("https://far.invalid/"), attempt_id="a", timeout_s=60)
    assert "HTTPS_PROXY" in str(refused.value)
