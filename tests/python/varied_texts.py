"""Varied texts, generated from a fixed seed and from the running Python's standard library.

Only characters that this Python knows are used: Python 3.11 is at Unicode 14, like the PCRE2 10.42 of Debian 12. Newer
letters are a known difference.
"""

import functools
import os
import pathlib
import random
import unicodedata


def source_texts(budget):
    """Sources of the standard library, then its test data in other encodings' text."""
    for path in sorted(pathlib.Path(os.__file__).parent.glob("*.py")):
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        if text:
            budget -= len(text)
            yield text
        if budget < 0:
            return


@functools.cache
def assigned_characters():
    unwanted = ("Cn", "Cs", "Co")
    return [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in unwanted]


def words(rng, alphabet, count, longest=9):
    return ["".join(rng.choices(alphabet, k=rng.randint(1, longest))) for _ in range(count)]


def script_texts(rng):
    """Words of neighbouring characters: every assigned character comes up about once."""
    characters = list(assigned_characters())
    for begin in range(0, len(characters), 300):
        block = characters[begin : begin + 300]
        rng.shuffle(block)
        pieces = ["".join(block[i : i + 5]) for i in range(0, len(block), 5)]
        yield "".join(piece + rng.choice([" ", "  ", "\n", ", ", "1", "", "'s "]) for piece in pieces)
    for begin, end in [(0x41, 0x17F), (0x370, 0x52F), (0x5D0, 0x6FF), (0x900, 0xDFF), (0xE01, 0xFFF),
                       (0x10A0, 0x11FF), (0x3041, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)]:  # fmt: skip
        alphabet = [c for c in map(chr, range(begin, end)) if unicodedata.category(c) != "Cn"]
        yield " ".join(words(rng, alphabet, 900))
        # Decomposed and partly recomposed, so that normalization has work to do.
        yield unicodedata.normalize("NFD", " ".join(words(rng, alphabet, 400)))


def mark_texts(rng):
    marks = [c for c in assigned_characters() if unicodedata.combining(c)]
    for _ in range(20):
        yield "".join(rng.choice("aeiouAEIOU nсعक") + "".join(rng.choices(marks, k=rng.randint(0, 4)))
                      for _ in range(300))  # fmt: skip


def emoji_texts(rng):
    faces = [chr(c) for c in range(0x1F300, 0x1F650)]
    special = ["👩\u200d💻", "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "🇩🇪", "🏴\U000e0067\U000e0062\U000e007f", "1️⃣", "❤️", "♥"]
    for _ in range(20):
        yield "".join(rng.choice(faces + special * 40) + rng.choice(["", "", " ", "!", "\n"]) for _ in range(400))


def space_texts(rng):
    spaces = [chr(c) for c in [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, 0x180E, *range(0x2000, 0x2010),
              0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]]  # fmt: skip
    common = [" ", "  ", "\n", "\r\n", "\t", "\n\n", " \n ", "\r"]
    for _ in range(30):
        yield "".join(
            "".join(rng.choices(common * 8 + spaces, k=rng.randint(1, 5)))
            + rng.choice(["word", "x", "9", "(", "é", "'ll", "中", ""])
            for _ in range(500)
        )


def control_texts(rng):
    controls = [chr(c) for c in [*range(32), *range(127, 160)]]
    for _ in range(10):
        yield "".join(rng.choice(controls + list("ab 1")) for _ in range(1000))


def contraction_texts(rng):
    pieces = ["'s", "'S", "'\u017f", "'t", "'RE", "'Ve", "'m", "'LL", "'lL", "'d", "’s", "'", "''", " 'x",
              "don", "I", "we", " ", "123", "4567890", "٣٤٥", "½", "Ⅻ", "²", "१२३"]  # fmt: skip
    for _ in range(20):
        yield "".join(rng.choices(pieces, k=700))


def special_texts(rng, contents):
    around = [" ", "  ", "\n", "", "\n\n", "\t", "x", "_", "é", "."]
    for _ in range(60):
        parts = []
        for _ in range(60):
            content = rng.choice(contents)
            if rng.random() < 0.25:  # broken ones are ordinary text
                content = content[: rng.randint(0, len(content))]
            parts += [rng.choice(around), content, rng.choice(around), rng.choice(["hello", "", "中文字 中文", "fin ﬁn"])]
        yield "".join(parts)


def dense_texts(rng):
    for alphabet in ["0123456789abcdef", "ACGT", "01", "!?.,;:-_=+*/", "aAbB019-_ "]:
        yield "".join(rng.choices(alphabet, k=12000))
    for repeated in ["a", " ", "\n", "\t", "🙂", "中", "0", "=", "\r\n", "ab", " a", "é", "e\u0301", "\u0301"]:
        yield repeated * 4000 + "x"
        yield "x" + repeated * 501


def unicode_texts(rng, count, longest=300):
    """Random characters of every plane, of few blocks at a time, among spaces and newlines."""
    characters = assigned_characters()
    for _ in range(count):
        blocks = [rng.randrange(len(characters)) for _ in range(rng.randint(1, 5))]
        some = [characters[(rng.choice(blocks) + rng.randrange(40)) % len(characters)] for _ in range(30)]
        some += rng.choices(characters, k=5) + [" ", " ", " ", "\n", "a", "B", "1", "_", "'", "\u200d", "\u0301"]
        yield "".join(rng.choices(some, k=rng.randint(1, longest)))


def common_texts(source_bytes=2_000_000, unicode_count=4500):
    rng = random.Random(20240607)
    texts = [*script_texts(rng), *mark_texts(rng), *emoji_texts(rng), *space_texts(rng), *control_texts(rng),
             *contraction_texts(rng), *dense_texts(rng), *unicode_texts(rng, unicode_count),
             *source_texts(source_bytes)]  # fmt: skip
    return [text for text in texts if text.strip()]


def texts_with(contents):
    """Texts around these added tokens."""
    texts = special_texts(random.Random(20240608), contents)
    return [text for text in texts if text.strip()]
