"""A file out of a multipart form, however the form is cut on its way."""

import email.policy
from email.mime.application import MIMEApplication

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.uploads.receive import FilePart
from workers.errors import InvalidRequest

BOUNDARY = b"frontier"


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers]
    return b"--" + BOUNDARY + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def received(content: bytes, cuts: list[int] | None = None) -> tuple[str | None, bytes]:
    reader, found = FilePart(BOUNDARY), b""
    for cut in [*(cuts or []), len(content)]:
        found += reader.feed(content[:cut])
        content = content[cut:]
    reader.close()
    return reader.name, found


@given(content=st.binary(max_size=200), cuts=st.lists(st.integers(1, 40), max_size=30))
def test_a_file_comes_whole_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    sent = form(part('form-data; name="file"; filename="m.onnx"', content, "Content-Type: application/octet-stream"))
    if BOUNDARY not in content:
        assert received(sent, cuts) == ("m.onnx", content)


def test_the_first_file_counts_and_fields_do_not() -> None:
    sent = form(
        part('form-data; name="note"', b"not a file"),
        part('form-data; name="a"; filename="first.onnx"', b"first"),
        part('form-data; name="b"; filename="second.onnx"', b"second"),
    )
    assert received(sent) == ("first.onnx", b"first")
    assert received(sent, [1] * (len(sent) - 1)) == ("first.onnx", b"first")


@pytest.mark.parametrize("name", ["größe.onnx", "日本.xml", "a b.bin", "a;b=c.onnx", "x" * 300])
def test_names_are_text(name: str) -> None:
    assert received(form(part(f'form-data; name="file"; filename="{name}"', b"x")))[0] == name


def test_a_file_may_hold_what_looks_like_the_end_of_a_line_or_nearly_the_boundary() -> None:
    content = b"\r\n--frontie\r\n\r\n--\r\n" * 3 + b"\r"
    assert received(form(part('form-data; name="f"; filename="a"', content)), [3] * 20) == ("a", content)


@pytest.mark.parametrize(
    "sent",
    [
        form(),
        form(part('form-data; name="note"', b"text")),
        form(part('form-data; name="file"; filename="m.onnx"', b"half"))[:-20],
        b"--" + BOUNDARY + b"\r\n",
        b"",
    ],
)
def test_a_form_without_a_whole_file_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"no file|cannot be read"):
        received(sent)


@pytest.mark.parametrize("sent", [b"no form at all", b"--other\r\n\r\n", b"--" + BOUNDARY + b"x"])
def test_what_is_no_form_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"The form"):
        received(sent)


def test_a_form_written_by_another_program_is_read() -> None:
    attached = MIMEApplication(bytes(range(256)), "octet-stream", lambda message: message, policy=email.policy.HTTP)
    attached.add_header("Content-Disposition", "form-data", name="file", filename="m.bin")
    head, _, _ = attached.as_bytes(policy=email.policy.HTTP).partition(b"\r\n\r\n")
    sent = b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + bytes(range(256)) + b"\r\n--" + BOUNDARY + b"--\r\n"
    assert received(sent) == ("m.bin", bytes(range(256)))
