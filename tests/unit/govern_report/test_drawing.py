"""PNG and SVG written by hand: read back, well-formed, within their frame."""

import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.govern.plot import HEIGHT, WIDTH, Chart, Series, Span, ticks
from hauberk.govern.png import data_uri, png

SVG = "{http://www.w3.org/2000/svg}"


def read(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG, each checksum verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + body
        )
        chunks[kind] = body
        at += 12 + size
    return chunks


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (3, 2)])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (28, 28)])
def test_a_png_reads_back(channels: int, colour: int, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
    chunks = read(png(pixels))
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    height, width = size
    expected = (width, height, 8, colour, 0, 0, 0)
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == expected
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    assert np.array_equal(rows[:, 1:].reshape(pixels.shape), pixels)
    assert png(pixels) == png(pixels.copy())
    assert data_uri(pixels).startswith("data:image/png;base64,iVBORw0KGgo")


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 1)),
        np.zeros((0, 2, 1), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|empty"):
        png(pixels)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
@settings(deadline=None, max_examples=100)
def test_ticks_are_even_inside_and_not_too_many(low: float, span: float, about: int) -> None:
    high = low + span
    if high - low < 1e-9 * max(1.0, abs(low)):
        return
    found = ticks(low, high, about)
    slack = 1e-6 * span + 1e-9 * abs(low)
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert len(found) <= about + 2
    steps = [b - a for a, b in pairwise(found)]
    assert all(abs(step - steps[0]) < 1e-6 * span + 1e-9 * abs(low) for step in steps)


def test_ticks_are_round() -> None:
    assert ticks(0, 0.225) == [0, 0.05, 0.1, 0.15, 0.2]
    assert ticks(0, 1000, 5) == [0, 200, 400, 600, 800, 1000]


def chart(points: list[tuple[float, float]], text: str = "x") -> Chart:
    return Chart(
        title=text,
        about=text,
        x_label=text,
        y_label=text,
        series=[
            Series(name=text, points=points, band=[(y, y) for _, y in points]),
            Series(name="other", points=points),
        ],
        spans=[Span(name=text, start=0, end=5), Span(name="b", start=5, end=6)],
        marks=[(1.0, text), (1.1, text), (99.0, text)],
    )


@given(
    points=st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 1)), min_size=1, max_size=6),
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
)
@settings(deadline=None, max_examples=60)
def test_a_chart_is_well_formed_and_within_its_frame(
    points: list[tuple[float, float]], text: str
) -> None:
    text = "".join(c for c in text if c not in "\ufffe\uffff")
    root = ET.fromstring(chart(points, text).svg("c"))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    assert len(root.findall(f"{SVG}polyline")) == 2
    for line in (*root.findall(f"{SVG}polyline"), *root.findall(f"{SVG}polygon")):
        for pair in line.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_series_differ_in_more_than_colour() -> None:
    text = chart([(0, 0.5), (1, 0.6)]).svg("c")
    assert '<circle class="dot s0"' in text
    assert '<rect class="dot s1"' in text


def test_ids_are_unique_to_the_chart() -> None:
    text = chart([(0, 0.5)]).svg("mine")
    assert 'aria-labelledby="mine-t mine-d"' in text
    assert 'id="mine-t"' in text
    assert 'id="mine-d"' in text


def test_heads_of_close_marks_do_not_overlap() -> None:
    root = ET.fromstring(chart([(0, 0.5), (100, 0.5)]).svg("c"))
    heads = [float(e.get("cx", "0")) for e in root.findall(f"{SVG}circle[@class='head']")]
    assert len(heads) == 3
    assert all(b - a >= 16 for a, b in pairwise(heads))
    marks = [(99.0, "a"), (99.5, "b"), (100.0, "c")]
    crowded = replace(chart([(0, 0.5), (100, 0.5)]), marks=marks)
    root = ET.fromstring(crowded.svg("c"))
    heads = [float(e.get("cx", "0")) for e in root.findall(f"{SVG}circle[@class='head']")]
    assert all(b - a >= 16 for a, b in pairwise(heads))
    assert max(heads) <= WIDTH - 8


def of(series: list[Series], *, shares: bool = False) -> str:
    made = Chart(title="t", about="", x_label="", y_label="", series=series, shares=shares)
    return made.svg("a")


def test_many_long_names_take_further_rows_within_the_frame() -> None:
    names = [f"early-stop,adversarial,cutmix,{n}" for n in range(6)]
    series = [Series(name=name, points=[(0.9 + n / 100, 0.5)]) for n, name in enumerate(names)]
    root = ET.fromstring(of(series, shares=True))
    _, above, wide, high = map(float, root.attrib["viewBox"].split())
    assert above < 0
    assert high == HEIGHT - above
    texts = {one.text: one.attrib for one in root.iter() if one.tag.endswith("text")}
    places = {(float(texts[name]["x"]), float(texts[name]["y"])) for name in names}
    assert len(places) == len(names)
    assert all(above < y and x + 7 * len(names[0]) < wide for x, y in places)
    assert "92%" in texts


def test_the_fifth_series_has_another_marker_than_the_first() -> None:
    series = [Series(name=str(n), points=[(n, 0.5)]) for n in range(5)]
    text = of(series)
    assert text.count('<circle class="dot s0"') == text.count('<rect class="dot s0"') == 2
