"""The words in which the makers of models refuse content: every service passes them on in its own answers.

Sources: error tables and public threads of Kling, Google Veo, OpenAI, Runway, Luma, MiniMax, ByteDance, Alibaba and
PixVerse. A word alone is not enough ("case-sensitive", "safety_checker"): each phrase is one of a refusal.
"""

from __future__ import annotations

import re

_REFUSALS = re.compile(
    r"""(?ix)
    content[ _-]?polic | (usage|community|safety|moderation|acceptable[ ]use)[ ](polic|guideline|standard)
    | violat\w*.{0,60}(polic|guideline|content|terms|responsible) | polic(y|ies)[ _]violation
    | moderation | \bmoderated\b | flagged[ ](as|by|for)
    | \bnsfw\b | risk[ _]?(control|detection)
    | sensitive[ _]?(content|words?|information|material|topics?) | new_sensitive
    | (contains?|contained|be|is|are|too)[ ]sensitive\b
    | (inappropriate|prohibited|unsafe|harmful|offensive|explicit|sexual|violent)[ ](content|input|material|words?)
    | (content|input|prompt|image|video|text)[ ](is|are|was|may[ ]be|might[ ]be|seems)[ ]
      (inappropriate|prohibited|unsafe|harmful|offensive)
    | data_?inspection_?failed | safety[ ](system|filter|settings|reasons|review) | \bsafety\.[a-z]
    | responsible[ ]ai\b | rai[ _]?media[ _]?filtered | copyright | third[ -]party[ ](content|likeness)
    | real[ ]pe(rson|ople) | public[ ]figure
    | 敏感 | 违规 | 风控 | 内容安全 | 审核(未|不)通过
    """
)
_NOT_ABOUT_CONTENT = re.compile(
    r"(?i)rate[ _-]?limit|quota[ _-]?violation"
    r"|moderation (service|system|api|check)?\W*(is |was )?(temporarily )?(unavailable|timed? ?out|overloaded|busy)"
)
_FIELD = re.compile(r"(?i)\b(negative_prompt|[a-z]+_(?:image|video|audio|prompt)(?:_urls?|_list)?(?:\[\d+\])?"
                    r"|(?:image|video|audio)_(?:urls?|list)(?:\[\d+\])?)")  # fmt: skip
_INPUTS = {
    "prompt": re.compile(r"(?i)\b(prompt|caption|description)|inputtext|input\W+text|text\W+input|提示词|文本"),
    "image": re.compile(r"(?i)\b(image|picture|photo|frame)s?\b|inputimage|图片|图像"),
    "video": re.compile(r"(?i)\b(input|source|reference)\W+video|inputvideo"),
    "audio": re.compile(r"(?i)\b(input|source|reference)\W+audio|inputaudio"),
}


def refuses_content(text: str) -> bool:
    """Tell whether a service's message refuses what was to be shown, rather than how it was requested."""
    return bool(_REFUSALS.search(text)) and not _NOT_ABOUT_CONTENT.search(text)


def refused_input(text: str) -> str | None:
    """Return which input a refusal is about: the parameter it names, else `prompt`, `image`, `video` or `audio`.

    None where the message names no input, or more than one kind, or speaks of the clip that came out.
    """
    if parameter := _FIELD.search(text):
        return parameter[1].lower()
    named = [kind for kind, words in _INPUTS.items() if words.search(text)]
    return named[0] if len(named) == 1 else None
