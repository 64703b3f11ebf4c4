"""An engine that only talks: the server's end of a frontend's two pipes, made with h2.

It reads and writes in a thread of its own and waits for neither, so that what hangs is the client.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from differ.frontend.calls import Connection
from differ.frontend.messages import STATUS

if TYPE_CHECKING:
    from differ.frontend.protobuf import Value

Headers = list[tuple[str, str]]
Told = dict[SettingCodes | int, int]
Answer = Callable[[bytes], bytes]
Act = Callable[["Engine", int, bytes], None]
"""What is done about a request: the engine, the number of its stream, and its message."""

SERVICE = "/test.Service/"
OK: Headers = [(":status", "200"), ("content-type", "application/grpc")]
WINDOW = 65535
"""What each side of a connection may send before it has been told anything."""
_LIMIT = 20  # seconds; what takes as long as this would take forever


class RefusalError(Exception):
    """Raised by an answer: the status to give instead."""

    def __init__(self, code: int, message: str, details: list[Value] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


class Engine:
    """The server.

    ``answers``: by method, the reply's message for the request's.
    ``acts``: by method, what else is done when a request has come.
    ``early``: by method, what is done when only its headers have.
    ``settings``: told at the start.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        answers: Mapping[str, Answer],
        acts: Mapping[str, Act],
        early: Mapping[str, Act],
        settings: Told,
    ) -> None:
        self._source, self._sink = source, sink
        for end in (source, sink):
            os.set_blocking(end, False)
        self._wake, self._waker = os.pipe()
        self._answers, self._acts, self._early = answers, acts, early
        self._methods: dict[int, str] = {}
        self._requests: dict[int, bytearray] = {}
        self._starved: dict[int, Act] = {}
        self._replies: dict[int, tuple[memoryview, Headers]] = {}
        self._waiting: list[Callable[[], None]] = []
        self._out = bytearray()
        self._open = True
        self.padding: int | None = None
        self.frame = 1 << 14
        self.trouble: BaseException | None = None
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.encoder.huffman_coder = _Huffman()
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    # What acts do.

    def reply(self, stream: int, message: bytes) -> None:
        """Answer with a message."""
        self.send(stream, OK, framed(message), [("grpc-status", "0")])

    def refuse(self, stream: int, code: int, message: str, details: list[Value] | None = None) -> None:
        """Answer with a status and nothing else."""
        headers = [*OK, ("grpc-status", str(code)), ("grpc-message", quote(message, safe=" "))]
        if details:
            status = STATUS.encode({"code": code, "message": message, "details": details})
            headers.append(("grpc-status-details-bin", b64encode(status).decode().rstrip("=")))
        self.h2.send_headers(stream, headers, end_stream=True)

    def send(self, stream: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        """Answer with anything."""
        self.h2.send_headers(stream, headers)
        self._replies[stream] = (memoryview(body), trailers)

    def raw(self, data: bytes) -> None:
        """Put bytes into the connection, after the frames so far."""
        self._pump()
        self._out += self.h2.data_to_send() + data

    def starve(self, stream: int, act: Act) -> None:
        """Give no room to a request, and do something when it has used up what there was."""
        self._starved[stream] = act

    def after_ping(self, act: Callable[[], None]) -> None:
        """Send a PING and do something when it is answered."""
        self.h2.ping(b"are you?")
        self._waiting.append(act)

    def hang_up(self) -> None:
        """Close both pipes once everything is written."""
        self._open = False

    # The loop.

    def close(self) -> None:
        """End it, whatever it does."""
        os.write(self._waker, b"x")
        self._thread.join()
        os.close(self._wake)
        os.close(self._waker)
        if self.trouble is not None:
            raise self.trouble

    def _serve(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:
            self.trouble = error
        finally:
            os.close(self._source)
            os.close(self._sink)

    def _turn(self) -> bool:
        """Wait for something to do, and do it; whether there may be more."""
        self._pump()
        self._out += self.h2.data_to_send()
        if not self._open and not self._out:
            return False
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._open:
            poll.register(self._source, select.POLLIN)
        if self._out:
            poll.register(self._sink, select.POLLOUT)
        ready = dict(poll.poll())
        if self._wake in ready:
            return False
        if self._sink in ready:
            try:
                del self._out[: os.write(self._sink, self._out)]
            except BrokenPipeError:
                return False
        if self._source in ready:
            data = os.read(self._source, 1 << 16)
            if not data:
                return False
            for event in self.h2.receive_data(data):
                self._take(event)
        return True

    def _pump(self) -> None:
        """Send of each reply what may be sent, a frame of each in turn."""
        moved = True
        while moved:
            moved = False
            for stream, (body, trailers) in list(self._replies.items()):
                padding = 0 if self.padding is None else self.padding + 1
                window = self.h2.local_flow_control_window(stream)
                room = min(window, self.h2.max_outbound_frame_size, self.frame) - padding
                if not body:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                    del self._replies[stream]
                elif room > 0:
                    self.h2.send_data(stream, bytes(body[:room]), pad_length=self.padding)
                    self._replies[stream] = (body[room:], trailers)
                    moved = True

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            assert (headers[":method"], headers[":scheme"]) == ("POST", "http")
            assert (headers["te"], headers["content-type"]) == ("trailers", "application/grpc")
            path, _, method = headers[":path"].rpartition("/")
            assert path
            self._methods[event.stream_id] = method
            self._requests[event.stream_id] = bytearray()
            if method in self._early:
                self._early[method](self, event.stream_id, b"")
        elif isinstance(event, h2.events.DataReceived):
            request = self._requests[event.stream_id]
            request += event.data
            if event.stream_id not in self._starved:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif len(request) >= WINDOW:
                self._starved.pop(event.stream_id)(self, event.stream_id, bytes(request))
        elif isinstance(event, h2.events.StreamEnded):
            self._answer(event.stream_id)
        elif isinstance(event, h2.events.PingAckReceived):
            self._waiting.pop(0)()

    def _answer(self, stream: int) -> None:
        method, request = self._methods[stream], bytes(self._requests.pop(stream))
        assert request[:1] == b"\0"
        assert int.from_bytes(request[1:5], "big") == len(request) - 5
        if method in self._acts:
            self._acts[method](self, stream, request[5:])
        elif method in self._answers:
            try:
                self.reply(stream, self._answers[method](request[5:]))
            except RefusalError as refusal:
                self.refuse(stream, refusal.code, refusal.message, refusal.details)
        elif method not in self._early:
            self.refuse(stream, 12, f"unknown method {method}")


class _Huffman(HuffmanEncoder):
    """In the place of hpack's, whose time grows with the square of the length."""

    def __init__(self) -> None:
        super().__init__(REQUEST_CODES, REQUEST_CODES_LENGTH)

    def encode(self, bytes_to_encode: bytes | None) -> bytes:
        bits = "".join(
            f"{REQUEST_CODES[byte]:0{REQUEST_CODES_LENGTH[byte]}b}" for byte in bytes_to_encode or b""
        )
        bits += "1" * (-len(bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def framed(message: bytes) -> bytes:
    """A message as gRPC puts it into a body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def reset(stream_code: ErrorCodes) -> Act:
    """An act: RST_STREAM."""
    return lambda engine, stream, request: engine.h2.reset_stream(stream, stream_code)


@contextmanager
def watched() -> Iterator[None]:
    """Fail what does not end, whether it waits or spins."""

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"it hangs: no end after {_LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def talking(
    answers: Mapping[str, Answer] | None = None,
    *,
    acts: Mapping[str, Act] | None = None,
    early: Mapping[str, Act] | None = None,
    settings: Told | None = None,
) -> Iterator[Connection]:
    """A connection to an engine."""
    client_source, sink = os.pipe()
    source, client_sink = os.pipe()
    engine = Engine(source, sink, answers or {}, acts or {}, early or {}, settings or {})
    try:
        with watched():
            yield Connection(client_source, client_sink)
    finally:
        try:
            engine.close()
        finally:
            os.close(client_source)
            os.close(client_sink)


def call(connection: Connection, method: str, message: bytes = b"") -> bytes:
    """Ask and wait."""
    return connection.finish(connection.start(SERVICE + method, message))
