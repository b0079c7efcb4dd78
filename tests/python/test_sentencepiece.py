"""Token ids of `sagesan tokenize` where there is only SentencePiece's tokenizer.model, against SentencePiece itself (Debian's
`spm_train` and `spm_encode`) and against `tokenizers` on the converted vocabulary.

Environment: SAGESAN_BIN (default build/release/sagesan).
"""

import json
import random
import shutil
import struct
import subprocess

import pytest
from pipelines import KINDS
from test_tokenizer import BINARY, run_tokenize, vocabulary  # noqa: F401 (a fixture)
from varied_texts import common_texts, source_texts, texts_with, unicode_texts

tokenizers = pytest.importorskip("tokenizers")
needs_sentencepiece = pytest.mark.skipif(
    shutil.which("spm_encode") is None, reason="no spm_encode (Debian: apt-get install sentencepiece)"
)


# --- a tokenizer.model, field by field (sentencepiece_model.proto) ------------------------------


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(**fields):
    """Fields as f1=..., f2=..."""
    return b"".join(field(int(name[1:]), value) for name, value in fields.items())


def model_file(pieces, trainer=None, rules=None):
    """`pieces` are (text, score, kind); a BPE model with byte fallback and without normalization where nothing is said."""
    trainer = trainer if trainer is not None else message(f3=2, f35=1)
    rules = rules if rules is not None else message(f1="identity", f2=b"", f4=0)
    entries = b"".join(field(1, message(f1=text, f2=float(score), f3=kind)) for text, score, kind in pieces)
    return entries + field(2, trainer) + field(3, rules)


BYTES = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
SPECIAL = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]


def lines_of(texts):
    """spm_encode reads lines, and passes over NUL and what is no line of text."""
    lines = [line for text in texts for line in text.replace("\0", " ").replace("\r", " ").split("\n")]
    return [line for line in lines if line.strip()]


def spm_ids(model, lines):
    command = ["spm_encode", f"--model={model}", "--output_format=id"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return [[int(id) for id in line.split()] for line in done.stdout.split("\n")[:-1]]


def expect_like_sentencepiece(folder, lines):
    expected = spm_ids(folder / "tokenizer.model", lines)
    found = run_tokenize(folder, lines, folder)
    assert len(found) == len(expected) == len(lines)
    wrong = [i for i in range(len(lines)) if found[i] != [1, *expected[i]]]
    assert not wrong, (len(wrong), lines[wrong[0]], expected[wrong[0]], found[wrong[0]])


@needs_sentencepiece
def test_llama2_vocabulary(vocabulary, tmp_path):  # noqa: F811
    source = vocabulary("llama-spm")
    pieces = list(zip(source["tokens"], source["scores"], source["token_type"]))
    (tmp_path / "tokenizer.model").write_bytes(model_file(pieces))
    expect_like_sentencepiece(tmp_path, lines_of(common_texts()))


@needs_sentencepiece
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_trained_model(byte_fallback, tmp_path):
    texts = [text[i : i + 900] for text in source_texts(600_000) for i in range(0, len(text), 900)]
    lines = lines_of(texts)
    (tmp_path / "input").write_text("\n".join(lines) + "\n")
    options = dict(
        input=tmp_path / "input", model_prefix=tmp_path / "tokenizer", model_type="bpe", vocab_size=1200,
        byte_fallback=str(byte_fallback).lower(), normalization_rule_name="identity", remove_extra_whitespaces="false",
        split_digits="true", character_coverage="0.995", minloglevel=2,
    )  # fmt: skip
    command = ["spm_train", *(f"--{key}={value}" for key, value in options.items())]
    subprocess.run(command, check=True, capture_output=True)
    rng = random.Random(3)
    texts = [*lines[:1500], *unicode_texts(rng, 800), *(c * 300 for c in " a=_中é")]
    expect_like_sentencepiece(tmp_path, lines_of(texts))


@needs_sentencepiece
def test_equal_scores_merge_from_the_left(tmp_path):
    """Many ways to cut, few different scores: what a list of merges cannot say."""
    for seed in range(6):
        rng = random.Random(seed)
        tokens = list(dict.fromkeys(["a", "b", "▁", *("".join(rng.choices("aab▁", k=rng.randint(2, 6))) for _ in range(60))]))
        pieces = [*SPECIAL, *BYTES, *((token, rng.choice([-1.0, -2.0, -3.0]), 1) for token in tokens)]
        (tmp_path / "tokenizer.model").write_bytes(model_file(pieces))
        lines = ["".join(rng.choices("aabb c", k=rng.randint(1, 80))) for _ in range(400)]
        expect_like_sentencepiece(tmp_path, lines_of(lines))


def test_special_tokens_like_the_converted_tokenizer(vocabulary, tmp_path):  # noqa: F811
    source = vocabulary("llama-spm")
    pieces = list(zip(source["tokens"], source["scores"], source["token_type"]))
    (tmp_path / "tokenizer.model").write_bytes(model_file(pieces))
    config = dict(tokenizer_class="LlamaTokenizer", pad_token="[PAD]", add_bos_token=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[PAD]": 32000}))
    description = KINDS["llama2"](vocabulary)
    reference = tokenizers.Tokenizer.from_str(json.dumps(description))
    reference.add_special_tokens([tokenizers.AddedToken("[PAD]", normalized=False)])
    texts = texts_with(["<s>", "</s>", "<unk>", "[PAD]"])
    found = run_tokenize(tmp_path, texts, tmp_path)
    assert sum(32000 in ids for ids in found) > 10
    assert found == [encoding.ids for encoding in reference.encode_batch(texts)]
    config["add_eos_token"], config["add_bos_token"] = True, False
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    plain = [encoding.ids for encoding in reference.encode_batch(texts, add_special_tokens=False)]
    assert run_tokenize(tmp_path, texts, tmp_path) == [ids + [2] for ids in plain]


PIECES = [*SPECIAL, *BYTES, ("a", -1.0, 1)]
REFUSED = {
    "unigram": (model_file(PIECES, trainer=message(f3=1)), {}, "a model of type unigram"),
    "normalization": (model_file(PIECES, rules=message(f2=b"x", f4=0)), {}, "a normalization table"),
    "extra_spaces": (model_file(PIECES, rules=message(f1="identity")), {}, "the removal of extra white space"),
    "user_defined": (model_file([*PIECES, ("<x>", 0.0, 4)]), {}, "'<x>': a user-defined"),
    "twice": (model_file([*PIECES, ("a", -2.0, 1)]), {}, "'a' stands twice"),
    "text": (b"hello", {}, "not a SentencePiece model"),
    "cut": (model_file(PIECES)[:-3], {}, "not a SentencePiece model"),
    "empty": (b"", {}, "not a SentencePiece model"),
    "class": (model_file(PIECES), dict(tokenizer_class="XLMRobertaTokenizer"), "'XLMRobertaTokenizer' is not supported"),
    "legacy": (model_file(PIECES), dict(legacy=False), "key 'legacy': false is not supported"),
    "unknown_token": (model_file(PIECES), dict(pad_token="<pad>"), "the token '<pad>' has no id"),
    "bos": (model_file(PIECES[2:]), {}, "the token '<s>' has no id"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_run_is_refused_by_name(name, tmp_path):
    model, config, message_part = REFUSED[name]
    (tmp_path / "tokenizer.model").write_bytes(model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "texts.jsonl").write_text('{"text": "x"}\n')
    command = [BINARY, "tokenize", "--model", tmp_path, "--data", tmp_path / "texts.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert message_part in done.stderr
