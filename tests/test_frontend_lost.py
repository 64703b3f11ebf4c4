"""gRPC over two pipes, with an engine that goes away: an error that says so, and an end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame

from differ.frontend.calls import UNAVAILABLE, CallError, Connection

from .frontend_server import OK, SERVICE, WINDOW, Act, Engine, call, framed, reset, talking, watched

LOST = r"^the connection to the engine is lost: .|^the engine has ended the connection"
LONG = b"x" * (WINDOW + 100_000)


def _echo(request: bytes) -> bytes:
    return request


def _outcome(ask: Callable[[], bytes]) -> bytes | CallError:
    try:
        return ask()
    except CallError as error:
        return error


def _lost(
    connection: Connection, number: int | None = None, method: str = "Ask", message: bytes = b""
) -> None:
    """A call fails because the connection is gone, and so does each after it."""
    error = _outcome(
        lambda: call(connection, method, message) if number is None else connection.finish(number)
    )
    assert isinstance(error, CallError)
    assert error.code == UNAVAILABLE
    assert re.search(LOST, error.message)
    with pytest.raises(CallError, match=LOST):
        call(connection, "Another")


def _hang_up(engine: Engine, stream: int, request: bytes) -> None:
    engine.hang_up()


def _starved(act: Act) -> Act:
    return lambda engine, stream, request: engine.starve(stream, act)


# RST_STREAM.


@pytest.mark.parametrize("code", [ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL])
def test_a_call_that_is_reset(code: ErrorCodes) -> None:
    with talking({"Echo": _echo}, acts={"Ask": reset(code)}) as connection:
        other = connection.start(SERVICE + "Echo", b"other")
        with pytest.raises(CallError, match=rf"^the engine has ended the call \({code:d}\)$") as caught:
            call(connection, "Ask")
        assert caught.value.code == UNAVAILABLE
        assert connection.finish(other) == b"other"
        assert call(connection, "Echo", b"after") == b"after"


def test_a_call_that_is_reset_while_it_waits_for_room() -> None:
    early = {"Ask": _starved(reset(ErrorCodes.ENHANCE_YOUR_CALM))}

    def act(engine: Engine, stream: int, request: bytes) -> None:
        # What the call has used up of the connection's window is given back.
        early["Ask"](engine, stream, request)
        engine.h2.increment_flow_control_window(WINDOW)

    with talking({"Echo": _echo}, early={"Ask": act}) as connection:
        with pytest.raises(CallError, match=r"ended the call \(11\)"):
            call(connection, "Ask", LONG * 2)
        assert call(connection, "Echo", LONG) == LONG


def test_a_reset_after_a_part_of_the_reply() -> None:
    def fail(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, OK)
        engine.h2.send_data(stream, framed(b"half")[:7])
        engine.h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)

    with talking(acts={"Ask": fail}) as connection, pytest.raises(CallError, match="ended the call"):
        call(connection, "Ask")


def _answered_early(engine: Engine, stream: int, request: bytes) -> None:
    """What Go's server does of a request that is too long: a whole answer, then RST_STREAM without an error."""
    engine.refuse(stream, 8, "grpc: received message larger than max")
    engine.h2.reset_stream(stream, ErrorCodes.NO_ERROR)


def test_an_answer_before_the_end_of_the_request() -> None:
    """RFC 9113, 8.1: a response must not be discarded because of such a reset."""
    with talking(early={"Ask": _starved(_answered_early)}) as connection:
        with pytest.raises(CallError, match=r"^grpc: received message larger than max$") as caught:
            call(connection, "Ask", LONG)
        assert caught.value.code == 8


def test_an_answer_before_the_end_of_the_request_and_no_reset() -> None:
    def refuse(engine: Engine, stream: int, request: bytes) -> None:
        engine.refuse(stream, 8, "too long")
        engine.h2.increment_flow_control_window(WINDOW)

    with talking({"Echo": _echo}, early={"Ask": _starved(refuse)}) as connection:
        with pytest.raises(CallError, match=r"^too long$"):
            call(connection, "Ask", LONG)
        assert call(connection, "Echo", b"after") == b"after"


def test_a_reset_right_after_the_reply() -> None:
    def answer(engine: Engine, stream: int, request: bytes) -> None:
        engine.reply(stream, b"whole")
        engine.raw(RstStreamFrame(stream, error_code=0).serialize())

    with talking(acts={"Ask": answer}) as connection:
        assert call(connection, "Ask") == b"whole"


# GOAWAY.


def _goaway(last: int, code: int = 0) -> bytes:
    return GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=b"bye").serialize()


def test_goaway_with_an_error() -> None:
    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.raw(_goaway(stream, 11))

    with talking(acts={"Ask": leave}) as connection:
        with pytest.raises(CallError, match=r"^the engine has ended the connection \(11\)$"):
            call(connection, "Ask")
        _lost(connection)


@pytest.mark.parametrize("code", [0, 2])
def test_goaway_that_leaves_out_a_call(code: int) -> None:
    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.raw(_goaway(stream - 2, code))

    with talking({"Echo": _echo}, acts={"Ask": leave}) as connection:
        assert call(connection, "Echo", b"before") == b"before"
        with pytest.raises(CallError, match=rf"^the engine has ended the connection \({code}\)$"):
            call(connection, "Ask")
        _lost(connection)


@pytest.mark.parametrize("code", [0, 2])
def test_goaway_after_the_reply(code: int) -> None:
    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.reply(stream, b"the last")
        engine.raw(_goaway(stream, code))

    with talking(acts={"Ask": leave}) as connection:
        assert call(connection, "Ask") == b"the last"


def test_goaway_before_the_reply_of_a_call_that_it_covers() -> None:
    """Such a call may be answered, and a client may do without the answer: h2's takes nothing after GOAWAY."""

    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.raw(_goaway(stream))
        engine.reply(stream, b"the answer")

    with talking(acts={"Ask": leave}) as connection:
        number = connection.start(SERVICE + "Ask", b"")
        outcome = _outcome(lambda: connection.finish(number))
    assert outcome == b"the answer" or re.search(LOST, str(outcome))


def test_goaway_and_no_reply() -> None:
    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.raw(_goaway(stream))
        engine.hang_up()

    with talking(acts={"Ask": leave}) as connection:
        _lost(connection)


def test_goaway_while_a_request_waits_for_room() -> None:
    def leave(engine: Engine, stream: int, request: bytes) -> None:
        engine.raw(_goaway(stream, 11))

    with talking(early={"Ask": _starved(leave)}) as connection:
        _lost(connection, message=LONG)


# The end of a pipe.


def test_the_engine_goes_before_it_answers() -> None:
    with talking(acts={"Ask": _hang_up}) as connection:
        others = [connection.start(SERVICE + "Other", b"") for _ in range(2)]
        _lost(connection)
        for number in others:
            with pytest.raises(CallError):
                connection.finish(number)


def test_the_engine_goes_after_the_reply() -> None:
    def answer(engine: Engine, stream: int, request: bytes) -> None:
        engine.reply(stream, b"the last")
        engine.raw(b"")
        engine.hang_up()

    with talking(acts={"Ask": answer}) as connection:
        assert call(connection, "Ask") == b"the last"
        _lost(connection)


@pytest.mark.parametrize("size", [1, 8, 9, 10, 500])
def test_the_engine_goes_in_the_middle_of_a_frame(size: int) -> None:
    def stop(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, OK)
        engine.raw(DataFrame(stream, framed(b"y" * 1000)).serialize()[:size])
        engine.hang_up()

    with talking(acts={"Ask": stop}) as connection:
        _lost(connection)


def test_the_engine_goes_in_the_middle_of_headers() -> None:
    def stop(engine: Engine, stream: int, request: bytes) -> None:
        block = engine.h2.encoder.encode([*OK, ("grpc-status", "0")])
        engine.raw(HeadersFrame(stream, block, flags=[]).serialize())
        engine.hang_up()

    with talking(acts={"Ask": stop}) as connection:
        _lost(connection)


def test_the_engine_goes_before_the_trailers() -> None:
    def stop(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, OK)
        engine.h2.send_data(stream, framed(b"all of it"))
        engine.raw(b"")
        engine.hang_up()

    with talking(acts={"Ask": stop}) as connection:
        _lost(connection)


def test_the_engine_goes_while_a_request_waits_for_room() -> None:
    with talking(early={"Ask": _starved(_hang_up)}) as connection:
        _lost(connection, message=LONG)


def test_the_engine_goes_at_once() -> None:
    with talking(early={"Ask": _hang_up}) as connection:
        _lost(connection, message=LONG)


def test_nobody_reads() -> None:
    source, far_sink = os.pipe()
    far_source, sink = os.pipe()
    os.close(far_source)
    try:
        with watched():
            _lost(Connection(source, sink))
    finally:
        for end in (source, far_sink, sink):
            os.close(end)


def test_nobody_reads_any_more_but_there_is_still_an_answer() -> None:
    """The engine may close one pipe before the other."""
    source, far_sink = os.pipe()
    far_source, sink = os.pipe()
    try:
        with watched():
            connection = Connection(source, sink)
            number = connection.start(SERVICE + "Ask", b"")
            os.close(far_source)
            os.close(far_sink)
            _lost(connection, number)
    finally:
        os.close(source)
        os.close(sink)


def test_more_calls_than_the_engine_takes_at_a_time() -> None:
    """The second waits for the first, or tells what is the matter."""

    def second(connection: Connection) -> bytes:
        first = connection.start(SERVICE + "Echo", b"first")
        number = connection.start(SERVICE + "Echo", b"second")
        return connection.finish(first) + connection.finish(number)

    with talking({"Echo": _echo}, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1}) as connection:
        assert call(connection, "Echo", b"zeroth") == b"zeroth"
        outcome = _outcome(lambda: second(connection))
    assert outcome == b"firstsecond" or re.search(LOST, str(outcome))
