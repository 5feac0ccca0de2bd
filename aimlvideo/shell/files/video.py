"""Frames of clips, and clips joined to a film. The one place that knows PyAV (the extra `video`).

A film is copied packet by packet where all clips have the same streams and are cut; it is encoded where they differ,
where they fade into each other, or where a clip begins with the very frame that the one before it ended with.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aimlvideo.errors import DiskFailed, SettingsError, UsageError
from aimlvideo.shell.descriptors import NO_ROOM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Samples = NDArray[np.float32]

AUDIO_RATE = 48_000
QUALITY = "17"
"""Of an encoded film, as x264 counts (crf): 17 looks like its source."""
JPEG_QUALITY = 5
"""As FFmpeg counts: 2 is best, 31 worst."""
SAME_FRAME = 3.0
"""Mean difference of two small grey pictures, of 255, up to which they count as the same frame."""

JOINED = "joined by aimlvideo"
"""The comment in a film's file: only what has it is replaced by the next film."""
MAX_PIXELS = 8192 * 8192
"""Pixels of a frame that is decoded: a damaged or ill-meant clip may name any number, and each takes memory."""

log = logging.getLogger("aimlvideo")

When = Literal["first", "last"] | float


def needs_video(what: str) -> None:
    """Raise SettingsError where the extra that this needs is not installed."""
    try:
        for library in ("numpy", "av"):
            import_module(library)
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" (what is installed cannot be loaded: {error})"
        raise SettingsError(f"{what} needs the extra `video`: pip install 'aimlvideo[video]'{reason}") from error


def frame_png(clip: Path, when: When) -> bytes:
    """Return one frame of a clip as PNG: its first, its last, or the one shown at so many seconds.

    Raises SettingsError without the extra `video`, UsageError where the clip has no such frame.
    """
    needs_video("a frame of a clip")
    import av  # noqa: PLC0415 - an extra

    with _opened(clip) as film:
        frame = _upright(_frame(film, when))
    if frame is None:
        raise UsageError(f"{clip} has no frame at {when}: it is shorter than that")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base = Fraction(1)
    still = frame.reformat(format="rgb24")
    still.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(still), *encoder.encode(None)])


def frame_jpeg(clip: Path, side: int) -> bytes:
    """Return a clip's first frame as JPEG, at most `side` pixels wide and high; empty where none can be made of it."""
    try:
        import av  # noqa: PLC0415 - an extra
    except ImportError as error:
        # There, and cannot be loaded: half of an update, little memory.
        log.info("no pictures of clips: %s", error)
        return b""
    try:
        with _opened(clip) as film:
            stream = film.streams.video[0]
            # One frame is wanted: starting a thread for each core takes longer than decoding it.
            stream.thread_type = "NONE"
            return _jpeg(_upright(next(film.decode(stream))), side)
    except (av.FFmpegError, OSError, StopIteration, ValueError, UsageError):
        return b""


def _file_url(path: Path) -> str:
    """Return a file's name for the library, which takes the text before a colon for a protocol: `12:30/a.mp4`."""
    return f"file:{path}"


@contextmanager
def _opened(clip: Path) -> Iterator[Any]:
    """Give a clip to read. Raises UsageError: no file, no pictures, or frames larger than any that a service makes."""
    import av  # noqa: PLC0415 - an extra

    if not clip.is_file():  # a pipe would be waited for
        raise UsageError(f"{clip}: expected a clip, got no file")
    try:
        with av.open(_file_url(clip)) as film:
            if not film.streams.video or any(stream.codec_context is None for stream in film.streams.video):
                raise UsageError(f"{clip}: expected a clip, got a file without pictures that can be decoded")
            for stream in film.streams.video:
                width, height = stream.width or 0, stream.height or 0
                if width * height > MAX_PIXELS:
                    size = f"{width} x {height}"
                    raise UsageError(f"{clip}: expected frames of at most {MAX_PIXELS:,} pixels, got {size}")
                # A stream may change its size on the way.
                stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield film
    except av.FFmpegError as error:
        if error.errno in NO_ROOM:  # of the film that it is copied into
            raise
        reason = error.strerror or error
        raise UsageError(f"{clip}: expected a clip with frames, got one that cannot be read: {reason}") from error


def _jpeg(frame: Any, side: int) -> bytes:
    import av  # noqa: PLC0415 - an extra

    scale = min(1.0, side / max(frame.width, frame.height))
    # Even sides: half of the pixels carry the colour, and encoders refuse a half pixel of it.
    width, height = (max(2, round(length * scale) // 2 * 2) for length in (frame.width, frame.height))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.qmin = encoder.qmax = JPEG_QUALITY
    small = frame.reformat(width, height, "yuvj420p")
    small.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


def _frame(film: Any, when: When) -> Any:
    stream = film.streams.video[0]
    if when == "first":
        return next(iter(film.decode(stream)), None)
    if when != "last":
        _seek(film, stream, float(when))
        if (frame := _shown_at(film, stream, float(when))) is None:  # of some containers a jump lands behind the place
            film.seek(0)
            frame = _shown_at(film, stream, float(when))
        return frame
    # The last second is decoded, from the key frame before it; where that finds nothing, the whole clip.
    if stream.duration:
        _seek(film, stream, max(0.0, float(stream.duration * _time_base(stream)) - 1))
    last = deque(film.decode(stream), maxlen=1)
    if not last:
        film.seek(0)
        last = deque(film.decode(stream), maxlen=1)
    return last[0] if last else None


def _upright(frame: Any) -> Any:
    """Return a frame as players show it: a phone held upright films on its side, and notes by how much to turn it."""
    turns = 0 if frame is None else round(frame.rotation / 90) % 4
    if not turns:
        return frame
    import av.filter  # noqa: PLC0415 - an extra

    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    quarters = [graph.add("transpose", "cclock") for _ in range(turns)]
    graph.link_nodes(source, *quarters, graph.add("buffersink")).configure()
    graph.push(frame)
    return graph.pull()


def _shown_at(film: Any, stream: Any, seconds: float) -> Any:
    start = _start(stream)
    shown = (frame for frame in film.decode(stream) if frame.time is not None)
    return next((frame for frame in shown if frame.time - start + _step(stream) > seconds + 1e-6), None)


def _seek(film: Any, stream: Any, seconds: float) -> None:
    film.seek(int((seconds + _start(stream)) / _time_base(stream)), stream=stream)


def _start(stream: Any) -> float:
    return float((stream.start_time or 0) * _time_base(stream))


def _step(stream: Any) -> float:
    return float(1 / _rate(stream))


# PyAV 19 has a rational number of its own, which lacks half of what a Fraction can do.
def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or 24)


def _time_base(stream: Any) -> Fraction:
    return Fraction(stream.time_base or Fraction(1, 90_000))


class _Film(NamedTuple):
    """What became of a joining: the file, its seconds, and whether its frames are those of the clips, untouched."""

    path: Path
    seconds: float
    copied: bool


def join_clips(clips: Sequence[Path], target: Path, *, fade: float = 0.0) -> _Film:
    """Join clips to one MP4, in this order; `fade` seconds of each seam cross-fade, with 0 they are cut.

    Sound is kept. The frame that a clip repeats from the end of the one before it is dropped. Other sizes than the
    first clip's are fitted into it. Raises SettingsError without the extra `video`, UsageError for a clip that cannot
    be read, or where the target is a file that is no earlier film, DiskFailed.
    """
    needs_video("joining clips")
    import av  # noqa: PLC0415 - an extra

    if not clips:
        raise UsageError("expected clips to join, got none")
    _check_target(target)
    # With `.mp4` at its end: the library chooses the container by the name.
    part = target.with_name(target.name + ".part.mp4")
    try:
        shapes = [_shape(clip) for clip in clips]
        fade = min(fade, max(shape.seconds for shape in shapes))  # a longer one, or an endless one, is no other
        # Clips that were made from another one's last frame begin with it: shown twice, it is a visible stop at the
        # seam.
        repeats = [False, *(_same(first, second) for first, second in pairwise(clips))]
        alike = not fade and not any(repeats) and len({shape.key for shape in shapes}) == 1
        seconds = _copy(clips, part) if alike else None
        if not (copied := seconds is not None):
            seconds = _encode(clips, shapes, repeats, fade, part)
        part.replace(target)
    except av.FFmpegError as error:
        if error.errno in NO_ROOM:
            raise DiskFailed(f"{target} cannot be written: {error.strerror}. Make space, then run again") from error
        raise UsageError(f"the clips cannot be joined: {error}") from error
    except OSError as error:
        raise DiskFailed(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return _Film(target, seconds, copied)


def _check_target(target: Path) -> None:
    """Raise UsageError where a film cannot be written, or would replace what is no film: a clip that was paid, say."""
    if target.is_dir():
        raise UsageError(f"{target} is a folder: expected the film's file")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}: expected one for the film {target.name}")
    is_there = target.exists() or target.is_symlink()  # also one that leads nowhere
    if is_there and not (target.is_file() and _is_film(target)):  # a pipe would be waited for
        raise UsageError(
            f"{target} already exists and is no film that was joined here, so nothing was written: choose another name"
        )


def _is_film(path: Path) -> bool:
    import av  # noqa: PLC0415 - an extra

    try:
        with av.open(_file_url(path)) as film:
            return film.metadata.get("comment") == JOINED
    except (av.FFmpegError, OSError):
        return False


def _new_film(target: Path) -> AbstractContextManager[Any]:
    """Give a film to write."""
    import av  # noqa: PLC0415 - an extra

    film = av.open(_file_url(target), "w", format="mp4", options={"movflags": "faststart"})
    film.metadata["comment"] = JOINED
    return film


class _Shape(NamedTuple):
    """What two clips must share to be copied behind each other."""

    width: int
    height: int
    rate: Fraction
    seconds: float
    sound: bool
    key: tuple[object, ...]


def _shape(clip: Path) -> _Shape:
    with _opened(clip) as film:
        video, audio = film.streams.video[0], next(iter(_audio(film)), None)
        frame = _frame(film, "first")
        shown = _upright(frame) or video
        key: tuple[object, ...] = (*_codec(video), video.width, video.height, video.pix_fmt, video.time_base)
        key += (getattr(frame, "rotation", 0),)
        if audio is not None:
            key += (*_codec(audio), audio.rate, audio.layout.name, audio.time_base)
        seconds = float((film.duration or 0) / 1_000_000)
        return _Shape(shown.width, shown.height, _rate(video), seconds, audio is not None, key)


def _audio(film: Any) -> list[Any]:
    """Return the first sound that can be decoded, if there is one."""
    return [stream for stream in film.streams.audio if stream.codec_context is not None][:1]


def _codec(stream: Any) -> tuple[str, bytes]:
    """Return what decodes a stream, and its settings: a file has them once, and other packets would not decode."""
    return stream.codec_context.name, bytes(stream.codec_context.extradata or b"")


def _same(first: Path, second: Path) -> bool:
    """Tell whether a clip begins with the frame that the one before it ends with."""
    import numpy as np  # noqa: PLC0415 - an extra

    small = []
    for clip, when in ((first, "last"), (second, "first")):
        with _opened(clip) as film:
            frame = _upright(_frame(film, when))  # type: ignore[arg-type]
        if frame is None:
            return False
        # Small and grey: two encodings of one frame differ in detail, and in colour by their rounding.
        small.append(frame.reformat(64, 36, "gray").to_ndarray().astype(np.int16))
    return float(np.abs(small[0] - small[1]).mean()) <= SAME_FRAME


def _copy(clips: Sequence[Path], target: Path) -> float | None:
    """Copy the packets of all clips into one file; return its seconds, None where MP4 does not take them as such."""
    shift = Fraction(0)
    with _new_film(target) as film:
        streams: dict[str, Any] = {}
        newest: dict[str, int] = {}
        for clip in clips:
            with _opened(clip) as source:
                kinds = [*source.streams.video[:1], *_audio(source)]
                begin = (kinds[0].start_time or 0) * _time_base(kinds[0])
                end = shift
                for stream in kinds:
                    if stream.type not in streams:
                        try:
                            # Opaque: otherwise an encoder of the decoder's name is looked for, and AV1 has none.
                            streams[stream.type] = film.add_stream_from_template(stream, opaque=True)
                        except ValueError:
                            return None
                for packet in source.demux(kinds):
                    if packet.dts is None or packet.pts is None:
                        if packet.size:  # Matroska has no decoding times: MP4 would lack its first pictures
                            return None
                        continue
                    base = _time_base(packet.stream)
                    # In the stream's own units: seconds as floats would drift apart over a hundred clips.
                    moved = round((shift - begin) / base)
                    packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                    if packet.dts <= newest.get(packet.stream.type, packet.dts - 1):
                        # Sound that is a little longer than its pictures reaches into the next clip.
                        continue
                    newest[packet.stream.type] = packet.dts
                    if packet.stream.type == "video":
                        # The pictures decide how long a clip is: sound that ends later would open a gap at each seam.
                        end = max(end, Fraction(packet.pts + (packet.duration or 0)) * base)
                    packet.stream = streams[packet.stream.type]
                    film.mux(packet)
                shift = end
    return float(shift)


def _encode(
    clips: Sequence[Path], shapes: Sequence[_Shape], repeats: Sequence[bool], fade: float, target: Path
) -> float:
    """Encode all clips into one file of the first one's size; return its seconds."""
    import av  # noqa: PLC0415 - an extra

    first = shapes[0]
    # 1001, for 30000/1001 and its kin; a clip's measured rate has more digits than any encoder takes.
    rate = max(shape.rate for shape in shapes).limit_denominator(1001)
    size = (first.width // 2 * 2, first.height // 2 * 2)
    overlap = round(fade * rate)
    count = 0
    lengths: list[int] = []
    seams: list[int] = []
    with _new_film(target) as film:
        video = film.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "fast"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = film.add_stream("aac", rate=AUDIO_RATE, layout="stereo") if any(s.sound for s in shapes) else None
        parts = [_pictures(clip, size, rate, skip=repeat) for clip, repeat in zip(clips, repeats, strict=True)]
        for pixels in _faded(parts, overlap, lengths, seams):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base, count = count, 1 / rate, count + 1
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        if audio is not None:
            samples = _mixed(clips, shapes, lengths, seams, rate)
            for sound in _sound_frames(samples):
                film.mux(audio.encode(sound))
            film.mux(audio.encode(None))
    return float(count / rate)


def _pictures(clip: Path, size: tuple[int, int], rate: Fraction, *, skip: bool) -> Iterator[Pixels]:
    """Give a clip's frames at a constant rate, fitted into a size; `skip` leaves out its first one."""

    with _opened(clip) as film:
        stream = film.streams.video[0]
        start, index, held = None, 0, None
        for frame in film.decode(stream):
            moment = frame.time or 0.0
            if start is None:
                start = moment
                if skip:
                    skip = False
                    start += _step(stream)
                    continue
            # A frame is shown until the next one begins: of clips with a variable rate each is repeated for as long as
            # it lasts.
            while held is not None and index / rate < moment - start - 1e-6:
                yield held
                index += 1
            held = _fitted(frame, size)
        if held is not None:
            yield held


def _fitted(frame: Any, size: tuple[int, int]) -> Pixels:
    """Return a frame's pixels in a size: scaled as a whole, with black bars where its shape is another."""
    import numpy as np  # noqa: PLC0415 - an extra

    frame, (width, height) = _upright(frame), size
    scale = min(width / frame.width, height / frame.height)
    inner = (max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))
    pixels: Pixels = frame.reformat(*inner, format="rgb24").to_ndarray()
    if inner == size:
        return pixels
    whole = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = pixels
    return whole


def _faded(parts: Sequence[Iterator[Pixels]], overlap: int, lengths: list[int], seams: list[int]) -> Iterator[Pixels]:
    """Give the frames of all parts; the last `overlap` of each are mixed with the first ones of the next.

    `lengths` gets how many frames each part had, `seams` how many of the one before it fade while it begins.
    """
    import numpy as np  # noqa: PLC0415 - an extra

    tail: deque[Pixels] = deque()
    for number, part in enumerate(parts):
        lengths.append(0)
        # Only the overlap is kept in memory, never a clip: an hour of film has the memory of a second.
        ending = list(tail)
        tail.clear()
        seams.append(len(ending))
        for index, old in enumerate(ending):
            new = next(part, None)
            if new is None:
                yield from islice(ending, index, None)
                break
            lengths[-1] += 1
            share = (index + 1) / (len(ending) + 1)
            yield (old * (1 - share) + new * share).astype(np.uint8)
        last = number == len(parts) - 1
        for pixels in part:
            lengths[-1] += 1
            tail.append(pixels)
            if last or len(tail) > overlap:
                yield tail.popleft()
    yield from tail


def _mixed(
    clips: Sequence[Path], shapes: Sequence[_Shape], lengths: Sequence[int], seams: Sequence[int], rate: Fraction
) -> Samples:
    """Return the sound of all clips behind each other, each as long as its pictures, mixed where they fade."""
    import numpy as np  # noqa: PLC0415 - an extra

    film = np.zeros((2, 0), np.float32)
    for clip, shape, frames, seam in zip(clips, shapes, lengths, seams, strict=True):
        length, fading = (round(count * AUDIO_RATE / rate) for count in (frames, seam))
        sound = _sound(clip, length) if shape.sound else np.zeros((2, length), np.float32)
        fading = min(fading, film.shape[1])
        mix = min(fading, length)  # of a clip that is shorter than the fade: the one before it goes on behind it
        if mix:
            ramp = np.linspace(0, 1, fading, dtype=np.float32)[:mix]
            seam_sound = film[:, film.shape[1] - fading :][:, :mix]
            seam_sound[:] = seam_sound * (1 - ramp) + sound[:, :mix] * ramp
        film = np.concatenate([film, sound[:, mix:]], axis=1)
    return film


def _sound(clip: Path, length: int) -> Samples:
    """Return so many samples of a clip's sound, silence where it is shorter."""
    import av  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    samples = np.zeros((2, length), np.float32)
    place = 0
    with _opened(clip) as film:
        resampler = av.AudioResampler("fltp", "stereo", AUDIO_RATE)
        for decoded in [*film.decode(*_audio(film)), None]:
            for frame in resampler.resample(decoded):
                chunk = frame.to_ndarray()[:, : max(0, length - place)]
                samples[:, place : place + chunk.shape[1]] = chunk
                place += chunk.shape[1]
    return samples


def _sound_frames(samples: Samples) -> Iterator[Any]:
    import av  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    # AAC has frames of 1024 samples, and refuses others.
    for start in range(0, samples.shape[1], 1024):
        chunk = np.ascontiguousarray(samples[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        yield frame
