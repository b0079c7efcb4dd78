"""Models whose family sagesan does not know: moments from scripts/collect_moments, weights against the float64 oracle."""
import copy
import json
import subprocess
import sys

import pytest
from transformers import CohereConfig, OPTConfig, StableLmConfig, Starcoder2Config

import families
import oracle
from conftest import BUILD, ROOT, make_model, perturb, random_texts, write_ids
from test_sanitize import FEW, MANY, compare_loaded

CONFIGS = {
    "stablelm": StableLmConfig(**families.SIZES, **families.SPECIAL),
    "starcoder2_tied": Starcoder2Config(**families.SIZES, **families.SPECIAL, tie_word_embeddings=True),
    "cohere": CohereConfig(**families.SIZES, **families.SPECIAL),
}


def collect(directory, *words):
    command = [sys.executable, ROOT / "scripts" / "collect_moments", "--base", directory / "base", "--retain",
               directory / "retain.jsonl", "--out", directory / "moments.safetensors", "--sagesan", BUILD / "sagesan"]
    return subprocess.run([*map(str, command), *words], capture_output=True, text=True)


@pytest.mark.parametrize("lengths", [MANY, FEW], ids=["many_tokens", "few_tokens"])
@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle(name, lengths, sagesan, tmp_path):
    base = make_model(CONFIGS[name])
    unlearned = perturb(copy.deepcopy(base))
    base.save_pretrained(tmp_path / "base")
    unlearned.save_pretrained(tmp_path / "unlearned")
    texts = random_texts(families.VOCABULARY, lengths)
    write_ids(tmp_path / "retain.jsonl", texts)
    done = collect(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not covered" not in done.stderr
    sagesan("sanitize", "--base", tmp_path / "base", "--unlearned", tmp_path / "unlearned", "--moments",
            tmp_path / "moments.safetensors", "--out", tmp_path / "out", "--strength", 3, "--energy", 0.8)
    compare_loaded(tmp_path / "out", base, unlearned, *oracle.sanitize(base, unlearned, texts, 3, 0.8))
    report = json.loads((tmp_path / "out" / "sagesan_report.json").read_text())
    assert report["model"]["architecture"] == type(base).__name__
    assert all(row["treatment"] == "solved" for row in report["tensors"])


def test_energy_1_with_a_tied_head(sagesan, tmp_path):
    """Linear modules need no directions then; the rows of a tied embedding do."""
    base = make_model(CONFIGS["starcoder2_tied"])
    unlearned = perturb(copy.deepcopy(base))
    base.save_pretrained(tmp_path / "base")
    unlearned.save_pretrained(tmp_path / "unlearned")
    texts = random_texts(families.VOCABULARY, MANY)
    write_ids(tmp_path / "retain.jsonl", texts)
    assert collect(tmp_path).returncode == 0
    sagesan("sanitize", "--base", tmp_path / "base", "--unlearned", tmp_path / "unlearned", "--moments",
            tmp_path / "moments.safetensors", "--out", tmp_path / "out", "--strength", 3, "--method", "ridge")
    compare_loaded(tmp_path / "out", base, unlearned, *oracle.sanitize(base, unlearned, texts, 3, 1))


def test_without_moments_the_error_names_the_way(tmp_path):
    make_model(CONFIGS["stablelm"]).save_pretrained(tmp_path / "base")
    write_ids(tmp_path / "retain.jsonl", [[1, 2, 3]])
    done = subprocess.run([BUILD / "sagesan", "collect", "--base", tmp_path / "base", "--retain", tmp_path / "retain.jsonl",
                           "--out", tmp_path / "m.safetensors"], capture_output=True, text=True)
    assert done.returncode == 3
    for fragment in ("StableLmForCausalLM", "LlamaForCausalLM", "--moments", "scripts/collect_moments"):
        assert fragment in done.stderr
