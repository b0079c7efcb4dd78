"""SmolLM2-135M-Instruct, from a PyPI package, against transformers in float32.

Tolerance: the largest absolute difference of the logits is at most 1e-4 of their standard deviation, or twice the
difference between two summation orders of transformers itself (one thread against two, eager against its fused
attention), where that is larger.
"""
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT, forward

TEXTS = [
    "The capital of France is",
    "Question: Who wrote the novel?\nAnswer: Nobody knows.",
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Über die Größe der Bäume: 1234567890, 한국어, русский, עברית, 🌲🌳.",
    " ".join(f"In the year {1500 + i} the river rose {i} times and fell again." for i in range(40)),
]


@pytest.fixture(scope="module")
def directory():
    out = ROOT / "build" / "models" / "smollm2"
    if not (out / "model.safetensors").exists():
        done = subprocess.run([sys.executable, ROOT / "scripts" / "smollm2_convert.py", "--out", out],
                              capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip("SmolLM2 cannot be had here: " + done.stderr.strip().splitlines()[-1])
    return out


def logits_of(directory, texts, attention, threads):
    from transformers import AutoModelForCausalLM

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation=attention).eval()
    with torch.no_grad():
        result = torch.cat([model(torch.tensor([ids])).logits[0] for ids in texts])
    torch.set_num_threads(before)
    return result


def test_logits_and_ids(directory, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    texts = [tokenizer.encode(text).ids for text in TEXTS]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    forward([(directory, tmp_path / "texts.jsonl", tmp_path / "out.safetensors")])
    ours = load_file(tmp_path / "out.safetensors")["logits"]

    eager = logits_of(directory, texts, "eager", 1)
    other = logits_of(directory, texts, "sdpa", 2)
    assert ours.shape == eager.shape  # so the ids are as many, and the comparison below is of the same tokens
    scale = eager.std()
    orders = ((eager - other).abs().max() / scale).item()
    worst = ((ours - eager).abs().max() / scale).item()
    print(f"largest difference / standard deviation: {worst:.2e}; between two orders: {orders:.2e}")
    assert worst <= max(1e-4, 2 * orders), (worst, orders)
