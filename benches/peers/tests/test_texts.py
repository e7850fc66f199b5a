"""Which texts are chosen out of paragraphs that were written for it, by the tokenizer of the tiny model."""

import hashlib
import tempfile
import unittest
from itertools import cycle, islice
from pathlib import Path

from tokenizers import Tokenizer

from ..model import Model
from ..prose import mixed_texts, paragraphs
from ..texts import long_texts, short_texts, write, write_texts
from . import TINY_BERT

TOKENIZER_JSON = TINY_BERT / "tokenizer.json"
# A token each; [CLS] and [SEP] are two more.
SEVEN_WORDS = ("the", "cat", "sat", "on", "my", "red", "mat")
# Two tokens, walk and ##ing.
TWO_PIECES = "walking"

DOCUMENT = """
A heading
*********

Underlined === twice.

Starred ***.

One sentence.  Over
two lines.

   Indented, as   prose may be:

no capital letter first.

"Quotes" may begin it.

No full stop

Two indentations
   are a list.

Code: >>> a dot.

Rule ::= a grammar.

An ellipsis is code ...

One sentence. Over two lines.
"""


def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(str(TOKENIZER_JSON))
    found.no_padding()
    found.no_truncation()
    return found


def words(count: int, first: int = 0) -> str:
    """So many words in a circle, from one of them on."""
    return " ".join(islice(cycle(SEVEN_WORDS), first, first + count))


class Paragraphs(unittest.TestCase):
    def test_only_prose_is_taken_and_each_paragraph_once(self) -> None:
        expected = ['"Quotes" may begin it.', "Indented, as prose may be:", "One sentence. Over two lines."]
        self.assertEqual(sorted(paragraphs([DOCUMENT, DOCUMENT])), expected)

    def test_their_order_is_that_of_their_hashes(self) -> None:
        # 1e3a…, 23a7…, 3271…, a8cf…
        expected = ["Cats.", "Ants.", "Zebras.", "Bees."]
        self.assertEqual(paragraphs(["Zebras.\n\nAnts.\n\nBees.", "Cats."]), expected)
        self.assertEqual(paragraphs(["Cats.\n \nBees.", "Ants.\n\n\nZebras."]), expected)


class Short(unittest.TestCase):
    def short(self, *prose: str) -> list[str]:
        return list(short_texts(list(prose), tokenizer()))

    def test_five_to_eleven_words_in_turn(self) -> None:
        sentences = [f"{words(20, first)}{end}" for first, end in enumerate(".:;.:;.:;.")]
        # Five words are seven tokens, too few for the first and the eighth; the last two begin as two before.
        expected = [words(5 + number, number) for number in range(1, 7)]
        self.assertEqual(self.short(" ".join(sentences)), expected)
        # The turn goes on in the next paragraph.
        self.assertEqual(self.short(" ".join(sentences[:3]), " ".join(sentences[3:])), expected)

    def test_a_sentence_without_more_words_is_whole(self) -> None:
        self.assertEqual(self.short(f"{words(5)}. {words(5, 1)}:"), [f"{words(5)}.", f"{words(5, 1)}:"])

    def test_eight_to_sixteen_tokens(self) -> None:
        # Seven words of two pieces are sixteen tokens, and an eighth word makes it seventeen.
        sixteen = " ".join([TWO_PIECES] * 7)
        prose = f"{words(4)}. {words(4)}. {sixteen} {words(9)}. {sixteen} {words(9)}."
        self.assertEqual(self.short(prose), [sixteen])


class Long(unittest.TestCase):
    def long(self, *prose: str) -> list[str]:
        return list(long_texts(list(prose), tokenizer()))

    def test_paragraphs_are_joined_and_cut(self) -> None:
        joined = f"{words(100)} {words(200)}".split()
        found = self.long(words(100), words(200), words(3), words(251, 3), words(253))
        # What was cut off is not used again, and the last is a token short.
        self.assertEqual(found, [" ".join(joined[:254]), words(254)])
        for text in found:
            self.assertEqual(len(tokenizer().encode(text).ids), 256)

    def test_a_model_may_have_a_smaller_limit(self) -> None:
        found = list(long_texts([words(20), words(9)], tokenizer(), 16))
        self.assertEqual(found, [words(14)])

    def test_a_cut_may_be_inside_of_a_word(self) -> None:
        self.assertEqual(self.long(f"{words(253)} {TWO_PIECES}"), [f"{words(253)} walk"])


class Mixed(unittest.TestCase):
    def test_six_to_eighty_five_words_in_their_order(self) -> None:
        prose = [words(n) for n in (86, 85, 5, 20, 6)]
        self.assertEqual(list(mixed_texts(prose)), [words(85), words(20), words(6)])


class Files(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def test_a_file_is_ascii_a_text_a_line(self) -> None:
        texts = ["the cat", "the “red” mat\n"]
        found = write(self.directory / "some.jsonl", texts, tokenizer(), 256)
        content = found.path.read_bytes()
        self.assertEqual(content, b'"the cat"\n"the \\u201cred\\u201d mat\\n"\n')
        self.assertEqual(found.sha256, hashlib.sha256(content).hexdigest())
        # [CLS] the cat [SEP] and [CLS] the “ red ” mat [SEP].
        self.assertEqual(found.tokens_mean, 5.5)
        self.assertEqual(found.texts, texts)

    def test_tokens_that_are_cut_off_are_not_counted(self) -> None:
        found = write(self.directory / "some.jsonl", ["the cat", words(20)], tokenizer(), 16)
        self.assertEqual(found.tokens_mean, (4 + 16) / 2)

    def test_too_few_texts_are_an_error_and_no_smaller_file(self) -> None:
        # Most words have many pieces in the tiny vocabulary, so few beginnings have no more than sixteen.
        with self.assertRaisesRegex(SystemExit, "short: expected 1000 texts .*, found [0-9]{2,3}$"):
            write_texts(self.directory, Model.read(TINY_BERT))
        self.assertEqual(list(self.directory.iterdir()), [])
