"""The speed of our tokenizer against Hugging Face's `tokenizers`: the same 20 MB, one thread, encoding alone.

    build/python/bin/python tests/python/bench_tokenizer.py [KIND ...]      kinds of pipelines.py; default gpt2 llama3 llama2

Both run twice in turn, each in a fresh process, and the better time of each counts. The texts are sources of the standard
library, cut to 4 kB, and generated text of many scripts, half of the bytes each.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from pipelines import KINDS
from varied_texts import common_texts, source_texts
from vocabularies import ROOT, extract_vocabularies

BUILD = pathlib.Path(os.environ.get("SAGESAN_BUILD", ROOT / "build/release"))
BYTES = 20_000_000
THEIRS = """
import sys, time, tokenizers
tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
texts = open(sys.argv[2], encoding="utf-8", newline="").read().split("\\0")[:-1]
start = time.perf_counter()
ids = 0
for begin in range(0, len(texts), 100):
    ids += sum(len(encoding) for encoding in tokenizer.encode_batch_fast(texts[begin : begin + 100]))
print(time.perf_counter() - start, ids)
"""


def make_texts():
    rng = random.Random(5)
    sources = [text[i : i + 4000] for text in source_texts(12_000_000) for i in range(0, len(text), 4000)]
    others = common_texts(source_bytes=0)
    texts = []
    for some in (sources, others):
        size = 0
        while size < BYTES / 2:
            text = rng.choice(some).replace("\0", " ")
            texts.append(text)
            size += len(text.encode())
    rng.shuffle(texts)
    return texts


def run(command):
    alone = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    seconds, ids = subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout.split()
    return float(seconds), int(ids)


def main(kinds):
    folder = extract_vocabularies()
    with tempfile.TemporaryDirectory() as scratch:
        texts = pathlib.Path(scratch, "texts")
        texts.write_bytes(b"".join(text.encode() + b"\0" for text in make_texts()))
        print(f"{texts.stat().st_size} bytes")
        for kind in kinds:
            description = KINDS[kind](lambda name: json.loads((folder / f"{name}.json").read_text()))
            path = pathlib.Path(scratch, "tokenizer.json")
            path.write_text(json.dumps(description))
            commands = [[BUILD / "sagesan_bench_tokenizer", path, texts], [sys.executable, "-c", THEIRS, path, texts]]
            results = [run(command) for _ in range(2) for command in commands]
            assert len({ids for _, ids in results}) == 1, results
            ours, theirs = (min(results[i][0], results[i + 2][0]) for i in (0, 1))
            print(f"{kind}: sagesan {ours:.2f} s, tokenizers {theirs:.2f} s, {theirs / ours:.2f} times as fast")


main(sys.argv[1:] or ["gpt2", "llama3", "llama2"])
