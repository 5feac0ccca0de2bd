"""What a file is, by its first bytes: names and headers may say anything."""

from __future__ import annotations


def media_type_name(media_type: str) -> str:
    """Return what people call a media type: PNG, MP3."""
    return {"audio/mpeg": "MP3", "audio/mp4": "M4A"}.get(media_type) or media_type.partition("/")[2].upper()


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"FLV\1", "video/x-flv"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_BOXES = (b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"uuid", b"pnot")
PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"})
_PICTURES_THAT_MOVE = ("image/gif", "image/webp")


def media_type(head: bytes) -> str | None:
    """Return the media type that the first bytes of a picture, video or sound show; None for anything else."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def is_video(head: bytes) -> bool:
    """Tell whether the first bytes (200 of them are enough) are those of a clip, in any of the usual forms."""
    kind = media_type(head) or ""
    if kind.startswith("video/") or kind in _PICTURES_THAT_MOVE or head[4:8] in _BOXES:
        return True
    # An MPEG transport stream has a sync byte every 188 bytes.
    return head[:1] == b"G" and head[188:189] == b"G"
