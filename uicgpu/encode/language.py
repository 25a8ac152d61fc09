"""Does the encoder know the language of the texts? Measured before encoding, because a wrong one fails silently.

An English WordPiece vocabulary turns Chinese into unknown tokens, and then all vectors look alike; Cyrillic or Arabic
fall apart into single letters, which is as meaningless without being unknown. So two shares are measured on a sample:
unknown tokens, and letters that are not Latin.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uicgpu.encode.batches import TextTokenizer
from uicgpu.encode.models import MINILM, MULTILINGUAL, Model, find_model
from uicgpu.encode.texts import distinct_texts
from uicgpu.errors import InputError

UNKNOWN_LIMIT = 0.05
"""Largest tolerated share of unknown tokens. Measured: 0.0001 on English titles, 0.58 on Chinese ones."""
FOREIGN_LIMIT = 0.30
"""Largest tolerated share of letters that are not Latin, for encoders known to be English only."""
SAMPLE_TEXTS = 500
SAMPLE_CHARACTERS = 512
"""Of each sampled text, at most so many characters are looked at."""
EXAMPLES = 3


@dataclass(frozen=True)
class LanguageFit:
    """How well a tokeniser knows a sample of texts.

    Attributes
    ----------
    unknown_share
        Unknown tokens / tokens, without special tokens; 0.0 for tokenisers that have no unknown token.
    foreign_share
        Letters that are not Latin / letters.
    scripts
        Share of letters per script, largest first: ``(("CJK", 0.97), ("LATIN", 0.03))``.
    examples
        Up to three texts with the largest share of unknown or foreign characters.
    texts
        Texts in the sample.
    """

    unknown_share: float
    foreign_share: float
    scripts: tuple[tuple[str, float], ...]
    examples: tuple[str, ...]
    texts: int


def measure_fit(model: Model, texts: Sequence[object], tokenizer: TextTokenizer | None = None) -> LanguageFit:
    """Measure how well ``model`` knows ``texts``, on a sample that does not depend on their order.

    Parameters
    ----------
    model
        The encoder in question.
    texts
        Item texts; missing and empty ones are left out.
    tokenizer
        Its tokeniser without prompt, if already loaded.
    """
    distinct, _, _ = distinct_texts(texts)
    # distinct texts come in the order of their hashes: the first ones are a random sample that never changes
    sample = sorted(text[:SAMPLE_CHARACTERS] for text in [text for text in distinct if text][:SAMPLE_TEXTS])
    tokenizer = tokenizer or load_tokenizer(model, prompt="")
    tokens = tokenizer.tokenise(sample)
    own = tokens.lengths - tokenizer.special_tokens
    scripts = [_scripts(text) for text in sample]
    unknown, total, scored = 0, 0, []
    for row, text in enumerate(sample):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        misses = int((ids == tokenizer.unknown_id).sum()) if tokenizer.unknown_id is not None else 0
        unknown, total = unknown + misses, total + int(own[row])
        letters = max(1, scripts[row].total())
        worst = max(misses / max(1, int(own[row])), 1 - scripts[row]["LATIN"] / letters if scripts[row] else 0.0)
        scored.append((-worst, text))
    letters_of = sum(scripts, Counter[str]())
    letters = max(1, letters_of.total())
    shares = sorted(
        ((name, count / letters) for name, count in letters_of.items()), key=lambda pair: (-pair[1], pair[0])
    )
    return LanguageFit(
        unknown_share=unknown / total if total else 0.0,
        foreign_share=1 - letters_of["LATIN"] / letters if letters_of else 0.0,
        scripts=tuple(shares),
        examples=tuple(text[:60] for score, text in sorted(scored)[:EXAMPLES] if score < 0),
        texts=len(sample),
    )


def _scripts(text: str) -> Counter[str]:
    """Count letters per script, by the first word of their Unicode names.

    >>> _scripts("Ab 中")
    Counter({'LATIN': 2, 'CJK': 1})
    """
    if text.isascii():
        latin = sum(map(str.isalpha, text))
        return Counter({"LATIN": latin} if latin else {})
    return Counter(unicodedata.name(letter, "OTHER").split(" ")[0].split("-")[0] for letter in text if letter.isalpha())


def complaint(model: Model, fit: LanguageFit) -> str | None:
    """Say in one phrase why ``model`` does not know the texts, or None when it does.

    Two limits: :data:`UNKNOWN_LIMIT` for every encoder, :data:`FOREIGN_LIMIT` for those known to be English only.
    """
    if fit.unknown_share > UNKNOWN_LIMIT:
        return f"{fit.unknown_share:.1%} of the tokens are unknown to {model.name} (limit {UNKNOWN_LIMIT:.0%})"
    if model.english_only and fit.foreign_share > FOREIGN_LIMIT:
        named = ", ".join(f"{name} {share:.0%}" for name, share in fit.scripts if name != "LATIN")
        return f"{fit.foreign_share:.1%} of the letters are not Latin ({named}) and {model.name} knows English only"
    return None


def choose_model(requested: str, texts: Sequence[object], guard: bool = True) -> tuple[Model, str]:
    """Choose the encoder for ``texts`` and say why in one line.

    Parameters
    ----------
    requested
        ``auto``: ``minilm`` if it knows the texts, else ``multilingual``. Any other name: that encoder.
    texts
        Item texts.
    guard
        False lets a named encoder through whatever the texts; the line then says what was seen.

    Raises
    ------
    InputError
        A named encoder does not know the language of the texts.
    MissingExtraError
        The encoder's package is not installed.
    """
    if requested == "auto":
        model = find_model(MINILM)
        fit = measure_fit(model, texts)
        reason = complaint(model, fit)
        if reason is None:
            return model, f"encoder {MINILM}: {_seen(fit)}"
        return find_model(MULTILINGUAL), f"encoder {MULTILINGUAL}: {reason}"
    model = find_model(requested)
    fit = measure_fit(model, texts)
    reason = complaint(model, fit)
    if reason is None:
        return model, f"encoder {model.name} as asked for: {_seen(fit)}"
    if not guard:
        return model, f"encoder {model.name} as asked for, although {reason}"
    raise InputError(
        f"{reason}: its vectors would be meaningless. Examples: " + "; ".join(map(repr, fit.examples)),
        where=f"item texts (sample of {fit.texts})",
        fix="pass --model multilingual",
    )


def _seen(fit: LanguageFit) -> str:
    return f"{fit.unknown_share:.2%} unknown tokens in {fit.texts} sampled texts"


def load_tokenizer(model: Model, prompt: str | None = None) -> TextTokenizer:
    """Load a model's tokeniser from its ``tokenizer.json``; ``prompt`` replaces the model's own.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    from tokenizers import Tokenizer

    path = Path(model.folder) / "tokenizer.json"
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises a bare Exception
        raise InputError(f"tokenizer.json is damaged: {error}", where=str(path)) from error
    return TextTokenizer(backend, model.max_tokens, model.prompt if prompt is None else prompt, model.lowercase)
