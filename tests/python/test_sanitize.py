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

import families
import oracle
from conftest import make_model, perturb, random_texts, save_state, write_ids

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
    ours, rows = run(sagesan, tmp_path, strength=1, energy=1, **{"token-cap": 0.8})
    expected, _ = oracle.sanitize(base, unlearned, texts, 1, 1, token_cap=0.8)
    before, after = dict(base.named_parameters()), dict(unlearned.named_parameters())
    for key, value in expected.items():
        update = (after[key].double() - before[key].double()).norm()
        assert (ours[key].double() - value).norm() < 1e-5 * update, key


@pytest.mark.parametrize("lengths", [MANY, FEW], ids=["many_tokens", "few_tokens"])
@pytest.mark.parametrize("strength, floor", [(1, 1), (10, 0.1)])
def test_forget_aware_agrees_with_the_oracle(strength, floor, lengths, sagesan, tmp_path):
    base, unlearned, texts = make_pair(tmp_path, "llama", lengths)
    forget = [text[::-1] for text in texts[::2]]
    write_ids(tmp_path / "forget.jsonl", forget)
    ours, _ = run(sagesan, tmp_path, strength=strength, forget=tmp_path / "forget.jsonl", **{"anchor-floor": floor})
    before, after = dict(base.named_parameters()), dict(unlearned.named_parameters())
    expected = oracle.forget_aware(base, unlearned, texts, forget, strength, floor)
    assert len(expected) == 3 * 7 + 1
    for key, value in expected.items():
        update = (after[key].double() - before[key].double()).norm()
        assert (ours[key].double() - value).norm() < 1e-5 * update, key


@pytest.mark.parametrize("lengths", [MANY, FEW], ids=["many_tokens", "few_tokens"])
@pytest.mark.parametrize("name", ["llama", "llama_tied_biases"])
def test_rollback_agrees_with_the_oracle(name, lengths, sagesan, tmp_path):
    """Channel by channel: what the formula ranks highest is the base's, bit for bit, all else the unlearned one's."""
    base, unlearned, texts = make_pair(tmp_path, name, lengths)
    ours, rows = run(sagesan, tmp_path, method="rollback", share=0.25)
    before, after = dict(base.named_parameters()), dict(unlearned.named_parameters())
    kinds = {name: row["kind"] for name, row in rows.items()}
    for key, scores in oracle.rollback_scores(base, unlearned, texts).items():
        if scores is None:
            assert kinds[key] == "bias" and torch.equal(ours[key], after[key]), key
            continue
        d = after[key] - before[key]
        lines = ours[key].T if d.ndim == 2 and "embed" not in key else ours[key]
        old, new = (values[key].T if lines is not ours[key] else values[key] for values in (before, after))
        candidates = [j for j in range(len(scores)) if scores[j] > -torch.inf]
        ranked = sorted(candidates, key=lambda j: (-scores[j].item(), j))
        count = max(1, int(0.25 * len(ranked) + 0.5))
        edge = (scores[ranked[count - 1]] - scores[ranked[count]]).item()
        # Float32 hidden states: scores nearer than that are a toss-up. Equal ones are not: the first goes back.
        assert edge == 0 or edge > 1e-6 * scores[ranked[0]].item(), key
        assert rows[key]["channels_rolled_back"] == count and rows[key]["channels_eligible"] == len(ranked), key
        back = set(ranked[:count])
        for j in range(len(scores)):
            assert torch.equal(lines[j], (old if j in back else new)[j]), (key, j)
    assert sorted(set(kinds.values())) == (["bias", "linear", "norm", "tied_embedding"] if "tied" in name else
                                           ["embedding", "linear", "norm"])


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "mixtral", "qwen3_moe", "phi_norms"])
def test_rollback_of_all_channels_is_the_base_in_every_layout(name, sagesan, tmp_path):
    """Transposed weights, experts in one tensor, norms with an offset. Tokens no text has and biases stay."""
    base = make_model(families.CONFIGS[name])
    unlearned = perturb(copy.deepcopy(base))
    for side, model in (("base", base), ("unlearned", unlearned)):
        model.save_pretrained(tmp_path / side)
        if "moe" in name or name == "mixtral":
            save_state(model, tmp_path / side)
    write_ids(tmp_path / "retain.jsonl", random_texts(families.VOCABULARY, MANY))
    ours, rows = run(sagesan, tmp_path, method="rollback", share=1)
    before, after = (load_file(tmp_path / side / "model.safetensors") for side in ("base", "unlearned"))
    experts = 0
    for key, row in rows.items():
        tensor, _, expert = key.partition("[")
        index = int(expert[:-1]) if expert else ...
        value, old, new = (tensors[tensor][index] for tensors in (ours, before, after))
        assert row["treatment"] == ("kept" if row["kind"] == "bias" else "solved"), key
        experts += row["expert"] is not None
        if row["kind"] in ("linear", "norm", "tied_embedding"):
            assert torch.equal(value, old), key
        elif row["kind"] == "embedding":
            back = (value == old).all(1)
            assert (back | (value == new).all(1)).all() and back.sum() == row["channels_rolled_back"], key
        elif row["kind"] == "bias":
            assert torch.equal(value, new), key
    assert (experts > 0) == ("moe" in name or name == "mixtral")
    assert {"linear", "norm"} < {row["kind"] for row in rows.values()}


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


FAMILIES = ["llama", "mistral_window", "qwen2_tied", "qwen3", "qwen3_tied", "phi", "phi_norms", "phi3_tied",
            "phi3_longrope", "gemma", "gemma2", "gemma3_scaled", "olmo2_biases", "gpt_neox", "gpt_neox_serial", "gpt2",
            "gpt2_untied", "mixtral", "qwen2_moe_normalized", "qwen3_moe_dense_layers"]
SETTINGS = {"many": (MANY, 3, 0.8), "few": (FEW, 10, 1)}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_agrees_with_the_oracle(name, setting, sagesan, tmp_path):
    """Through the files: the output loads in transformers, and is what the oracle makes of the models in memory."""
    lengths, strength, energy = SETTINGS[setting]
    base = make_model(families.CONFIGS[name])
    unlearned = perturb(copy.deepcopy(base))
    base.save_pretrained(tmp_path / "base")
    unlearned.save_pretrained(tmp_path / "unlearned")
    texts = random_texts(families.VOCABULARY, lengths)
    write_ids(tmp_path / "retain.jsonl", texts)
    run(sagesan, tmp_path, strength=strength, energy=energy)
    compare_loaded(tmp_path / "out", base, unlearned, *oracle.sanitize(base, unlearned, texts, strength, energy))


def test_every_family_is_sanitized(sagesan):
    table = {row["architecture"] for row in json.loads(sagesan("families", "--json"))}
    assert {families.architecture(families.CONFIGS[name]) for name in FAMILIES} == table


def compare_loaded(directory, base, unlearned, expected, ranks):
    """2e-5 of each tensor's update, as a small gap between eigenvalues enlarges what float32 hidden states lose; not where
    an energy sum lies so near the threshold that ranks may differ.
    """
    loaded = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    ours, before, after = (dict(model.named_parameters()) for model in (loaded, base, unlearned))
    assert set(ours) == set(expected)
    near = [key for key, (_, margin) in ranks.items() if margin < 1e-5]
    assert len(near) < len(ranks) / 3
    for key, value in expected.items():
        update = (after[key].double() - before[key].double()).norm()
        if key not in near:
            assert (ours[key].double() - value).norm() < 2e-5 * update, key


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_fused_experts_agree_with_those_one_by_one(name, sagesan, tmp_path):
    """The same models as two checkpoints: their tensors in memory, and as transformers writes them."""
    base = make_model(families.CONFIGS[name])
    unlearned = perturb(copy.deepcopy(base))
    write_ids(tmp_path / "retain.jsonl", random_texts(families.VOCABULARY, MANY))
    outputs = []
    for layout in ("single", "fused"):
        for side, model in (("base", base), ("unlearned", unlearned)):
            path = tmp_path / layout / side
            model.save_pretrained(path) if layout == "single" else save_state(model, path)
        (tmp_path / layout / "retain.jsonl").symlink_to(tmp_path / "retain.jsonl")
        tensors, rows = run(sagesan, tmp_path / layout, strength=3, energy=0.8)
        outputs.append((tensors, rows, AutoModelForCausalLM.from_pretrained(tmp_path / layout / "out")))
    (_, single_rows, single), (fused, fused_rows, together) = outputs
    assert fused["model.layers.0.mlp.experts.down_proj"].ndim == 3
    assert "model.layers.0.mlp.experts.down_proj[2]" in fused_rows
    after = dict(unlearned.named_parameters())
    for (key, a), b in zip(single.named_parameters(), together.parameters()):
        # Gate and up in one product or in two: rounding in the hidden states.
        assert (a - b).norm() < 1e-5 * (a - after[key]).norm(), key
    seen = [{site: row["tokens"] for site, row in sites_of(tmp_path / layout).items()} for layout in ("single", "fused")]
    assert seen[0] == seen[1] and seen[0]["layers.0.experts.2.hidden"] > 0


def sites_of(directory):
    return json.loads((directory / "out" / "sagesan_report.json").read_text())["sites"]


def test_an_expert_without_tokens_keeps_its_update(sagesan, tmp_path):
    base = make_model(families.CONFIGS["qwen3_moe"])
    unlearned = perturb(copy.deepcopy(base), only="experts")
    base.save_pretrained(tmp_path / "base")
    unlearned.save_pretrained(tmp_path / "unlearned")
    write_ids(tmp_path / "retain.jsonl", [[7, 8]])  # two tokens, each to two of six experts
    ours, rows = run(sagesan, tmp_path)
    sites = sites_of(tmp_path)
    unseen = [e for e in range(6) if sites[f"layers.1.experts.{e}.input"]["tokens"] == 0]
    assert 2 <= len(unseen) <= 4
    stored = load_file(tmp_path / "unlearned" / "model.safetensors")
    for e in range(6):
        key = f"model.layers.1.mlp.experts.{e}.down_proj.weight"
        assert rows[key]["treatment"] == ("kept" if e in unseen else "solved")
        assert torch.equal(ours[key], stored[key]) == (e in unseen)


def test_a_dead_expert_keeps_its_update_and_hinders_nothing(sagesan, tmp_path):
    """Its hidden states are all zero although tokens reach it; others are sanitized, from collected moments too."""
    base = make_model(families.CONFIGS["mixtral"])
    with torch.no_grad():
        base.model.layers[1].mlp.experts.gate_up_proj[3] = 0
    base.save_pretrained(tmp_path / "base")
    perturb(copy.deepcopy(base), only="down_proj").save_pretrained(tmp_path / "unlearned")
    write_ids(tmp_path / "retain.jsonl", random_texts(families.VOCABULARY, MANY))
    direct, rows = run(sagesan, tmp_path)
    pattern = "model.layers.1.block_sparse_moe.experts.{}.w2.weight"
    assert [rows[pattern.format(e)]["treatment"] for e in range(5)] == ["solved"] * 3 + ["kept", "solved"]
    assert sites_of(tmp_path)["layers.1.experts.3.hidden"]["tokens"] > 0
    sagesan("collect", "--base", tmp_path / "base", "--retain", tmp_path / "retain.jsonl", "--out", tmp_path / "m")
    sagesan("sanitize", "--base", tmp_path / "base", "--unlearned", tmp_path / "unlearned", "--moments", tmp_path / "m",
            "--out", tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[key], value) for key, value in direct.items())


def test_one_expert_alone_needs_one_decomposition(sagesan, tmp_path):
    base = make_model(families.CONFIGS["mixtral"])
    base.save_pretrained(tmp_path / "base")
    perturb(copy.deepcopy(base)).save_pretrained(tmp_path / "unlearned")
    write_ids(tmp_path / "retain.jsonl", random_texts(families.VOCABULARY, MANY))
    _, rows = run(sagesan, tmp_path, include=r"layers\.1.*experts\.2\.w2")
    sites = sites_of(tmp_path)
    assert [site for site, row in sites.items() if row["rank"] is not None] == ["layers.1.experts.2.hidden"]
    assert len(sites) == 5 and all(row["tokens"] > 0 for row in sites.values())


def test_collected_moments_of_experts_give_the_same_bytes(sagesan, tmp_path):
    base = make_model(families.CONFIGS["qwen2_moe"])
    base.save_pretrained(tmp_path / "base")
    perturb(copy.deepcopy(base)).save_pretrained(tmp_path / "unlearned")
    write_ids(tmp_path / "retain.jsonl", random_texts(families.VOCABULARY, MANY))
    direct, _ = run(sagesan, tmp_path)
    sagesan("collect", "--base", tmp_path / "base", "--retain", tmp_path / "retain.jsonl", "--out",
            tmp_path / "moments.safetensors")
    sagesan("sanitize", "--base", tmp_path / "base", "--unlearned", tmp_path / "unlearned", "--moments",
            tmp_path / "moments.safetensors", "--out", tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[key], value) for key, value in direct.items())


def load(directory):
    """In float32 from the file: converting a running bf16 model would keep its RoPE frequencies rounded."""
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def test_bf16_within_one_rounding(sagesan, tmp_path):
    *_, texts = make_pair(tmp_path, "llama", MANY, torch.bfloat16)
    ours, rows = run(sagesan, tmp_path, strength=1)
    base, unlearned = load(tmp_path / "base"), load(tmp_path / "unlearned")
    expected, ranks = oracle.sanitize(base, unlearned, texts, 1, 0.95)
    for key, value in expected.items():
        assert ours[key].dtype == torch.bfloat16
        if key in ranks and rows[key]["rank"] != ranks[key][0]:
            rank, margin = ranks[key]
            assert abs(rows[key]["rank"] - rank) == 1 and margin < 1e-5, key
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
