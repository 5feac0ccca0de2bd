"""Names that people give for a parameter when a model calls it something else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

# Each row is one thing under the names that services, examples and people use for it, also those of other languages,
# without accents.
ALIASES = (
    ("image_url", "image", "first_frame_url", "first_frame_image", "first_frame", "first_image_url", "start_image_url",
     "start_image", "start_frame_url", "input_image", "input_image_url", "img_url", "image_uri", "prompt_image",
     "img", "picture", "picture_url", "photo", "photo_url", "image_file",
     "bild", "imagen", "immagine", "afbeelding", "imagem", "foto"),
    ("tail_image_url", "last_image_url", "image_tail", "tail_image", "last_image", "last_frame_url", "last_frame_image",
     "last_frame", "end_image_url", "end_image", "end_frame_url", "end_frame"),
    ("image_list", "image_urls", "images", "input_images", "reference_image_urls", "reference_images",
     "pictures", "photos", "bilder", "imagenes", "immagini", "afbeeldingen", "imagens", "fotos"),
    ("video_url", "video", "input_video", "input_video_url", "source_video_url"),
    ("video_urls", "video_list", "videos", "reference_video_urls"),
    ("audio_url", "audio", "audio_file", "sound_url", "input_audio"),
    ("audio_urls", "audio_list", "audios", "reference_audio_urls"),
    ("prompt", "text", "text_prompt", "prompt_text", "positive_prompt", "texte", "texto", "testo", "tekst"),
    ("multi_prompt", "multi_prompts", "prompts", "shots"),
    ("negative_prompt", "negative", "neg_prompt", "negative_text", "negativer_prompt", "prompt_negatif",
     "prompt_negativo", "negatieve_prompt"),
    ("duration", "seconds", "secs", "sec", "duration_seconds", "duration_sec", "duration_s", "video_length",
     "video_duration", "length",
     "dauer", "duree", "duracion", "durata", "duur", "duracao", "sekunden", "secondes", "segundos", "secondi",
     "seconden", "lange"),
    ("aspect_ratio", "ratio", "aspect", "video_aspect_ratio", "frame_size", "seitenverhaltnis",
     "relacion_de_aspecto", "proporzioni", "beeldverhouding", "proporcao"),
    ("resolution", "quality", "video_resolution", "auflosung", "resolucion", "risoluzione", "resolutie", "resolucao"),
    ("generate_audio", "generate_audio_switch", "with_audio", "enable_audio", "audio_enabled", "sound"),
    ("cfg_scale", "guidance_scale", "cfg", "guidance"),
    ("num_inference_steps", "inference_steps", "steps"),
    ("frames_per_second", "fps", "framerate", "frame_rate"),
    ("enhance_prompt", "enable_prompt_expansion", "prompt_optimizer", "prompt_enhancer", "prompt_extend"),
    ("camera_fixed", "camerafixed", "fixed_camera"),
    ("watermark", "add_watermark"),
    ("static_mask", "mask_url", "static_mask_url"),
)  # fmt: skip

MEDIA_NAMES = frozenset((
    "image_url", "tail_image_url", "image_list", "video_url", "video_urls", "audio_url", "audio_urls",
))  # fmt: skip
"""The first names of the rows whose values are files."""
_UNIT = re.compile(r"_?[(\[]_*(?:s|secs?|seconds?|sek|sekunden|secondes|segundos|secondi|seconden)\.?_*[)\]]")
"""What people put behind the name of a duration: its unit in brackets."""
_ROW = {name: row for row in ALIASES for name in row}


def without_accents(name: str) -> str:
    """Return `durée` as `duree`; a name in another script stays as it is."""
    if name.isascii():
        return name
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return bare if bare.isascii() else name


def canonical_name(name: str, names: Container[str]) -> str | None:
    """Return which of a model's parameter `names` is meant by one that is not among them; None where unsure."""
    # Camel case, dashes and blanks: people write what the last service they used had.
    plain = without_accents(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(" ", "_").lower())
    plain = _UNIT.sub("", plain)
    return next((other for other in (plain, *_ROW.get(plain, ())) if other in names), None)
