"""Prose to be timed with, out of the documentation in Python's own standard library.

`pydoc_data.topics` has the language reference as plain text. Its paragraphs of prose, in the order of their
SHA-256, are the source of all texts, so that none depends on chance and the beginning of a list is a fair
sample of it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pydoc_data import topics

MIXED_TEXTS, MIXED_WORDS = 640, range(6, 86)


def prose_of_python() -> list[str]:
    """The paragraphs of this Python's documentation."""
    return paragraphs(topics.topics[name] for name in sorted(topics.topics))


def paragraphs(documents: Iterable[str]) -> list[str]:
    """Each paragraph of prose once, white space made single blanks: no headings, lists, grammar or code."""
    found: dict[str, None] = {}
    for document in documents:
        for block in re.split(r"\n\s*\n", document):
            lines = block.strip("\n").splitlines()
            indents = {len(line) - len(line.lstrip()) for line in lines}
            text = " ".join(block.split())
            is_prose = re.match(r"[A-Z\"“]", text) and text.endswith((".", ":"))
            if is_prose and len(indents) == 1 and not re.search(r"\*\*\*|===|>>>|::=|\.\.\.$", text):
                found[text] = None
    return sorted(found, key=lambda text: hashlib.sha256(text.encode()).hexdigest())


def mixed_texts(prose: list[str]) -> Iterator[str]:
    """Whole paragraphs of 6 to 85 words."""
    return (text for text in prose if len(text.split()) in MIXED_WORDS)
