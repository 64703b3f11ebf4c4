"""gRPC over two pipes, with an engine that answers what is no answer: an error, and an end."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from differ.frontend.calls import UNKNOWN, CallError, Connection

from .frontend_server import OK, Engine, Headers, call, framed, talking, watched
from .profiles import law


def _echo(request: bytes) -> bytes:
    return request


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([(":status", "503"), ("content-type", "text/html")], "HTTP status 503"),
        ([(":status", "404")], "HTTP status 404"),
        (OK, "HTTP status 200"),
        ([*OK, ("grpc-status", "")], "HTTP status 200"),
        ([*OK, ("grpc-status", "fine")], "HTTP status 200"),
        ([*OK, ("grpc-status", "-1")], "HTTP status 200"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>"])
def test_no_status(headers: Headers, text: str, body: bytes) -> None:
    def answer(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, headers, end_stream=not body)
        if body:
            engine.h2.send_data(stream, body, end_stream=True)

    with talking({"Echo": _echo}, acts={"Ask": answer}) as connection:
        with pytest.raises(CallError, match=text) as caught:
            call(connection, "Ask")
        assert caught.value.code == UNKNOWN
        assert call(connection, "Echo", b"after") == b"after"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        framed(b"one") + framed(b"two"),
        framed(b"long")[:-1],
        framed(b"long") + b"!",
        b"\1" + framed(b"compressed")[1:],
    ],
)
def test_a_body_that_is_not_one_message(body: bytes) -> None:
    def answer(engine: Engine, stream: int, request: bytes) -> None:
        engine.send(stream, OK, body, [("grpc-status", "0")])

    with talking({"Echo": _echo}, acts={"Ask": answer}) as connection:
        with pytest.raises(CallError, match=r"^a reply that is not one message$"):
            call(connection, "Ask")
        assert call(connection, "Echo", b"after") == b"after"


@pytest.mark.parametrize("details", ["A", "!!!", "/////w", "CgVhYm"])
def test_details_that_cannot_be_read(details: str) -> None:
    """The message is there all the same."""
    headers = [*OK, ("grpc-status", "2"), ("grpc-message", "it failed"), ("grpc-status-details-bin", details)]

    def refuse(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, headers, end_stream=True)

    with (
        talking(acts={"Ask": refuse}) as connection,
        pytest.raises(CallError, match=r"^it failed$") as caught,
    ):
        call(connection, "Ask")
    assert (caught.value.code, caught.value.details) == (2, [])


def test_a_header_that_is_not_text() -> None:
    """Lost or carried, but no traceback."""

    def refuse(engine: Engine, stream: int, request: bytes) -> None:
        headers = [(b":status", b"200"), (b"grpc-status", b"2"), (b"grpc-message", b"caf\xe9")]
        engine.h2.send_headers(stream, headers, end_stream=True)

    with talking(acts={"Ask": refuse}) as connection, pytest.raises(CallError):
        call(connection, "Ask")


# Anything at all.


def _fed(data: bytes) -> bytes:
    """The reply of a call whose answer is some bytes and the end."""
    source, far_sink = os.pipe()
    far_source, sink = os.pipe()
    try:
        os.write(far_sink, data)
        os.close(far_sink)
        with watched():
            return call(Connection(source, sink), "Ask")
    finally:
        for end in (source, far_source, sink):
            os.close(end)


def _raw_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


_frames = st.builds(
    _raw_frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 1, 2, 3]),
    st.binary(max_size=40),
)


@law
@given(st.binary(max_size=200))
@example(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nmalformed HTTP request")
def test_garbage(data: bytes) -> None:
    with pytest.raises(
        CallError, match=r"^the connection to the engine is lost: .|^the engine has ended the connection"
    ):
        _fed(data)


@law
@given(st.lists(_frames, min_size=1, max_size=6))
def test_frames_of_any_kind(frames: list[bytes]) -> None:
    settings = _raw_frame(4, 0, 0, b"")
    with pytest.raises(CallError):
        _fed(settings + b"".join(frames))
