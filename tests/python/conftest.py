"""Shared by the parity suite: the built programs, and tiny models made on the spot."""
import json
import os
import random
import subprocess
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SAGESAN_BUILD", ROOT / "build" / "release"))


@pytest.fixture(scope="session")
def sagesan():
    """Runs the command line; fails the test when it does not exit with 0."""

    def run(*words):
        done = subprocess.run([BUILD / "sagesan", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def forward(runs):
    """Runs the decoder alone on (model, data, out) triples, in one process: loading libtorch takes a second. Each out
    gets the logits of all tokens and the sites' moments.
    """
    done = subprocess.run([BUILD / "sagesan_forward", *(str(word) for run in runs for word in run)], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


def write_ids(path, texts):
    path.write_text("".join(json.dumps({"input_ids": text}) + "\n" for text in texts))


def random_texts(vocabulary, lengths, seed=0):
    generator = random.Random(seed)
    return [[generator.randrange(vocabulary) for _ in range(length)] for length in lengths]


def make_model(config, seed=0, spread=0.15):
    """A random model whose every parameter differs from its neighbours: norms are not all 1, biases not 0."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    # Eager: the fused attention leaves softcaps out.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model


def perturb(model, scale=0.02, seed=1, only=None):
    """In place: noise on every parameter, or on those whose name contains `only`."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if only is None or only in name:
                parameter.add_(torch.randn(parameter.shape).to(parameter.dtype) * scale)
    return model


def save_state(model, directory, prefix=""):
    """The tensors as they are in memory; names lose `prefix`."""
    model.config.save_pretrained(directory)
    tensors = {name.removeprefix(prefix): value.contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
