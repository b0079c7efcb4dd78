"""The decoder against transformers in float32: logits of all tokens and the second moments of all sites.

Tolerances: 1e-4 of the logits' standard deviation, 1e-5 of each moment's norm.
"""
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from conftest import forward, make_model, random_texts, save_state, write_ids
from families import CONFIGS, VOCABULARY, architecture, expert_modules, is_norm, normalized, sites
from published import PUBLISHED

# Shorter and longer than the window, the original context and the whole context; one token alone.
LENGTHS = [1, 5, 31, 40, 64, 90]
SEEDS = [0, 1]
# The same models as a checkpoint may hold them otherwise: experts fused as in memory, names without their prefix.
FUSED = ["mixtral", "qwen2_moe", "qwen3_moe"]


def save_published(name, directory):
    """A checkpoint whose config.json is spelled as the published one."""
    text = json.dumps(PUBLISHED[name])
    directory.mkdir()
    (directory / "config.json").write_text(text)
    make_model(AutoConfig.from_pretrained(directory)).save_pretrained(directory)
    (directory / "config.json").write_text(text)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(name, seed) -> the directory with model, texts and our output."""
    directories, runs = {}, []

    def add(key, save):
        name, seed = key
        directory = directories[key] = tmp_path_factory.mktemp(name)
        config = CONFIGS[name.removesuffix("+state")]
        save(make_model(config, seed), directory / "model")
        write_ids(directory / "texts.jsonl", random_texts(VOCABULARY, LENGTHS, seed))
        runs.append((directory / "model", directory / "texts.jsonl", directory / "out.safetensors"))

    for name in CONFIGS:
        for seed in SEEDS:
            add((name, seed), lambda model, path: model.save_pretrained(path))
    for name in FUSED:
        add((name + "+state", 0), save_state)
    add(("gpt2+state", 0), lambda model, path: save_state(model, path, "transformer."))
    for name in PUBLISHED:
        directory = directories[name, 0] = tmp_path_factory.mktemp(name)
        save_published(name, directory / "model")
        write_ids(directory / "texts.jsonl", random_texts(VOCABULARY, LENGTHS))
        runs.append((directory / "model", directory / "texts.jsonl", directory / "out.safetensors"))
    forward(runs)
    return directories


def add_expert_moments(sums, index, module, x, chosen, weights):
    """Sums over the tokens that each expert sees, times the squared routing weight; of its input and of what `down_proj`
    reads."""
    for expert in range(module.num_experts):
        position, token = torch.where(chosen.T == expert)
        w = weights[token, position].double()
        gate, up = torch.nn.functional.linear(x[token], module.gate_up_proj[expert]).chunk(2, dim=-1)
        for site, values in (("input", x[token]), ("hidden", module.act_fn(gate) * up)):
            values = values.double() * w[:, None]
            key = f"layers.{index}.experts.{expert}.{site}"
            sums[key] = sums.get(key, 0) + values.T @ values


def observe(model, sums):
    """Adds the second moment of every site, whatever runs through the model, to `sums`: of norms the diagonal."""
    for site, module in sites(model).items():
        def hook(module, inputs, site=site):
            x = inputs[0].reshape(-1, inputs[0].shape[-1])
            if is_norm(module):
                sums[site] = sums.get(site, 0) + normalized(module, x).double().pow(2).sum(0)
            else:
                sums[site] = sums.get(site, 0) + x.double().T @ x.double()
        module.register_forward_pre_hook(hook)
    for index, module in expert_modules(model).items():
        module.register_forward_pre_hook(
            lambda module, inputs, index=index: add_expert_moments(sums, index, module, *inputs))


def expected_results(model, seed):
    sums = {}
    observe(model, sums)
    logits = []
    with torch.no_grad():
        for text in random_texts(VOCABULARY, LENGTHS, seed):
            # A text alone, in a model of its own state: dynamic RoPE remembers the longest text so far.
            rotary = getattr(getattr(model, "model", None), "rotary_emb", None)
            if hasattr(rotary, "max_seq_len_cached"):
                model.model.rotary_emb = type(rotary)(config=model.config)
            logits.append(model(torch.tensor([text]), use_cache=False).logits[0])
    return torch.cat(logits), sums


@pytest.mark.parametrize("name, seed", [(name, seed) for name in CONFIGS for seed in SEEDS] +
                         [(name + "+state", 0) for name in [*FUSED, "gpt2"]])
def test_logits_and_moments(name, seed, results):
    model = make_model(CONFIGS[name.removesuffix("+state")], seed)
    compare(results[name, seed], *expected_results(model, seed))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations(name, results):
    model = make_model(AutoConfig.from_pretrained(results[name, 0] / "model"))
    compare(results[name, 0], *expected_results(model, 0))


def compare(directory, expected, sums):
    ours = load_file(directory / "out.safetensors")
    worst = (ours["logits"] - expected).abs().max() / expected.std()
    assert worst < 1e-4, worst
    seen = {site for site in sums if torch.any(sums[site] != 0)}
    assert {key.removesuffix(".sum") for key in ours if key.endswith(".sum")} == seen
    for site in seen:
        error = (ours[site + ".sum"] - sums[site]).norm() / sums[site].norm()
        assert error < 1e-5, (site, error)


def test_every_family_is_compared(sagesan):
    table = {row["architecture"] for row in json.loads(sagesan("families", "--json"))}
    assert {architecture(config) for config in CONFIGS.values()} == table
