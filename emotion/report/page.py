"""Renders a self-contained HTML page: no network, no script, no other files.

Pictures and clips are inside it, as data: URLs; its policy forbids all that is not.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from PIL import Image

from emotion import media

if TYPE_CHECKING:
    from emotion.clip import Clip

_SECONDS = 15.0  # of a clip that is played
_HEIGHT = 240  # pixels, likewise
_RATE = 22050  # Hz, likewise
_LARGE = 400_000  # bytes of a drawing, above which its PNG is taken
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Table:
    """Rows of a page; the first cell of a row names it.

    Attributes:
        caption: str.
        columns: tuple of str.
        rows: list of tuples of str.
        numeric: tuple of those of `columns` that hold numbers.
        highlighted: tuple of int, the rows that stand out.
    """

    caption: str
    columns: tuple
    rows: list
    numeric: tuple = ()
    highlighted: tuple = ()


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        source: str, a data: URL.
        caption: str, beneath it.
        alt: str, the alternative text.
        chart: bool, whether its colours may be turned for a dark page; a photograph's may not.
    """

    source: str
    caption: str
    alt: str
    chart: bool = True


@dataclass(frozen=True)
class Player:
    """A clip of a page.

    Attributes:
        id: str.
        said: str, beneath it.
        kind: str, "audio", "video" or "image".
        source: str, a data: URL, or None where its media is missing.
    """

    id: str
    said: str
    kind: str = "video"
    source: str | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page, all but its heading optional.

    Attributes:
        heading: str.
        text: sequence of str, paragraphs.
        facts: sequence of (name, value).
        tables, pictures, clips: sequences of Table, Picture and Player.
    """

    heading: str
    text: Sequence[str] = ()
    facts: Sequence[tuple] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    clips: Sequence[Player] = ()


def html(
    title: str,
    lead: str,
    sections: list[Section],
    numbers: Sequence[tuple] = (),
    warnings: Sequence[str] = (),
) -> str:
    """Returns the page, a str.

    Args:
        title, lead: str.
        sections: list of Section.
        numbers: sequence of (name, value, note), shown large.
        warnings: sequence of str, shown at the top.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title, lead=lead, sections=sections, numbers=numbers, warnings=warnings
    )


def picture(path: Path, caption: str, alt: str, chart: bool = True) -> tuple[Picture, ...]:
    """Returns a tuple with the Picture of a drawing, or an empty one where it was not drawn.

    Args:
        path: Path without a suffix.
        caption, alt, chart: as Picture.
    """
    files = [path.with_name(path.name + suffix) for suffix in _KINDS]
    files = [file for file in files if file.is_file()]
    if not files:
        return ()
    file = files[0] if files[0].stat().st_size < _LARGE else files[-1]
    return (Picture(_url(file.read_bytes(), _KINDS[file.suffix]), caption, alt, chart),)


def player(clip: Clip, modality: str, said: str) -> Player:
    """Returns the Player of the first 15 s of a clip, as far as a model of a modality has it.

    Args:
        clip: Clip.
        modality: str, one of preset.MODALITIES.
        said: str.

    Raises:
        FileNotFoundError, MediaError: its media cannot be read.
    """
    if media.is_still(clip):
        with io.BytesIO() as file:
            Image.fromarray(media.read_image(clip.video, clip.index)).save(file, "png")
            return Player(clip.id, said, "image", _url(file.getvalue(), "image/png"))
    sound = None
    if clip.audio and modality != "video":
        sound = media.read_samples(clip.audio, _RATE)[: round(_SECONDS * _RATE)]
    if clip.video is None or modality == "audio":
        if sound is None:
            return Player(clip.id, said)
        file = io.BytesIO()
        media.write_sound(file, sound, _RATE)
        return Player(clip.id, said, "audio", _url(file.getvalue(), "audio/mpeg"))
    info = media.probe(clip.video)
    height = min(_HEIGHT, info.height)
    size = height, max(1, round(height * info.width * info.aspect / info.height))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        sound_track = None if sound is None else (sound, _RATE)
        with media.VideoWriter(path, rate=info.rate, sound=sound_track) as writer:
            for time, frame in media.read_frames(clip.video, size=size):
                if time > _SECONDS:
                    break
                writer.write(frame, time)
        return Player(clip.id, said, "video", _url(path.read_bytes(), "video/mp4"))


def _url(data, kind):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
