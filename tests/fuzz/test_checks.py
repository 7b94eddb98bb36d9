"""What the fuzzers of ports look for in answers is found, and nothing else: or they would prove nothing."""

import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from tests.fuzz import grpc, http

OK, NO_METHOD, NO_GRPC = (":status", "200"), (":status", "405"), (":status", "415")
DATA, END = DataFrame(1, b"\0\0\0\0\0"), DataFrame(1, b"", flags=["END_STREAM"])


def said(*headers: tuple[str, str], flags: tuple[str, ...] = ("END_HEADERS", "END_STREAM")) -> Frame:
    return HeadersFrame(1, Encoder().encode(headers), flags=flags)


def status(value: object) -> tuple[str, str]:
    return "grpc-status", str(value)


def http2(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in (SettingsFrame(0), *frames))


BEGUN = said(OK, flags=("END_HEADERS",))
TEXT = b"HTTP/1.1 500 \r\n\r\nInternal Server Error"


@pytest.mark.parametrize(
    "answer",
    [
        TEXT,
        TEXT[:9],
        http2(said(OK, status(0))) + TEXT,
        http2(said((":status", "500"))),
        http2(said((":status", "503"), status(14))),
        http2(said((":status", "302"))),
        http2(said(status(0))),
        http2(said(OK)),
        http2(BEGUN, DATA, END),
        http2(BEGUN, DATA, said(("x", "y"))),
        http2(BEGUN, DATA, RstStreamFrame(1)),
        http2(END),
        *(http2(said(OK, status(value))) for value in (2, 13, 14, 15, 17, "", "x")),
        *(http2(BEGUN, DATA, said(status(value))) for value in (2, 13)),
        http2(said(NO_GRPC, status(2))),
        http2(RstStreamFrame(1, error_code=2)),
        http2(GoAwayFrame(0, error_code=2)),
    ],
)
def test_a_bad_answer_to_a_call_is_noticed(answer: bytes) -> None:
    with pytest.raises(AssertionError):
        grpc.check(b"", answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        http2(),
        http2(BEGUN, DATA, said(status(0))),
        http2(BEGUN, DATA, said(status(0)))[:-3],
        http2(BEGUN, DATA, RstStreamFrame(1, error_code=3)),
        http2(said(OK, status(5)), RstStreamFrame(1)),
        http2(said(NO_METHOD), RstStreamFrame(1)),
        http2(said(NO_GRPC, status(3)), GoAwayFrame(0, error_code=1)),
    ],
)
def test_a_good_answer_to_a_call_passes(answer: bytes) -> None:
    grpc.check(b"", answer)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET /", b"HTTP/1.1 500 \r\n\r\n"),
        (b"GET /", b"HTTP/1.1 503 \r\n\r\n"),
        (b"GET /", b"HTTP/1.1 200 \r\n\r\nHTTP/1.1 500 \r\n\r\n"),
        (b"GET /", b"HTTP/1.1 302 \r\n\r\n"),
        (b"GET /", b"HTTP/1.1 101 \r\n\r\n"),
        (b"GET /", b"HTTP/1.1 oops"),
        (b"GET /", b"oops"),
        (b"GET /", b"HTTP/1.1 400 \r\n\r\nTraceback (most recent call last):"),
        (http.PREFACE, b"HTTP/1.1 200 \r\n\r\n"),
        (http.PREFACE, http2()),
    ],
)
def test_a_bad_answer_to_a_request_is_noticed(sent: bytes, answer: bytes) -> None:
    with pytest.raises(AssertionError):
        http.check(sent, answer)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /", b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\n\r\n500HTTP/1.1 404 \r\n\r\n"),
        (http.PREFACE, b"HTTP/1.1 400 \r\n\r\n"),
    ],
)
def test_a_good_answer_to_a_request_passes(sent: bytes, answer: bytes) -> None:
    http.check(sent, answer)
