"""`sagesan sanitize` against a float64 oracle on every tensor kind, and its output in transformers.

Float32 checkpoints: 1e-5 of the update's norm per tensor at equal rank; ranks may differ by one only where the energy
sum lies within 1e-5 of the threshold. bf16: within one rounding.
"""
import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

import oracle
from conftest import make_model, perturb, random_texts, write_ids

SIZES = dict(vocab_size=131, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=64)
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama_tied_biases": LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "mistral": MistralConfig(**SIZES, sliding_window=7),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2_tied": Qwen2Config(**SIZES, tie_word_embeddings=True),
}
MANY, FEW = [20, 33, 7, 50, 1] * 4, [9, 20, 1]  # tokens: more than any site's channels, and fewer


def make_pair(directory, name, lengths, dtype=torch.float32, shard_size=None):
    base = make_model(CONFIGS[name]).to(dtype)
    unlearned = perturb(copy.deepcopy(base))
    words = {"max_shard_size": shard_size} if shard_size else {}
    base.save_pretrained(directory / "base")
    unlearned.save_pretrained(directory / "unlearned", **words)
    texts = random_texts(SIZES["vocab_size"], lengths)
    write_ids(directory / "retain.jsonl", texts)
    return base, unlearned, texts


def run(sagesan, directory, **options):
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    sagesan("sanitize", "--base", directory / "base", "--unlearned", directory / "unlearned", "--retain",
            directory / "retain.jsonl", "--out", directory / "out", *words)
    report = json.loads((directory / "out" / "sagesan_report.json").read_text())
    tensors = {}
    for file in sorted((directory / "out").glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors, {row["name"]: row for row in report["tensors"]}


@pytest.mark.parametrize("lengths", [MANY, FEW], ids=["many_tokens", "few_tokens"])
@pytest.mark.parametrize("strength, energy, other", [(1, 0.95, "shrink"), (5, 0.7, "keep"), (10, 1, "base")])
@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle(name, strength, energy, other, lengths, sagesan, tmp_path):
    base, unlearned, texts = make_pair(tmp_path, name, lengths)
    ours, rows = run(sagesan, tmp_path, strength=strength, energy=energy, other=other)
    expected, ranks = oracle.sanitize(base, unlearned, texts, strength, energy, other)
    before = dict(base.named_parameters())
    assert set(ours) == set(expected)
    for key, value in expected.items():
        if key in ranks and rows[key]["rank"] is not None and energy < 1:
            rank, margin = ranks[key]
            if rows[key]["rank"] != rank:
                assert abs(rows[key]["rank"] - rank) == 1 and margin < 1e-5, key
                continue
        update = (dict(unlearned.named_parameters())[key].double() - before[key].double()).norm()
        assert (ours[key].double() - value).norm() < 1e-5 * update, key


@pytest.mark.parametrize("lengths", [MANY, FEW], ids=["many_tokens", "few_tokens"])
def test_token_cap_agrees_with_the_oracle(lengths, sagesan, tmp_path):
    base, unlearned, texts = make_pair(tmp_path, "llama_tied_biases", lengths)
    ours, rows = run(sagesan, tmp_path, **{"energy": 1, "token-cap": 0.8})
    expected, _ = oracle.sanitize(base, unlearned, texts, 1, 1, token_cap=0.8)
    before, after = dict(base.named_parameters()), dict(unlearned.named_parameters())
    for key, value in expected.items():
        update = (after[key].double() - before[key].double()).norm()
        assert (ours[key].double() - value).norm() < 1e-5 * update, key


def test_target_bias_is_met_by_the_stored_weights(sagesan, tmp_path):
    """The share of the bias that is left, computed from the files alone, is the one asked for."""
    base, unlearned, texts = make_pair(tmp_path, "qwen2", MANY)
    ours, rows = run(sagesan, tmp_path, **{"energy": 1, "target-bias": 0.25, "carrier-gain": 1.5})
    inputs = oracle.collect(base, texts)
    before, after = dict(base.named_parameters()), dict(unlearned.named_parameters())
    linear = [key for key, row in rows.items() if row["kind"] == "linear"]
    assert len(linear) == 3 * 7 + 1
    for key in linear:
        x = inputs[key.removesuffix(".weight")]
        bias = [((weight.double() - before[key].double()) @ x.T).square().sum() for weight in (after[key], ours[key])]
        assert (bias[1] / bias[0]).item() == pytest.approx(0.25, rel=1e-3), key


def load(directory):
    """In float32 from the file: converting a running bf16 model would keep its RoPE frequencies rounded."""
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def test_bf16_within_one_rounding(sagesan, tmp_path):
    *_, texts = make_pair(tmp_path, "llama", MANY, torch.bfloat16)
    ours, rows = run(sagesan, tmp_path)
    base, unlearned = load(tmp_path / "base"), load(tmp_path / "unlearned")
    expected, ranks = oracle.sanitize(base, unlearned, texts, 1, 0.95)
    for key, value in expected.items():
        assert ours[key].dtype == torch.bfloat16
        if key in ranks and rows[key]["rank"] != ranks[key][0]:
            continue
        # One unit in the last of bf16's 8 bits, of the value itself; next to zero, where units are smaller than the
        # float32 solver's own error, that error.
        unit = torch.exp2(torch.floor(torch.log2(value.abs().clamp_min(1e-30))) - 7)
        assert ((ours[key].double() - value).abs() <= unit + 1e-7).all(), key


def test_reported_bias_is_that_of_the_stored_weights(sagesan, tmp_path):
    _, unlearned, texts = make_pair(tmp_path, "llama", MANY, torch.bfloat16)
    ours, rows = run(sagesan, tmp_path, strength=3)
    base = load(tmp_path / "base")
    inputs = oracle.collect(base, texts)
    for key, row in rows.items():
        if row["kind"] != "linear":
            continue
        x = inputs[key.removesuffix(".weight")]
        w0 = base.state_dict()[key].double()
        for field, weight in (("bias_before", unlearned.state_dict()[key]), ("bias_after", ours[key])):
            bias = ((weight.double() - w0) @ x.T).square().sum() / (w0 @ x.T).square().sum()
            assert row[field] == pytest.approx(bias.item(), rel=1e-4), (key, field)


def test_output_loads_whole_in_transformers(sagesan, tmp_path):
    _, unlearned, _ = make_pair(tmp_path, "llama_tied_biases", MANY, torch.bfloat16, shard_size="60KB")
    assert len(list((tmp_path / "unlearned").glob("*.safetensors"))) > 2
    ours, _ = run(sagesan, tmp_path)
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto", output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info[problem], (problem, info[problem])
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    for key, value in model.named_parameters():
        assert torch.equal(value, ours[key]), key
    names = {path.name for path in (tmp_path / "unlearned").iterdir()}
    assert names <= {path.name for path in (tmp_path / "out").iterdir()}


def test_only_what_changed_is_touched(sagesan, tmp_path):
    base = make_model(CONFIGS["llama"])
    base.save_pretrained(tmp_path / "base")
    unlearned = perturb(copy.deepcopy(base), only="layers.1.mlp.down_proj")
    unlearned.save_pretrained(tmp_path / "unlearned")
    write_ids(tmp_path / "retain.jsonl", random_texts(SIZES["vocab_size"], MANY))
    ours, rows = run(sagesan, tmp_path)
    assert list(rows) == ["model.layers.1.mlp.down_proj.weight"]
    report = json.loads((tmp_path / "out" / "sagesan_report.json").read_text())
    assert report["layers_run"] == 2 and list(report["sites"]) == ["layers.1.mlp_hidden"]
    for key, value in unlearned.state_dict().items():
        assert torch.equal(ours[key], value) == (key not in rows), key


def test_tied_head_that_is_stored_too_follows_the_embedding(sagesan, tmp_path):
    make_pair(tmp_path, "qwen2_tied", MANY)
    for side in ("base", "unlearned"):
        file = tmp_path / side / "model.safetensors"
        tensors = load_file(file)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        save_file(tensors, file, metadata={"format": "pt"})
    ours, rows = run(sagesan, tmp_path)
    before = load_file(tmp_path / "unlearned" / "model.safetensors")
    assert torch.equal(ours["lm_head.weight"], ours["model.embed_tokens.weight"])
    assert not torch.equal(ours["lm_head.weight"], before["lm_head.weight"])
    assert "lm_head.weight" not in rows
