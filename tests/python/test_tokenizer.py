"""Token ids of `sagesan tokenize` against Hugging Face's `tokenizers`: the pipelines of pipelines.py on their real
vocabularies, each on more than 5 MB of varied text.

Environment: SAGESAN_BIN (default build/release/sagesan).
"""

import json
import os
import pathlib
import subprocess

import pytest
from pipelines import KINDS
from varied_texts import common_texts, texts_with
from vocabularies import ROOT, extract_vocabularies

tokenizers = pytest.importorskip("tokenizers")

BINARY = pathlib.Path(os.environ.get("SAGESAN_BIN", ROOT / "build/release/sagesan"))
LEAST_BYTES = 5_000_000


@pytest.fixture(scope="session")
def vocabulary():
    folder = extract_vocabularies()
    return lambda name: json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def common():
    return common_texts()


def run_tokenize(model, texts, folder):
    data = folder / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = [str(BINARY), "tokenize", "-q", "--model", str(model), "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def first_difference(expected, found):
    return next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))


def expect_equal(description, texts, folder):
    """The ids of all texts, and how many there are."""
    (folder / "tokenizer.json").write_text(json.dumps(description))
    reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = [encoding.ids for encoding in reference.encode_batch_fast(texts)]
    found = run_tokenize(folder, texts, folder)
    assert len(found) == len(expected)
    wrong = [i for i in range(len(texts)) if found[i] != expected[i]]
    for i in wrong[:5]:
        at = first_difference(expected[i], found[i])
        near = [reference.id_to_token(token) for token in expected[i][max(at - 3, 0) : at + 4]]
        print(f"text {i} {texts[i][:80]!r} from id {at}: expected {near}, ids {expected[i][at:at+5]}, found {found[i][at:at+5]}")
    assert not wrong, f"{len(wrong)} of {len(texts)} texts differ"
    return sum(map(len, expected))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_equal_hugging_face(kind, vocabulary, common, tmp_path):
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    description = KINDS[kind](vocabulary)
    texts = common + texts_with([token["content"] for token in description["added_tokens"]])
    size = sum(len(text.encode()) for text in texts)
    assert size >= LEAST_BYTES
    ids = expect_equal(description, texts, tmp_path)
    print(f"{kind}: {size} bytes, {len(texts)} texts, {ids} ids equal")
