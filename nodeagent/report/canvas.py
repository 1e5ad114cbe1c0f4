"""A sheet of SVG: shapes and words, escaped, with the room that each word takes."""

from typing import NamedTuple

from nodeagent.model.text import printable

_MONO = 0.605  # ems of a letter, on the wide side of common system fonts
_NARROW = frozenset("fijlrtI.,:;'|!()[]/ -·")
_WIDEST = frozenset("MW@%mw…—")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def holds(self, other: "Box") -> bool:
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width
            and other.y + other.height <= self.y + self.height
        )


class Word(NamedTuple):
    """A text as it was placed."""

    text: str
    box: Box


def escape(text: str) -> str:
    """For content and attributes alike; printable first, so that all of it is legal XML."""
    return "".join(_ESCAPES.get(char, char) for char in text)


def width_of(text: str, size: float, *, mono: bool = False) -> float:
    return size * sum(_MONO if mono and char.isascii() else _em(char) for char in text)


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.42
    if char in _WIDEST or not char.isascii():
        return 1.0
    return 0.72 if char.isupper() else 0.64


def fit(text: str, size: float, width: float, *, mono: bool = False) -> str:
    """A stranger's text, cut to the room there is."""
    text = printable(text, 400)
    if width_of(text, size, mono=mono) <= width:
        return text
    while text and width_of(f"{text}…", size, mono=mono) > width:
        text = text[:-1]
    return f"{text}…"


class Sheet:
    """Collects marks from back to front."""

    def __init__(self) -> None:
        self._marks: list[str] = []
        self.words: list[Word] = []

    def add(self, mark: str) -> None:
        """A mark of ours, without any text of a stranger's."""
        self._marks.append(mark)

    def rect(self, box: Box, style: str, *, radius: float = 0) -> None:
        corners = f' rx="{radius:g}"' if radius else ""
        self.add(
            f'<rect class="{style}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" '
            f'height="{box.height:g}"{corners}/>'
        )

    def word(  # noqa: PLR0913 - as many as SVG's own
        self,
        x: float,
        y: float,
        text: str,
        style: str,
        size: float,
        *,
        anchor: str = "start",
        room: float | None = None,
    ) -> float:
        """Text with its baseline at `y`; returns where it ends. It is cut at `room`."""
        mono = "m" in style.split()
        text = fit(text, size, room, mono=mono) if room is not None else printable(text, 400)
        width = width_of(text, size, mono=mono)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        self.words.append(Word(text, Box(left, y - 0.8 * size, width, size)))
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(
            f'<text class="{style}" x="{x:g}" y="{y:g}" font-size="{size:g}"{at}>'
            f"{escape(text)}</text>"
        )
        return left + width

    def open(self, title: str) -> None:
        """A group with a tooltip; `close` ends it."""
        self.add(f"<g><title>{escape(printable(title, 400))}</title>")

    def close(self) -> None:
        self.add("</g>")

    def render(self, width: float, height: float, *, title: str, about: str, style: str) -> str:
        size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                f"<title>{escape(printable(title, 400))}</title>",
                f"<desc>{escape(printable(about, 2000))}</desc>",
                f"<style>{style}</style>",
                *self._marks,
                "</svg>",
            ]
        )
