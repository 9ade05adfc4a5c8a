"""Vector pictures (SVG) to RGBA pixels, for `image.decode`, with resvg.

resvg loads pictures that a file names from the disk, and fonts from the system. Both would let bytes from outside the corpus
into the dataset, so the file is parsed and cleaned first: no reference leaves it, and only fonts that are named are used.
"""

from __future__ import annotations

import base64
import io
import math
import re
from xml.etree import ElementTree as ET

import resvg_py
from PIL import Image as Pillow
from PIL import ImageFont

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Affine
from mmdata.stages.image_svg_work import check_work

_SVG = "{http://www.w3.org/2000/svg}"
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_CUT_OFF = (3, 5)  # expat: no element found, unclosed token
_PIXELS = {"": 1.0, "px": 1.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "pt": 96 / 72, "pc": 16.0, "em": 16.0, "ex": 8.0}
_LENGTH = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(%|[a-z]*)\s*")
_EMBEDDED = re.compile(r"\s*data:image/(png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_RASTER = ("PNG", "JPEG", "GIF", "WEBP")
_LARGEST = 1 << 25
_DEFAULT_SIZE = (300.0, 150.0)  # CSS: of a replaced element that says nothing


def looks_like_svg(data: bytes) -> bool:
    """Whether the bytes begin as an SVG file does: XML with an svg element near its start (UTF-8, or UTF-16 with a mark)."""
    start = data[:4096].decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return start.lstrip("\ufeff \t\r\n").startswith("<") and re.search(r"<(\w+:)?svg[\s>]", start) is not None


def check_fonts(fonts: tuple[str, ...]) -> None:
    """Raise RecipeError for a path that is no readable font file."""
    for path in fonts:
        try:
            ImageFont.truetype(path)
        except OSError as error:
            raise RecipeError(f"svg_fonts: {path!r} is not a font file that can be read ({error})") from error


def draw(data: bytes, long_side: int, fonts: tuple[str, ...], max_pixels: int) -> tuple[Pillow.Image, Affine]:
    """Return the picture drawn with its long side at `long_side` pixels, as RGBA, and the map from its own pixels to these.

    Nothing outside the file is read but `fonts` (paths). Raises RecordError where the file cannot be drawn as it is meant.
    """
    root = _parsed(data)
    _cut_references(root, max_pixels)
    check_work(root)
    if not fonts and any("".join(text.itertext()).strip() for text in root.iter(f"{_SVG}text")):
        raise RecordError("vector picture holds text", "text is drawn only with fonts that the option svg_fonts names")
    width, height = _viewport(root)
    scale = long_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size[0] * size[1] > max_pixels:
        raise RecordError("picture has too many pixels", f"{size[0]} x {size[1]} is more than max_pixels = {max_pixels}")
    return _rendered(_framed(root, (width, height), size), fonts), Affine.scale(size[0] / width, size[1] / height)


def _parsed(data: bytes) -> ET.Element:
    """Parse the file. Expat loads no external entity, and stops at entities that blow up."""
    if len(data) > _LARGEST:
        raise RecordError("vector picture is too large", f"{len(data)} bytes, at most {_LARGEST} are read")
    try:
        root = ET.fromstring(data)  # noqa: S314 - see the docstring
    except ET.ParseError as error:
        reason = "picture is truncated" if error.code in _CUT_OFF else "picture is damaged"
        raise RecordError(reason, f"SVG: {error}") from error
    except (LookupError, ValueError) as error:  # an encoding that is not known, or not taken
        raise RecordError("picture is damaged", f"SVG: {error}") from error
    if root.tag != f"{_SVG}svg":
        raise RecordError("not a known picture format", f"XML with the root element {root.tag}")
    return root


def _cut_references(root: ET.Element, max_pixels: int) -> None:
    """Take every reference away that leaves the file; pictures inside the file stay, if they are small enough."""
    for element in root.iter():
        for name in _HREFS:
            target = element.get(name, "#").strip()
            if target.startswith("data:"):
                _check_embedded(target, max_pixels)
            elif not target.startswith("#"):
                del element.attrib[name]


def _check_embedded(target: str, max_pixels: int) -> None:
    found = _EMBEDDED.match(target)
    if found is None:
        raise RecordError("vector picture embeds what cannot be drawn", target[:40])
    try:
        with Pillow.open(io.BytesIO(base64.b64decode(target[found.end() :])), formats=_RASTER) as picture:
            width, height = picture.size
    except Pillow.DecompressionBombError as error:
        raise RecordError("picture has too many pixels", f"it embeds one: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise RecordError("vector picture embeds what cannot be drawn", target[:40]) from error
    if width * height > max_pixels:
        raise RecordError("picture has too many pixels", f"it embeds one of {width} x {height}")


def _viewport(root: ET.Element) -> tuple[float, float]:
    """Return the picture's own width and height in CSS pixels (96 an inch), as CSS 2.2, section 10, finds them."""
    box = _view_box(root)
    base = box or _DEFAULT_SIZE
    width, height = _length(root.get("width"), base[0]), _length(root.get("height"), base[1])
    if width is None and height is None:
        width, height = base
    elif width is None:
        width = (height or 0.0) * box[0] / box[1] if box else base[0]
    elif height is None:
        height = width * box[1] / box[0] if box else base[1]
    if not (width and height and 0 < width < math.inf and 0 < height < math.inf):
        raise RecordError("vector picture has no size", f"width {root.get('width')}, height {root.get('height')}")
    return width, height


def _view_box(root: ET.Element) -> tuple[float, float] | None:
    try:
        _, _, width, height = (float(number) for number in root.get("viewBox", "").replace(",", " ").split())
    except ValueError:
        return None
    return (width, height) if 0 < width < math.inf and 0 < height < math.inf else None


def _length(text: str | None, whole: float) -> float | None:
    """Return a length in CSS pixels; None where there is none."""
    found = _LENGTH.fullmatch(text or "")
    if found is None:
        return None
    if found[2] == "%":
        return float(found[1]) / 100 * whole
    return float(found[1]) * _PIXELS[found[2]] if found[2] in _PIXELS else None


def _framed(root: ET.Element, own: tuple[float, float], size: tuple[int, int]) -> str:
    """Return SVG text of exactly `size` pixels that holds the picture: resvg's own scaling rounds, which would move boxes."""
    root.set("width", repr(own[0]))
    root.set("height", repr(own[1]))
    for name in ("x", "y"):
        root.attrib.pop(name, None)
    frame = ET.Element(
        f"{_SVG}svg",
        {"width": str(size[0]), "height": str(size[1]), "viewBox": f"0 0 {own[0]!r} {own[1]!r}", "preserveAspectRatio": "none"},
    )
    frame.append(root)
    try:
        return ET.tostring(frame, encoding="unicode")
    except RecursionError as error:
        raise RecordError("vector picture is nested too deeply") from error


def _rendered(text: str, fonts: tuple[str, ...]) -> Pillow.Image:
    family = ImageFont.truetype(fonts[0]).getname()[0] if fonts else None
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=text,
            skip_system_fonts=True,
            dpi=96.0,
            font_files=list(fonts),
            font_family=family,
            serif_family=family,
            sans_serif_family=family,
        )
    except ValueError as error:
        raise RecordError("picture is damaged", f"SVG: {error}") from error
    return Pillow.open(io.BytesIO(png), formats=["PNG"])
