"""Names of segments: short, of words that figures stand behind, and no two alike within a segmentation."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from app.modelling.segments.judgement.vocabulary import NOUNS, Said

WORDS = 3
# Namesakes may take so many more before they are numbered.
MOST_WORDS = 5
_PARTS = re.compile(rf", | (?={'|'.join(NOUNS)})")


@dataclass(frozen=True, slots=True)
class Sayings:
    """What there is to say of a segment and how strong each is, the strongest first; `plain` where there is nothing."""

    said: tuple[Said, ...]
    strengths: tuple[float, ...]
    plain: str


def unique_names(segments: Sequence[Sayings], taken: Mapping[int, str]) -> list[str]:
    """One name for each; those taken stay. Of namesakes the strongest may be "very", others say more or are numbered."""
    names = {label: name for label, name in taken.items() if label < len(segments)}
    used = {_key(name) for name in taken.values()}
    unnamed = [label for label in range(len(segments)) if label not in names]
    namesakes = Counter(_key(_phrase(segments[label], WORDS)) for label in unnamed)
    for label in sorted(unnamed, key=lambda label: (_weakness(segments[label]), label)):
        phrase = _phrase(segments[label], WORDS)
        candidates = _candidates(segments[label])
        if namesakes[_key(phrase)] > 1 and _is_extreme(segments, label):
            candidates = chain([f"Very {phrase[:1].lower()}{phrase[1:]}"], candidates)
        names[label] = next(name for name in candidates if _key(name) not in used)
        used.add(_key(names[label]))
    return [names[label] for label in range(len(segments))]


def _weakness(segment: Sayings) -> float:
    return -segment.strengths[0] if segment.strengths else 0.0


def _is_extreme(segments: Sequence[Sayings], label: int) -> bool:
    """Whether no other segment, whatever it is called, deserves the first word more."""
    said, strengths = segments[label].said, segments[label].strengths
    if not said or not said[0].is_gradable:
        return False
    others = [
        strength
        for at, other in enumerate(segments)
        if at != label
        for each, strength in zip(other.said, other.strengths, strict=True)
        if each.text == said[0].text
    ]
    return all(strengths[0] > strength for strength in others)


def _candidates(segment: Sayings) -> Iterator[str]:
    """Ever longer names, then the short one with a number."""
    for words in range(WORDS, MOST_WORDS + 1):
        yield _phrase(segment, words)
    for number in count(2):
        yield f"{_phrase(segment, WORDS)} {number}"


def _phrase(segment: Sayings, words: int) -> str:
    said = segment.said[:words]
    adjectives = ", ".join(each.text for each in said if not each.is_noun)
    nouns = " ".join(each.text for each in said if each.is_noun)
    phrase = " ".join(part for part in (adjectives, nouns) if part) or segment.plain
    return phrase[:1].upper() + phrase[1:]


def _key(name: str) -> tuple[str, ...]:
    """Names of the same words in another order are alike for a reader."""
    return tuple(sorted(_PARTS.split(name.casefold())))
