"""Every component of tokenizer.json by itself against Hugging Face's `tokenizers`, on random Unicode.

The pieces are made visible: a byte-level vocabulary without merges, and a step behind the component that writes a space in
front of every piece. Settings too rare for a real pipeline are drawn at random.

Environment: SAGESAN_BIN (default build/release/sagesan).
"""

import itertools
import json
import random
import subprocess

import pytest
from pipelines import LLAMA3_SPLIT, added_token, bpe, byte_level, metaspace, sequence, tokenizer_json
from test_tokenizer import BINARY, expect_equal
from varied_texts import assigned_characters, special_texts, texts_with, unicode_texts

tokenizers = pytest.importorskip("tokenizers")

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
LETTERS = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def show_pieces(component=None, normalizer=None, added=()):
    marker = byte_level(add_prefix_space=True, use_regex=False)
    steps = sequence(component, marker) if component else marker
    vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
    return tokenizer_json(list(added), bpe(vocabulary, []), steps, normalizer)


def split(pattern, behavior, invert):
    return dict(type="Split", pattern=pattern, behavior=behavior, invert=invert)


def replace(pattern, content):
    return dict(type="Replace", pattern=pattern, content=content)


def normalizers(*steps):
    return dict(type="Sequence", normalizers=list(steps))


PATTERNS = [{"String": " "}, {"String": "a"}, {"Regex": r"\s+"}, {"Regex": r"\w*"}, {"Regex": LLAMA3_SPLIT}]
PRE_TOKENIZERS = {
    **{
        f"split-{i}-{behavior}-{invert}": split(pattern, behavior, invert)
        for (i, pattern), behavior, invert in itertools.product(enumerate(PATTERNS), BEHAVIORS, [False, True])
    },
    **{f"punctuation-{behavior}": dict(type="Punctuation", behavior=behavior) for behavior in BEHAVIORS},
    **{
        f"metaspace-{scheme}-{cut}": metaspace(scheme, cut)
        for scheme, cut in itertools.product(["always", "first", "never"], [False, True])
    },
    "metaspace-_": metaspace("always", True) | dict(replacement="_"),
    "metaspace-behind-split": sequence(dict(type="WhitespaceSplit"), metaspace("first", True)),
    "digits": dict(type="Digits", individual_digits=False),
    "digit": dict(type="Digits", individual_digits=True),
    "whitespace": dict(type="Whitespace"),
    "whitespace-split": dict(type="WhitespaceSplit"),
    "byte-level": byte_level(add_prefix_space=True),
    "byte-level-alone": byte_level(),
}
NORMALIZERS = {
    **{name: dict(type=name) for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]},
    "strip": dict(type="Strip", strip_left=True, strip_right=True),
    "strip-left": dict(type="Strip", strip_left=True, strip_right=False),
    "strip-right": dict(type="Strip", strip_left=False, strip_right=True),
    "prepend": dict(type="Prepend", prepend="▁x"),
    "replace": replace({"Regex": " {2,}"}, "▁"),
    "remove": replace({"Regex": r"[\n\p{M}]"}, ""),
    "sequence": normalizers(dict(type="NFD"), dict(type="StripAccents"), dict(type="Lowercase")),
}
ADDED = [
    added_token(256, "<mask>", lstrip=True, special=True),
    added_token(257, "<s>", special=True),
    added_token(258, "word", single_word=True, normalized=True),
    added_token(259, "Ünï", rstrip=True, normalized=True),
    added_token(260, "  ", normalized=False),
]
CONTENTS = [token["content"] for token in ADDED]


@pytest.fixture(scope="module")
def texts():
    rng = random.Random(7)
    mixed = list(itertools.islice(special_texts(rng, CONTENTS), 20))
    # Every character that this Python knows, 200 a text.
    characters = "".join(assigned_characters())
    every = [characters[i : i + 200] for i in range(0, len(characters), 200)]
    every[0] = "x" + every[0]
    some = [*unicode_texts(rng, 150), *mixed, *every[:40], *rng.sample(every, 60)]
    return [text for text in some if text.strip()], [text for text in every if text.strip()]


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizer(name, texts, tmp_path):
    expect_equal(show_pieces(PRE_TOKENIZERS[name], added=ADDED), texts[0], tmp_path)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizer(name, texts, tmp_path):
    expect_equal(show_pieces(normalizer=NORMALIZERS[name], added=ADDED), texts[0] + texts[1], tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_pipelines_on_random_texts(seed, tmp_path):
    """Up to three steps of each kind, random flags on added tokens, fresh texts."""
    rng = random.Random(seed)
    names = [name for name in PRE_TOKENIZERS if "first" not in name and "behind" not in name]
    steps = [PRE_TOKENIZERS[rng.choice(names)] for _ in range(rng.randint(1, 3))]
    # An added token of which nothing is left once normalized makes tokenizers panic; sagesan refuses it.
    kept = [name for name in NORMALIZERS if "strip" not in name]
    normalizer = normalizers(*(NORMALIZERS[rng.choice(kept)] for _ in range(rng.randint(0, 2))))
    flags = ["lstrip", "rstrip", "single_word", "normalized"]
    added = [token | {flag: rng.random() < 0.4 for flag in flags} for token in ADDED]
    texts = [*unicode_texts(rng, 300, 120), *texts_with(CONTENTS)[:20]]
    texts = [text for text in texts if text.strip()]
    expect_equal(show_pieces(sequence(*steps), normalizer, added), texts, tmp_path)


def random_unigram(rng, byte_fallback):
    """Random strings as tokens; few different scores, so that many cuts have the same sum."""
    alphabet = "ab▁cé中🙂"
    tokens = list(dict.fromkeys("".join(rng.choices(alphabet, k=rng.randint(1, 5))) for _ in range(150)))
    tokens += [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    vocabulary = [["<unk>", 0.0], *([token, rng.choice([-1.0, -1.5, -2.0, -4.25])] for token in tokens)]
    return dict(type="Unigram", unk_id=0, vocab=vocabulary, byte_fallback=byte_fallback)


@pytest.mark.parametrize("seed", range(8))
def test_unigram(seed, tmp_path):
    rng = random.Random(seed)
    model = random_unigram(rng, byte_fallback=seed % 2 == 1)
    texts = ["".join(rng.choices("aabbc é中🙂zжй", k=rng.randint(1, 60))) for _ in range(2000)]
    texts = ["<unk>" + text if i % 9 == 0 else text for i, text in enumerate(texts) if text.strip()]
    expect_equal(tokenizer_json([], model, metaspace("always", cut=seed % 3 > 0)), texts, tmp_path)


def test_random_bpe_with_unknown_characters(tmp_path):
    for seed in range(8):
        rng = random.Random(seed)
        tokens = ["<unk>", *"abc▁中"]
        merges = []
        for _ in range(40):
            left, right = rng.choice(tokens[1:]), rng.choice(tokens[1:])
            if left + right not in tokens and len(left + right) < 9:
                tokens.append(left + right)
                merges.append([left, right])
        rng.shuffle(merges)
        unknown = dict(unk_token="<unk>", fuse_unk=seed % 2 == 0) if seed % 4 < 3 else {}
        model = bpe({t: i for i, t in enumerate(tokens)}, merges, ignore_merges=seed > 4, **unknown)
        texts = ["".join(rng.choices("aabbc 中zж", k=rng.randint(1, 60))) for _ in range(500)]
        texts = [text for text in texts if text.strip()]
        expect_equal(tokenizer_json([], model, metaspace("always", cut=seed % 3 > 0)), texts, tmp_path)


REFUSED = {
    "BertNormalizer": dict(normalizer=dict(type="BertNormalizer")),
    "Precompiled": dict(normalizer=dict(type="Precompiled", precompiled_charsmap="")),
    "BertPreTokenizer": dict(component=dict(type="BertPreTokenizer")),
    "UnicodeScripts": dict(component=dict(type="UnicodeScripts")),
    "CharDelimiterSplit": dict(component=dict(type="CharDelimiterSplit", delimiter="x")),
    "FixedLength": dict(component=dict(type="FixedLength", length=5)),
    "'first'": dict(component=metaspace("first", True), normalizer=dict(type="NFKC")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_run_is_refused_by_name(name, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(show_pieces(**REFUSED[name])))
    (tmp_path / "texts.jsonl").write_text('{"text": "x"}\n')
    command = [BINARY, "tokenize", "--model", tmp_path, "--data", tmp_path / "texts.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert name in done.stderr
