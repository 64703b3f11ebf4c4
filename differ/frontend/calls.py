"""gRPC calls over two pipes: BuildKit is the server at the other end of stdin and stdout.

HTTP/2 is the h2 package's; what is added is the frame of a message and the status at the end of a call
(grpc/grpc, doc/PROTOCOL-HTTP2.md).
"""

from __future__ import annotations

import os
import re
from binascii import a2b_base64

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .messages import STATUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protobuf import Value

WINDOW = 1 << 24  # bytes that may be under way to us: as long as the longest message of BuildKit
READ = 1 << 16
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
UNKNOWN, UNIMPLEMENTED, UNAVAILABLE = 2, 12, 14


class CallError(Exception):
    """A call that failed.

    ``code``: gRPC's.
    ``details``: of the status, as it came: each a dict with ``type_url`` and ``value``.
    """

    def __init__(self, code: int, message: str, details: list[Value] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details or []


class _Call:
    """What has come of one call."""

    __slots__ = ("body", "ended", "error", "headers")

    def __init__(self) -> None:
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.ended = False
        self.error: CallError | None = None


class Connection:
    """The client's end.

    ``source``, ``sink``: descriptors to read from and write to; they stay the caller's.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._calls: dict[int, _Call] = {}
        self._closed: CallError | None = None
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        # A failed build comes with its Dockerfile in a header.  The frame size stays as it is: h2 would
        # refuse the larger ones before the other side has agreed.
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: WINDOW,
            },
        )
        self._h2.decoder.max_header_list_size = WINDOW
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)

    def start(self, path: str, message: bytes) -> int:
        """Send a request; the number to :meth:`finish` it by.  Several may be under way.

        ``path``: ``/package.Service/Method``.
        """
        if self._closed is not None:
            raise self._closed
        number = self._h2.get_next_available_stream_id()
        self._calls[number] = _Call()
        try:
            self._h2.send_headers(
                number,
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", "localhost"),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                ],
            )
            self._send(number, b"\0" + len(message).to_bytes(4, "big") + message)
        except h2.exceptions.ProtocolError as error:
            raise self._broken(error) from error
        return number

    def finish(self, number: int) -> bytes:
        """The reply to a request; raises :class:`CallError`."""
        call = self._calls[number]
        while not call.ended:
            self._receive()
        del self._calls[number]
        if call.error is not None:
            raise call.error
        return _reply(call)

    def _send(self, number: int, data: bytes) -> None:
        call = self._calls[number]
        view = memoryview(data)
        while view and not call.ended:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._receive()
                continue
            self._h2.send_data(number, bytes(view[:room]), end_stream=len(view) <= room)
            view = view[room:]
        self._flush()

    def _flush(self) -> None:
        view = memoryview(self._h2.data_to_send())
        while view:
            try:
                view = view[os.write(self._sink, view) :]
            except OSError as error:
                raise self._broken(error) from error

    def _receive(self) -> None:
        """Take what has come, at least one byte, and give every call its part."""
        self._flush()
        if self._closed is not None:
            raise self._closed
        try:
            data = os.read(self._source, READ)
        except OSError as error:
            raise self._broken(error) from error
        if not data:
            raise self._broken("it has closed the connection")
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError as error:
            raise self._broken(error) from error
        try:
            self._flush()
        except CallError:
            pass  # what has come counts; whoever wants more will hear of it

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            # h2 takes nothing after it, so that no call that is under way can be answered any more.
            self._closed = CallError(UNAVAILABLE, f"the engine has ended the connection ({event.error_code})")
            for begun in self._calls.values():
                if not begun.ended:
                    begun.ended, begun.error = True, self._closed
            return
        call = self._calls.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if call is not None:
                call.body += event.data
        elif call is None:
            pass
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            call.headers.update((_text(name), _text(value)) for name, value in event.headers or ())
        elif isinstance(event, h2.events.StreamEnded):
            call.ended = True
        elif isinstance(event, h2.events.StreamReset):
            call.ended = True
            # Whoever answers before the whole request has come says then that no more is wanted.
            if "grpc-status" not in call.headers:
                call.error = CallError(UNAVAILABLE, f"the engine has ended the call ({event.error_code})")

    def _broken(self, why: object) -> CallError:
        self._closed = CallError(UNAVAILABLE, f"the connection to the engine is lost: {why}")
        return self._closed


def _reply(call: _Call) -> bytes:
    """The message of an ended call; raises :class:`CallError` if its status is not 0."""
    headers = call.headers
    code = headers.get("grpc-status", "")
    if not code.isdecimal():
        http = headers.get(":status", "none")
        raise CallError(UNKNOWN, f"a reply without a status of gRPC (HTTP status {http})")
    if code != "0":
        message, details = _unquote(headers.get("grpc-message", "")), []
        encoded = headers.get("grpc-status-details-bin", "")
        try:
            status = STATUS.decode(a2b_base64(encoded + "=" * (-len(encoded) % 4)))
            message, details = status.get("message") or message, status.get("details", [])
        except ValueError:
            pass  # the message says enough
        raise CallError(int(code), message, details)
    if len(call.body) < 5 or call.body[0] or len(call.body) - 5 != int.from_bytes(call.body[1:5], "big"):
        raise CallError(UNKNOWN, "a reply that is not one message")
    return bytes(call.body[5:])


def _text(header: bytes | str) -> str:
    return header if isinstance(header, str) else header.decode("utf-8", "replace")


def _unquote(text: str) -> str:
    """Take the percent signs out of a grpc-message."""
    data = text.encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), data)
    return plain.decode("utf-8", "replace")
