"""Make an SVG file safe to stand inside an HTML page, next to others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# `style` holds rules that would reach the whole page; the others run code or describe the file
_DROPPED = {f"{{{_SVG}}}{tag}" for tag in ("script", "style", "metadata", "foreignObject")}
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


@dataclass(frozen=True)
class Inline:
    """Markup of an inline SVG and its natural size in CSS pixels."""

    markup: Markup
    width: float
    height: float


def inline(source: str, prefix: str, label: str) -> Inline:
    """Strip prolog, scripts, style sheets and outside references; put `prefix` before every id.

    matplotlib names its glyphs and clip paths alike in every file, so two figures on one page would mix them up.

    Raises
    ------
    ValueError
        The source is not an SVG with a view box.
    """
    try:
        root = ElementTree.fromstring(source)
        _, _, width, height = map(float, root.get("viewBox", "").replace(",", " ").split())
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"not an SVG with a view box ({error})") from None
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED:
                parent.remove(child)
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            plain = name.rpartition("}")[2]
            if plain.startswith("on") or (plain == "href" and not value.startswith(("#", "data:image/"))):
                del element.attrib[name]
            elif plain == "id":
                element.set(name, prefix + value)
            elif plain == "href" and value.startswith("#"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif "url(" in value:
                element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    # matplotlib says this in the style sheet that was dropped
    root.attrib.update({"stroke-linejoin": "round", "stroke-linecap": "butt", "role": "img", "aria-label": label})
    markup = Markup(ElementTree.tostring(root, encoding="unicode"))
    return Inline(markup, width * 4 / 3, height * 4 / 3)  # matplotlib's user unit is a point
