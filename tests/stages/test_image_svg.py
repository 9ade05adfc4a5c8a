"""`image.decode`: vector pictures are drawn, load nothing, and run nothing."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFont

from mmdata.errors import RecipeError, RecordError
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_decode import Decode
from mmdata.values import Box, Image
from tests.stages.picture_files import BLUE, RED, RNG, decoded, saved, svg


def test_svg_is_drawn_at_the_size_asked_for() -> None:
    """The long side gets the size, boxes follow by the scale from the picture's own size."""
    data = svg('<rect x="4" y="2" width="6" height="4" fill="#f00"/>')
    picture = Decode(svg_size=100).apply(Image(data, (Box(4, 2, 10, 6, "red"),)), RNG)
    assert picture.pixels.shape == (50, 100, 3)
    rows, columns = np.nonzero(picture.pixels[..., 1] < 128)
    assert picture.boxes == (Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, "red"),)
    assert picture.pixels[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("attributes", "shape", "block"),
    [
        ('width="1in" height="48"', (50, 100), (0, 0, 4, 4)),
        ('viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="40" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('height="10" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="100%" height="100%" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="20" height="10" viewBox="-2 0 20 10"', (50, 100), (10, 0, 30, 20)),
        ('width="20" height="20" viewBox="0 0 20 10"', (100, 100), (0, 25, 20, 45)),
        ("", (50, 100), (0, 0, 1, 1)),
    ],
)
def test_svg_viewports(attributes: str, shape: tuple[int, int], block: tuple[int, int, int, int]) -> None:
    """Units, percentages, view boxes and missing sizes give the viewport that CSS gives."""
    pixels = decoded(svg('<rect width="4" height="4"/>', attributes), svg_size=100)
    assert pixels.shape[:2] == shape
    rows, columns = np.nonzero(pixels[..., 0] < 128)
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_allclose(found, block, atol=1)


def test_svg_with_odd_sides_is_filled_to_the_border() -> None:
    """Fractions of a pixel in the size leave no bare edge, and the scale is that of the rounded size."""
    data = svg('<rect width="20.4" height="10.6" fill="#00f"/>', 'width="20.4" height="10.6"')
    picture = Decode(svg_size=101).apply(Image(data), RNG)
    assert picture.pixels.shape == (52, 101, 3)
    assert (picture.pixels == BLUE).all()
    assert picture.lineage[0].map.to_json() == [101 / 20.4, 0, 0, 0, 52 / 10.6, 0]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A red picture on the disk that no vector picture may show."""
    Pillow.new("RGB", (10, 10), RED).save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


@pytest.mark.parametrize(
    "body",
    [
        '<image href="{path}" width="20" height="10"/>',
        '<image xlink:href="{path}" width="20" height="10"/>',
        '<image href=" {path} " width="20" height="10"/>',
        '<image href="file://{path}" width="20" height="10"/>',
        '<image href="secret.png" width="20" height="10"/>',
        '<image href="http://localhost/secret.png" width="20" height="10"/>',
        '<defs><image id="i" href="{path}" width="20" height="10"/></defs><use href="#i"/>',
        '<pattern id="p" width="1" height="1"><image href="{path}"/></pattern><rect width="20" height="10" fill="url(#p)"/>',
        '<filter id="f"><feImage href="{path}"/></filter><rect width="20" height="10" filter="url(#f)"/>',
        '<use href="{path}#a"/>',
        '<style>@import url("{path}"); rect {{ fill: url("{path}"); }}</style>',
    ],
)
def test_svg_loads_nothing_from_outside(body: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to a file or the network has no effect: nothing of it is drawn."""
    monkeypatch.chdir(outside.parent)
    pixels = decoded(svg(body.format(path=outside)))
    assert not ((pixels[..., 0] > 128) & (pixels[..., 1] < 128)).any()


def test_svg_entities_load_nothing(outside: Path) -> None:
    """Entities inside the file are resolved, and what they name is cut as well; external ones are refused."""
    inner = f'<!DOCTYPE svg [<!ENTITY p "{outside}">]>'.encode() + svg('<image href="&p;" width="20" height="10"/>')
    assert (decoded(inner) == 255).all()
    external = f'<!DOCTYPE svg [<!ENTITY p SYSTEM "file://{outside}">]>'.encode() + svg("<desc>&p;</desc>")
    with pytest.raises(RecordError, match="picture is damaged"):
        decoded(external)


def test_svg_scripts_have_no_effect() -> None:
    """A script, an event handler or foreign content changes no pixel."""
    plain = decoded(svg('<rect width="5" height="5"/>'))
    scripted = svg(
        "<script>document.documentElement.remove()</script>"
        '<rect width="5" height="5" onload="this.remove()"/>'
        '<foreignObject width="20" height="10"><p xmlns="http://www.w3.org/1999/xhtml">text</p></foreignObject>'
    )
    np.testing.assert_array_equal(decoded(scripted), plain)


def test_svg_draws_pictures_that_it_holds_itself() -> None:
    """An embedded picture is drawn; one with too many pixels, or of another kind, is an error."""
    inner = base64.b64encode(saved(Pillow.new("RGB", (10, 10), RED), "PNG")).decode()
    body = f'<image href="data:image/png;base64,{inner}" width="20" height="10" preserveAspectRatio="none"/>'
    assert decoded(svg(body), svg_size=20)[5, 10].tolist() == [255, 0, 0]
    with pytest.raises(RecordError, match="too many pixels"):
        decoded(svg(body), svg_size=4, max_pixels=99)
    for target in ("data:image/svg+xml;base64,AAAA", "data:image/png;base64,AAAA", "data:text/plain,x"):
        with pytest.raises(RecordError, match="vector picture embeds what cannot be drawn"):
            decoded(svg(f'<image href="{target}"/>'))


def test_svg_text_is_drawn_with_the_fonts_that_are_named(tmp_path: Path) -> None:
    """Text is drawn with the font file of the option, also where the picture asks for a font that is not there."""
    font = ImageFont.load_default(9)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, io.BytesIO)
    path = tmp_path / "font.ttf"
    path.write_bytes(font.path.getvalue())
    pixels = decoded(svg("<text y='9' font-size='9' font-family='Missing'>Hi</text>"), svg_fonts=(str(path),))
    assert (pixels < 100).any()


def test_svg_text_needs_a_font() -> None:
    """Text would vanish without a font and differ with the system's, so it is an error that says what to do."""
    with pytest.raises(RecordError, match="vector picture holds text") as caught:
        decoded(svg("<text y='8'>Hello</text>"))
    assert "svg_fonts" in caught.value.detail
    schema = Schema({"image": FieldType("image", encoded=True)})
    with pytest.raises(RecipeError, match="svg_fonts"):
        Decode(svg_fonts=("missing.ttf",)).infer(schema)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (svg("", 'width="0" height="10"'), "vector picture has no size"),
        (svg("", 'width="-5" height="10"'), "vector picture has no size"),
        (svg("<g></h>"), "picture is damaged"),
        (svg("<g>" * 3000 + "</g>" * 3000), "(nested too deeply|damaged)"),
        (b"<svg width='5' height='5'/>", "not a known picture format"),
        (b"<html><svg></svg></html>", "not a known picture format"),
    ],
)
def test_svg_that_cannot_be_drawn_is_an_error(data: bytes, reason: str) -> None:
    """Vector pictures without a size, with broken XML or without their namespace are refused."""
    with pytest.raises(RecordError, match=reason):
        decoded(data)


def test_svg_is_found_behind_declarations_and_in_utf_16() -> None:
    """An XML declaration, a byte order mark, comments and UTF-16 are all allowed before the svg element."""
    text = svg('<rect width="20" height="10" fill="#0f0"/>').decode()
    declared = f"<?xml version='1.0'?>\n<!-- drawn by hand -->\n{text}"
    for data in (declared.encode(), b"\xef\xbb\xbf" + declared.encode(), declared.encode("utf-16")):
        assert decoded(data)[0, 0].tolist() == [0, 255, 0]
    with pytest.raises(RecordError, match="too many pixels"):
        decoded(text.encode(), svg_size=100, max_pixels=10)
