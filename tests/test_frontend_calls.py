"""gRPC over two pipes, with an engine that keeps to the rules."""

from __future__ import annotations

from array import array

import pytest
from h2.settings import SettingCodes

from differ.frontend import calls
from differ.frontend.calls import CallError

from .frontend_server import OK, SERVICE, WINDOW, Act, Engine, RefusalError, Told, call, framed, talking


def _echo(request: bytes) -> bytes:
    return request


def _sized(request: bytes) -> bytes:
    return _bytes(int(request))


def _bytes(size: int) -> bytes:
    """Bytes of which no two pieces are the same."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


def test_a_call() -> None:
    with talking({"Echo": _echo}) as connection:
        assert call(connection, "Echo", b"hello") == b"hello"
        assert call(connection, "Echo", b"") == b""
        assert call(connection, "Echo", b"again") == b"again"


def test_many_calls_one_after_another() -> None:
    with talking({"Echo": _echo}) as connection:
        for number in range(300):
            assert call(connection, "Echo", b"%d" % number) == b"%d" % number


def test_calls_under_way_are_told_apart() -> None:
    with talking({"Echo": _echo}) as connection:
        numbers = [connection.start(SERVICE + "Echo", b"%d" % number) for number in range(50)]
        assert [connection.finish(number) for number in numbers] == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_replies_in_another_order_than_requests(order: tuple[int, ...]) -> None:
    waiting: list[tuple[int, bytes]] = []

    def hold(engine: Engine, stream: int, request: bytes) -> None:
        waiting.append((stream, request))
        if len(waiting) == len(order):
            for held, asked in reversed(waiting):
                engine.reply(held, asked * 50_000)

    with talking(acts={"Hold": hold}) as connection:
        numbers = [connection.start(SERVICE + "Hold", b"%d" % number) for number in range(len(order))]
        for which in order:
            assert connection.finish(numbers[which]) == b"%d" % which * 50_000


def test_a_call_made_while_another_waits() -> None:
    waiting: list[int] = []

    def free(engine: Engine, stream: int, request: bytes) -> None:
        engine.reply(waiting.pop(), b"at last")
        engine.reply(stream, b"now")

    def hold(engine: Engine, stream: int, request: bytes) -> None:
        waiting.append(stream)

    with talking(acts={"Hold": hold, "Free": free}) as connection:
        first = connection.start(SERVICE + "Hold", b"")
        assert call(connection, "Free") == b"now"
        assert connection.finish(first) == b"at last"


def test_an_error_of_one_call_is_not_that_of_another() -> None:
    def refuse(request: bytes) -> bytes:
        raise RefusalError(5, "not here")

    with talking({"Echo": _echo, "Refuse": refuse}) as connection:
        good, bad = connection.start(SERVICE + "Echo", b"x"), connection.start(SERVICE + "Refuse", b"")
        with pytest.raises(CallError, match=r"^not here$"):
            connection.finish(bad)
        assert connection.finish(good) == b"x"
        assert call(connection, "Echo", b"y") == b"y"


# Flow control.


@pytest.mark.parametrize("size", [16379, 16380, 65530, 65531, 70_000, 1_500_000])
def test_a_long_message_both_ways(size: int) -> None:
    message = _bytes(size)
    with talking({"Echo": _echo}) as connection:
        assert call(connection, "Echo", message) == message


@pytest.mark.parametrize(("window", "size"), [(1000, 70_000), (4096, 300_000), (30_000, 1_500_000)])
def test_a_long_request_through_a_small_window(window: int, size: int) -> None:
    message = _bytes(size)
    with talking({"Echo": _echo}, settings={SettingCodes.INITIAL_WINDOW_SIZE: window}) as connection:
        assert call(connection, "Echo", message) == message
        assert call(connection, "Echo", b"short") == b"short"


def test_long_requests_under_way_share_the_window() -> None:
    messages = [_bytes(100_000 + number) for number in range(5)]
    with talking({"Echo": _echo}, settings={SettingCodes.INITIAL_WINDOW_SIZE: 5000}) as connection:
        numbers = [connection.start(SERVICE + "Echo", message) for message in messages]
        assert [connection.finish(number) for number in reversed(numbers)] == messages[::-1]


def test_replies_longer_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WINDOW", 1 << 16)
    with talking({"Sized": _sized}) as connection:
        numbers = [connection.start(SERVICE + "Sized", b"%d" % size) for size in (300_000, 500_000, 70_000)]
        assert [connection.finish(number) for number in numbers] == [
            _bytes(300_000),
            _bytes(500_000),
            _bytes(70_000),
        ]


def test_a_reply_as_long_as_the_engine_s_messages_may_be() -> None:
    with talking({"Sized": _sized}) as connection:
        assert call(connection, "Sized", b"16777200") == _bytes(16_777_200)


def test_padding_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(engine: Engine, stream: int, request: bytes) -> None:
        engine.padding, engine.frame = 255, 1000
        engine.reply(stream, _bytes(300_000))

    monkeypatch.setattr(calls, "WINDOW", 1 << 16)
    with talking(acts={"Padded": padded}) as connection:
        for _ in range(3):
            assert call(connection, "Padded") == _bytes(300_000)


def _changes(settings: Told) -> Act:
    """Change settings in the middle of a request, and give room only then."""

    def change(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.update_settings(settings)
        # h2 looks at this only before it takes what has been read, the client's agreement with it.
        engine.h2.max_inbound_frame_size = settings.get(SettingCodes.MAX_FRAME_SIZE, 1 << 14)
        engine.h2.increment_flow_control_window(1 << 20)
        if SettingCodes.INITIAL_WINDOW_SIZE not in settings:
            engine.h2.increment_flow_control_window(1 << 20, stream)

    return lambda engine, stream, request: engine.starve(stream, change)


@pytest.mark.parametrize(
    "settings",
    [
        {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20},
        {SettingCodes.MAX_FRAME_SIZE: 1 << 20},
        {SettingCodes.MAX_FRAME_SIZE: 1 << 15, SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20},
        {SettingCodes.HEADER_TABLE_SIZE: 0},
        {SettingCodes.MAX_CONCURRENT_STREAMS: 1},
    ],
)
def test_settings_that_change_in_the_middle_of_a_request(settings: Told) -> None:
    size: list[int] = []

    def measure(engine: Engine, stream: int, request: bytes) -> None:
        size.append(len(request))
        engine.reply(stream, b"done")

    with talking({"Echo": _echo}, acts={"Long": measure}, early={"Long": _changes(settings)}) as connection:
        assert call(connection, "Long", _bytes(500_000)) == b"done"
        assert call(connection, "Echo", b"after") == b"after"
    assert size == [500_000]


def test_a_window_that_shrinks_below_what_is_under_way() -> None:
    def shrink(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
        # As long as the client's window is below nothing it has to wait.
        engine.after_ping(lambda: engine.h2.increment_flow_control_window(1 << 20, stream))
        engine.h2.increment_flow_control_window(1 << 20)

    def measure(engine: Engine, stream: int, request: bytes) -> None:
        engine.reply(stream, b"%d" % len(request))

    def early(engine: Engine, stream: int, request: bytes) -> None:
        engine.starve(stream, shrink)

    with talking(acts={"Long": measure}, early={"Long": early}) as connection:
        assert call(connection, "Long", _bytes(WINDOW + 100_000)) == b"165535"


def test_an_answer_to_ping() -> None:
    answered: list[int] = []

    def ask(engine: Engine, stream: int, request: bytes) -> None:
        def answer() -> None:
            answered.append(stream)
            engine.reply(stream, b"pong")

        engine.after_ping(answer)

    with talking(acts={"Ask": ask}) as connection:
        for _ in range(3):
            assert call(connection, "Ask") == b"pong"
    assert len(answered) == 3


# The status.


def test_an_error_has_code_and_text() -> None:
    def refuse(request: bytes) -> bytes:
        raise RefusalError(7, "no: 100% of “them”\n\tat /a%41")

    with talking({"Refuse": refuse}) as connection, pytest.raises(CallError) as caught:
        call(connection, "Refuse")
    assert (caught.value.code, caught.value.message) == (7, "no: 100% of “them”\n\tat /a%41")
    assert caught.value.details == []
    assert str(caught.value) == caught.value.message


@pytest.mark.parametrize("size", [0, 1, 2, 3, 20_000, 200_000])
def test_details_of_any_length(size: int) -> None:
    """Longer than a frame they come as CONTINUATIONs."""
    details = [{"type_url": "a/b", "value": _bytes(size) or b"x"}, {"type_url": "c", "value": b"y"}]

    def refuse(request: bytes) -> bytes:
        raise RefusalError(2, "the build failed", details)

    with talking({"Echo": _echo, "Refuse": refuse}) as connection:
        with pytest.raises(CallError) as caught:
            call(connection, "Refuse")
        assert call(connection, "Echo", b"z") == b"z"
    assert (caught.value.code, caught.value.message) == (2, "the build failed")
    assert caught.value.details == details


def test_details_between_other_calls() -> None:
    def refuse(request: bytes) -> bytes:
        raise RefusalError(2, "no", [{"type_url": "a", "value": _bytes(100_000)}])

    with talking({"Sized": _sized, "Refuse": refuse}) as connection:
        before = connection.start(SERVICE + "Sized", b"200000")
        bad = connection.start(SERVICE + "Refuse", b"")
        after = connection.start(SERVICE + "Sized", b"300000")
        with pytest.raises(CallError):
            connection.finish(bad)
        assert connection.finish(after) == _bytes(300_000)
        assert connection.finish(before) == _bytes(200_000)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("plain", "plain"),
        ("", ""),
        ("caf%C3%A9 100%25", "café 100%"),
        ("%e2%80%9c", "“"),
        # What is no code stands for itself.
        ("5%", "5%"),
        ("5% of", "5% of"),
        ("5%  of", "5%  of"),
        ("%zz%4", "%zz%4"),
        ("%%41", "%A"),
        ("%FF", "\ufffd"),
    ],
)
def test_percent_signs_in_the_message(sent: str, meant: str) -> None:
    def refuse(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, [*OK, ("grpc-status", "2"), ("grpc-message", sent)], end_stream=True)

    with talking(acts={"Refuse": refuse}) as connection, pytest.raises(CallError) as caught:
        call(connection, "Refuse")
    assert caught.value.message == meant


def test_an_error_after_a_part_of_the_reply() -> None:
    def fail(engine: Engine, stream: int, request: bytes) -> None:
        engine.send(stream, OK, framed(b"half")[:7], [("grpc-status", "13"), ("grpc-message", "it broke")])

    with talking(acts={"Fail": fail}) as connection, pytest.raises(CallError, match="it broke") as caught:
        call(connection, "Fail")
    assert caught.value.code == 13


def test_an_interim_response_is_not_the_reply() -> None:
    def interim(engine: Engine, stream: int, request: bytes) -> None:
        engine.h2.send_headers(stream, [(":status", "103")])
        engine.reply(stream, b"the reply")

    with talking(acts={"Interim": interim}) as connection:
        assert call(connection, "Interim") == b"the reply"
