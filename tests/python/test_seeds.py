"""Whatever an unlearning system leaves behind: each artefact is made by its real writer (transformers, peft,
torch.save), sanitized, and compared with what the plain pair of full checkpoints gives.
"""
import copy
import json
import subprocess

import families
import pytest
import torch
from adapters import (GPT2, LLAMA, MIXTRAL, QWEN3_MOE, SIZES, TIED, lora, make_adapter, make_routed_adapter,
                      merged_by_peft)
from conftest import BUILD, make_model, perturb, random_texts, save_state, write_ids
from oracle import collect, penalty, solve
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # peft has much to say


class Bench:
    """A directory with base/ and retain.jsonl in which artefacts are made and sanitized."""

    def __init__(self, directory):
        self.directory = directory
        write_ids(directory / "retain.jsonl", random_texts(48, [20, 33, 7, 50]))

    def __truediv__(self, name):
        return self.directory / name

    def command(self, unlearned, out, *words):
        return [BUILD / "sagesan", "sanitize", "--base", self / "base", "--unlearned", self / unlearned, "--retain",
                self / "retain.jsonl", "--out", self / out, *map(str, words)]

    def sanitize(self, unlearned, *words, out="out"):
        """All tensors of the output, and what was said on stderr."""
        done = subprocess.run(self.command(unlearned, out, *words), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return self.tensors(out), done.stderr

    def tensors(self, name):
        return {name: tensor for file in sorted((self / name).glob("*.safetensors"))
                for name, tensor in load_file(file).items()}

    def refuse(self, unlearned, *words):
        done = subprocess.run(self.command(unlearned, "refused", *words), capture_output=True, text=True)
        assert done.returncode == 3, done.stderr
        assert not (self / "refused").exists()
        return done.stderr

    def report(self, out="out"):
        return json.loads((self / out / "sagesan_report.json").read_text())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def make_base(bench, config, dtype=torch.float32):
    model = make_model(config).to(dtype)
    model.save_pretrained(bench / "base")
    return model


def close(actual, expected, base, most=1e-5):
    """Updates agree relative to their largest element."""
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        update = tensor.double() - base[name].double()
        error = (actual[name].double() - tensor.double()).abs().max()
        assert error <= most * update.abs().max(), (name, error.item())


def train_adapter(bench, name, config, seed=3):
    make_adapter(bench / "base", bench / name, config, seed)


def merge(bench, out, *adapters):
    return merged_by_peft(bench / "base", bench / out, *(bench / adapter for adapter in adapters))


ADAPTERS = {
    "lora": (LLAMA, lora()),
    "rslora with patterns": (LLAMA, lora(use_rslora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"o_proj": 9})),
    "embedding": (LLAMA, lora(target_modules=["embed_tokens", "q_proj"])),
    "biases": (LLAMA, lora(bias="all")),
    "bias of B": (LLAMA, lora(lora_bias=True)),
    "saved modules": (LLAMA, lora(modules_to_save=["lm_head", "norm"])),
    "gpt2": (GPT2, lora(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)),
    "experts": (QWEN3_MOE, lora(target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj",
                                                                               "mlp.experts.down_proj"])),
}


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("words", [(), ("--method", "ridge", "--strength", 5), ("--method", "scale")],
                         ids=["sage", "ridge", "scale"])
def test_adapter_merged_and_as_adapter(name, words, bench):
    config, adapter = ADAPTERS[name]
    make_base(bench, config)
    base = bench.tensors("base")
    train_adapter(bench, "adapter", adapter)
    merge(bench, "merged", "adapter")
    expected, _ = bench.sanitize("merged", *words, "--dtype", "f32", out="expected")
    full, said = bench.sanitize("adapter", *words, out="full")
    assert said == ""
    changed = {row["name"].split("[")[0] for row in bench.report("full")["tensors"]}
    close(full, expected, base)
    for tensor, values in base.items():
        assert (tensor in changed) or torch.equal(full[tensor], values)

    bench.sanitize("adapter", *words, "--out-format", "adapter", out="sanitized")
    before, after = load_file(bench / "adapter/adapter_model.safetensors"), bench.tensors("sanitized")
    assert {key: value.shape for key, value in before.items()} == {key: value.shape for key, value in after.items()}
    assert any(not torch.equal(before[key], after[key]) for key in before)
    merge(bench, "merged_after", "sanitized")
    close(bench.tensors("merged_after"), full, base)


def test_head_as_transformers_has_it_in_memory(bench):
    """GPT-NeoX's head is `lm_head` there and `embed_out` in what it saves."""
    model = make_base(bench, families.CONFIGS["gpt_neox"])
    perturb(model).save_pretrained(bench / "saved")
    expected, _ = bench.sanitize("saved", out="expected")
    (bench / "memory").mkdir()
    save_state(model, bench / "memory")
    names = load_file(bench / "memory/model.safetensors").keys()
    assert "lm_head.weight" in names and "embed_out.weight" in load_file(bench / "saved/model.safetensors")
    actual, _ = bench.sanitize("memory")
    assert torch.equal(actual.pop("lm_head.weight"), expected.pop("embed_out.weight"))
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_saved_experts(bench):
    """All experts of a layer are one tensor, `[experts, out, in]`, of which each is solved by itself."""
    model = make_base(bench, MIXTRAL)
    train_adapter(bench, "adapter", lora(target_modules=["q_proj"], modules_to_save=["experts"]))
    save_state(model, bench / "base")
    full, _ = bench.sanitize("adapter", out="full")
    sanitized, _ = bench.sanitize("adapter", "--out-format", "adapter", out="sanitized")
    before, solved = load_file(bench / "adapter/adapter_model.safetensors"), 0
    for name, tensor in sanitized.items():
        if ".experts." in name:
            assert torch.equal(tensor, full[name.removeprefix("base_model.model.")])
            solved += not torch.equal(tensor, before[name])
    assert solved == 4


@pytest.mark.parametrize("words", [(), ("--method", "nullspace"), ("--method", "rollback", "--share", 0.25)],
                         ids=["sage", "nullspace", "rollback"])
def test_adapter_in_float64(bench, words):
    """As one in float32, and at strength 0 not even rounded to that."""
    make_base(bench, LLAMA)
    train_adapter(bench, "adapter", lora(bias="all"))
    expected, _ = bench.sanitize("adapter", "--out-format", "adapter", *words, out="expected")
    path = bench / "adapter/adapter_model.safetensors"
    before = {name: tensor.double() * (1 + 1e-12) for name, tensor in load_file(path).items()}
    save_file(before, path, metadata={"format": "pt"})
    wide, _ = bench.sanitize("adapter", "--out-format", "adapter", *words, out="wide")
    for name, tensor in wide.items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(tensor, expected[name].double(), rtol=1e-4, atol=1e-6)
    if not words:
        same, _ = bench.sanitize("adapter", "--out-format", "adapter", "--strength", 0, out="same")
        assert all(torch.equal(before[name], tensor) for name, tensor in same.items())


def test_adapter_on_bf16_is_never_rounded_before_it_is_sanitized(bench):
    make_base(bench, LLAMA, torch.bfloat16)
    train_adapter(bench, "adapter", lora())
    full, _ = bench.sanitize("adapter")
    exact, _ = bench.sanitize("adapter", "--dtype", "f32", out="exact")
    for name, tensor in full.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, exact[name].bfloat16())


def test_several_adapters_are_summed(bench):
    make_base(bench, LLAMA)
    for i in range(2):
        train_adapter(bench, f"adapter{i}", lora(), seed=i)
    merge(bench, "merged", "adapter0", "adapter1")
    expected, _ = bench.sanitize("merged", "--dtype", "f32", out="expected")
    full, _ = bench.sanitize("adapter0", "--add-adapter", bench / "adapter1")
    close(full, expected, bench.tensors("base"))
    assert "--out-format full" in bench.refuse("adapter0", "--add-adapter", bench / "adapter1", "--out-format",
                                               "adapter")
    assert "is no PEFT adapter" in bench.refuse("merged", "--add-adapter", bench / "adapter1")


def test_what_no_adapter_of_the_same_rank_can_say(bench):
    make_base(bench, TIED)
    train_adapter(bench, "dora", lora(use_dora=True))
    merge(bench, "merged", "dora")
    expected, _ = bench.sanitize("merged", "--dtype", "f32", out="expected")
    full, _ = bench.sanitize("dora", out="full")
    close(full, expected, bench.tensors("base"))
    assert "--out-format full" in bench.refuse("dora", "--out-format", "adapter")
    train_adapter(bench, "tied", lora(target_modules=["embed_tokens"]))
    said = bench.refuse("tied", "--out-format", "adapter")
    assert "it is the head too" in said and "--out-format full" in said
    bench.sanitize("tied", out="tied_full")
    train_adapter(bench, "saved", lora(modules_to_save=["embed_tokens"]))
    assert "peft leaves the head as it was" in bench.refuse("saved")
    assert "this is no PEFT adapter" in bench.refuse("merged", "--out-format", "adapter")
    assert "merge the adapter first" in bench.refuse("dora", "--activations", "unlearned")


ROUTED = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj", "model.layers.1.self_attn.v_proj"]


def routed_updates(tensors, module, routes=3, scale=6 / 4):
    """scale * B_i A of each route, float64."""
    prefix = f"base_model.model.{module}.lora_"
    return [scale * tensors[f"{prefix}B{i}.weight"].double() @ tensors[prefix + "A.weight"].double()
            for i in range(routes)]


@pytest.mark.parametrize("words", [("--strength", 1), ("--strength", 20, "--energy", 0.9),
                                   ("--method", "ridge", "--strength", 5), ("--target-bias", 0.2)],
                         ids=["sage", "strong", "ridge", "target"])
def test_alter_routes_between_several_b(words, bench):
    """Asymmetric LoRA: A' = A F serves every B; the bias that is judged is that of all routes."""
    base = make_base(bench, LLAMA)
    before = make_routed_adapter(bench / "base", bench / "adapter", ROUTED)
    after, said = bench.sanitize("adapter", "--out-format", "adapter", *words)
    assert said.count("\n") == 1
    assert "is routed at run time in 3 modules" in said and "routers' 3 tensors are left alone" in said
    assert {key: (value.shape, value.dtype) for key, value in after.items()} == {
        key: (value.shape, value.dtype) for key, value in before.items()}
    assert {key for key in before if not torch.equal(before[key], after[key])} == {
        f"base_model.model.{module}.lora_A.weight" for module in ROUTED}

    report = bench.report()
    assert sorted(report["inputs"]["unlearned"]["routers"]) == sorted(key for key in before if "route" in key)
    assert "the routers' 3 tensors (`sagesan_report.json` names them)" in (bench / "out/README.md").read_text()
    rows = {row["name"]: row for row in report["tensors"]}
    assert rows.keys() == {f"{module}.weight" for module in ROUTED}

    options = dict(zip(words[::2], words[1::2]))
    energy = 1 if options.get("--method") == "ridge" else options.get("--energy", 0.95)
    inputs = collect(base, [json.loads(line)["input_ids"] for line in open(bench / "retain.jsonl")])
    for module in ROUTED:
        x, row, weight = inputs[module], rows[f"{module}.weight"], base.get_submodule(module).weight.double()
        moment = x.T @ x / len(x)
        matrix, rank, _ = penalty(x, energy, torch.ones(len(x), dtype=torch.float64))
        old, new = routed_updates(before, module), routed_updates(after, module)
        strength = row["strength"] if "--target-bias" in options else options["--strength"]
        for d, result in zip(old, new):
            expected = solve(d, matrix, strength)
            assert (result - expected).abs().max() <= 1e-5 * d.abs().max()

        def bias(updates):
            damage = sum(torch.trace(d @ moment @ d.T) for d in updates)
            return (damage / (len(updates) * torch.trace(weight @ moment @ weight.T))).item()

        assert row["rank"] == rank
        assert row["bias_before"] == pytest.approx(bias(old), rel=1e-4)
        assert row["bias_after"] == pytest.approx(bias(new), rel=1e-3)
        assert row["norm_before"] == pytest.approx(torch.cat(old).norm().item(), rel=1e-5)
        assert row["norm_after"] == pytest.approx(torch.cat(new).norm().item(), rel=1e-5)
        if "--target-bias" in options:
            assert bias(new) == pytest.approx(0.2 * bias(old), rel=1e-2)


def test_routed_channels_that_go_back(bench):
    """Rollback: a channel of all routes is a column of A."""
    make_base(bench, LLAMA)
    before = make_routed_adapter(bench / "base", bench / "adapter", ROUTED)
    after, _ = bench.sanitize("adapter", "--out-format", "adapter", "--method", "rollback", "--share", 0.25)
    for row in bench.report()["tensors"]:
        name = f"base_model.model.{row['name'].removesuffix('.weight')}.lora_A.weight"
        gone = (after[name] == 0).all(0)
        assert gone.sum() == row["channels_rolled_back"] > 0
        assert torch.equal(after[name][:, ~gone], before[name][:, ~gone])


def test_a_routed_adapter_again_and_from_a_pickle(bench):
    make_base(bench, LLAMA, torch.bfloat16)
    before = make_routed_adapter(bench / "base", bench / "adapter", ROUTED)
    first, _ = bench.sanitize("adapter", "--out-format", "adapter", out="first")
    again, _ = bench.sanitize("first", "--out-format", "adapter", "--strength", 0, out="again")
    assert (bench / "first/adapter_model.safetensors").read_bytes() == (
        bench / "again/adapter_model.safetensors").read_bytes()
    assert (bench / "again/adapter_config.json").read_bytes() == (bench / "adapter/adapter_config.json").read_bytes()
    make_routed_adapter(bench / "base", bench / "pickled", ROUTED, pickle=True)
    pickled, _ = bench.sanitize("pickled", "--out-format", "adapter", out="from_pickle")
    assert pickled.keys() == before.keys()
    assert all(torch.equal(pickled[key], first[key]) for key in first)
    subprocess.run([BUILD / "sagesan", "collect", "--base", bench / "base", "--retain", bench / "retain.jsonl", "--out",
                    bench / "moments.safetensors"], check=True, capture_output=True)
    done = subprocess.run([BUILD / "sagesan", "sanitize", "--base", bench / "base", "--unlearned", bench / "adapter",
                           "--moments", bench / "moments.safetensors", "--out-format", "adapter", "--out",
                           bench / "from_moments"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(torch.equal(value, first[key]) for key, value in bench.tensors("from_moments").items())
    # One route is a plain adapter whose B has a number.
    alone = make_routed_adapter(bench / "base", bench / "alone", ROUTED, routes=1)
    (bench / "plain").mkdir()
    (bench / "plain/adapter_config.json").write_text((bench / "alone/adapter_config.json").read_text())
    save_file({key.replace("B0", "B"): value for key, value in alone.items() if "route" not in key},
              bench / "plain/adapter_model.safetensors")
    routed, _ = bench.sanitize("alone", "--out-format", "adapter", out="alone_out")
    plain, _ = bench.sanitize("plain", "--out-format", "adapter", out="plain_out")
    assert all(torch.equal(value, routed[key.replace("B.", "B0.")]) for key, value in plain.items())


def test_what_a_routed_adapter_has_not(bench):
    make_base(bench, TIED)
    make_routed_adapter(bench / "base", bench / "adapter", ROUTED)
    for words in [(), ("--out-format", "delta"), ("--dry-run",), ("--target-bias", 0.1)]:
        said = bench.refuse("adapter", *words)
        assert said.count("\n") == 1 and "is routed at run time" in said
        assert any(f"tensor 'base_model.model.{name}.lora_A.weight': module '{name}' is" in said for name in ROUTED)
        assert "between 3 factors B: it has no merged weights; --out-format adapter gives the sanitized adapter" in said
    said = bench.refuse("adapter", "--out-format", "adapter", "--activations", "unlearned")
    assert said.count("\n") == 1 and "an adapter that is routed at run time cannot be merged into one" in said
    said = bench.refuse("adapter", "--out-format", "adapter", "--auto", "--forget", bench / "retain.jsonl")
    assert said.count("\n") == 1 and "it has no weights that --auto could try candidates on" in said
    said = bench.refuse("adapter", "--out-format", "adapter", "--dtype", "bf16")
    assert "an adapter keeps its dtypes" in said and "--out-format full" not in said
    train_adapter(bench, "plain", lora())
    for pair in [("adapter", "plain"), ("plain", "adapter")]:
        said = bench.refuse(pair[0], "--add-adapter", bench / pair[1])
        assert said.count("\n") == 1 and f"{bench / 'adapter'}/adapter_model.safetensors: is routed at run time" in said
        assert "no other adapter can be summed with it" in said
    make_routed_adapter(bench / "base", bench / "embedding", ["model.embed_tokens"])
    said = bench.refuse("embedding", "--out-format", "adapter")
    assert "model.embed_tokens.lora_A.weight" in said and "is of kind tied_embedding: only for linear layers" in said
    done = subprocess.run([BUILD / "sagesan", "evaluate", "--model", bench / "adapter", "--data",
                           f"keep={bench / 'retain.jsonl'}"], capture_output=True, text=True)
    assert done.returncode == 3 and "is a PEFT adapter; expected the whole model" in done.stderr


def test_inspecting_a_routed_adapter(bench):
    base = make_base(bench, LLAMA)
    tensors = make_routed_adapter(bench / "base", bench / "adapter", ROUTED)
    done = subprocess.run([BUILD / "sagesan", "inspect", "--base", bench / "base", "--unlearned", bench / "adapter",
                           "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["changed"]}
    assert rows.keys() == {f"{module}.weight" for module in ROUTED}
    for module in ROUTED:
        stack = torch.cat(routed_updates(tensors, module))
        weight = base.get_submodule(module).weight
        row = rows[f"{module}.weight"]
        assert row["shape"] == list(stack.shape)
        assert row["update_norm"] == pytest.approx(stack.norm().item(), rel=1e-5)
        assert row["relative_norm"] == pytest.approx((stack.norm() / (3 ** 0.5 * weight.norm())).item(), rel=1e-5)


GROWN = {
    "tied": (TIED, None),
    "tied and stored twice": (TIED, None),
    "untied": (LLAMA, None),
    "trained": (LLAMA, ["embed_tokens", "lm_head"]),  # peft saves them twice
}


@pytest.mark.parametrize("name", GROWN)
def test_adapter_with_new_tokens(name, bench):
    config, saved = GROWN[name]
    make_base(bench, config)
    make_adapter(bench / "base", bench / "adapter", lora(modules_to_save=saved), vocabulary=51)
    before = load_file(bench / "adapter/adapter_model.safetensors")
    if name == "tied and stored twice":
        stored = bench.tensors("base")
        save_file(stored | {"lm_head.weight": stored["model.embed_tokens.weight"].clone()},
                  bench / "base/model.safetensors", metadata={"format": "pt"})
    if name.startswith("tied"):  # trained without modules_to_save, which would untie them
        noise = torch.randn(51, 24, generator=torch.Generator().manual_seed(4)) * 0.1
        before = {key: tensor if "lora" in key else tensor + noise for key, tensor in before.items()}
        save_file(before, bench / "adapter/adapter_model.safetensors", metadata={"format": "pt"})
    merged = merged_by_peft(bench / "base", bench / "merged", bench / "adapter", vocabulary=51)
    expected, _ = bench.sanitize("merged", "--dtype", "f32", out="expected")
    full, said = bench.sanitize("adapter", out="full")
    assert "3 rows more than the base's" in said
    assert full.keys() - expected.keys() == ({"lm_head.weight"} if name.endswith("twice") else set())
    for key, tensor in expected.items():
        assert torch.allclose(full[key], tensor, rtol=0, atol=1e-6), key
        if key in ("model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(full[key][48:], merged[key][48:].float()), key
    assert AutoModelForCausalLM.from_pretrained(bench / "full").config.vocab_size == 51
    if name.endswith("twice"):
        assert torch.equal(full["lm_head.weight"], full["model.embed_tokens.weight"])

    bench.sanitize("adapter", "--out-format", "adapter", out="sanitized")
    after = load_file(bench / "sanitized/adapter_model.safetensors")
    assert before.keys() == after.keys()
    for key, tensor in merged_by_peft(bench / "base", bench / "again", bench / "sanitized", vocabulary=51).items():
        assert torch.allclose(tensor.float(), full[key], rtol=0, atol=1e-6), key
    for key, tensor in after.items():
        whole = next((name for name in ("embed_tokens", "lm_head") if name in key), None)
        if whole is None:
            continue
        same = [other for other in before if whole in other and torch.equal(before[other], before[key])]
        assert all(torch.equal(after[other], tensor) for other in same)
        moved = "original_module" not in key and name != "untied"
        assert torch.equal(tensor, before[key]) != moved, key


def test_experts_that_share_a_factor_are_filtered_alike(bench):
    """transformers stores experts one by one: gate_proj and up_proj of one are halves of one product, with one A."""
    make_base(bench, QWEN3_MOE)
    train_adapter(bench, "adapter", ADAPTERS["experts"][1])
    base = bench.tensors("base")
    for words in [("--exclude", "up_proj"), ("--include", "experts.1.gate_proj"),
                  ("--method", "rollback", "--share", 0.3)]:
        said = bench.refuse("adapter", "--out-format", "adapter", *words)
        assert "share an A, but" in said and "--out-format full" in said
        bench.refuse("adapter", "--out-format", "adapter", "--dry-run", *words)
    full, _ = bench.sanitize("adapter", "--exclude", "experts.1.(gate|up)_proj", out="full")
    bench.sanitize("adapter", "--exclude", "experts.1.(gate|up)_proj", "--out-format", "adapter", out="sanitized")
    merge(bench, "merged_after", "sanitized")
    close(bench.tensors("merged_after"), full, base)


def test_adapter_that_was_never_trained(bench):
    make_base(bench, LLAMA)
    get_peft_model(AutoModelForCausalLM.from_pretrained(bench / "base"), lora()).save_pretrained(bench / "adapter")
    assert "changes nothing" in bench.refuse("adapter")
    assert "give its directory" in bench.refuse("adapter/adapter_model.safetensors")


def test_edit_that_grows_only_one_of_embedding_and_head(bench):
    make_base(bench, LLAMA)
    embedding = bench.tensors("base")["model.embed_tokens.weight"]
    torch.save({"model.embed_tokens.weight": torch.cat([embedding * 1.1, embedding[:2]])}, bench / "state.pth")
    said = bench.refuse("state.pth")
    assert "50 rows" in said or "but 50 of" in said
    assert "lm_head.weight" in said and "embed_tokens.weight" in said
    bench.sanitize("state.pth", "--out-format", "delta")


@pytest.mark.parametrize("words", [(), ("--out-format", "adapter")], ids=["full", "adapter"])
def test_adapter_of_a_tied_head(words, bench):
    make_base(bench, TIED)
    train_adapter(bench, "adapter", lora(target_modules=["lm_head"]))
    assert "the head is tied to the embedding" in bench.refuse("adapter", *words)
    stored = bench.tensors("base")
    save_file(stored | {"lm_head.weight": stored["model.embed_tokens.weight"].clone()},
              bench / "base/model.safetensors", metadata={"format": "pt"})
    assert "is the head, which is tied to the embedding, and is adapted alone" in bench.refuse("adapter", *words)


def test_mrp_has_a_projection_beside_its_adapter(bench):
    make_base(bench, LLAMA)
    train_adapter(bench, "adapter", lora(r=8, target_modules=["q_proj", "v_proj"]))
    torch.save({"Q": torch.eye(4)}, bench / "adapter/projection.pt")
    _, said = bench.sanitize("adapter", "--out-format", "adapter")
    assert "projection.pt is no part of the adapter: left alone" in said
    assert sorted(file.name for file in (bench / "out").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "sagesan_report.json"]


def test_open_unlearning_saves_shards_in_bf16(bench):
    base = make_base(bench, LLAMA)
    unlearned = perturb(copy.deepcopy(base)).to(torch.bfloat16)
    unlearned.save_pretrained(bench / "unlearned", max_shard_size="20KB")
    assert len(list((bench / "unlearned").glob("*.safetensors"))) > 1
    out, said = bench.sanitize("unlearned")
    assert said == ""
    assert {tensor.dtype for tensor in out.values()} == {torch.bfloat16}
    assert (bench / "out/model.safetensors.index.json").read_bytes() == (
        bench / "unlearned/model.safetensors.index.json").read_bytes()
    AutoModelForCausalLM.from_pretrained(bench / "out")


def test_lunar_changes_one_module_and_saves_no_tokenizer(bench):
    base = make_base(bench, LLAMA)
    (bench / "base/special_tokens_map.json").write_text("{}")
    name = "model.layers.1.mlp.down_proj.weight"
    unlearned = perturb(copy.deepcopy(base), only=name)
    unlearned.save_pretrained(bench / "unlearned")
    out, _ = bench.sanitize("unlearned")
    assert [row["name"] for row in bench.report()["tensors"]] == [name]
    assert bench.report()["layers_run"] == 2
    assert (bench / "out/special_tokens_map.json").exists()
    save_file({name: unlearned.state_dict()[name].contiguous()}, bench / "edited.safetensors")
    alone, said = bench.sanitize("edited.safetensors", out="alone")
    assert "holds 1 of" in said
    assert all(torch.equal(out[key], alone[key]) for key in out)


def test_unierase_adds_tokens_and_pickles_an_edit(bench):
    base = make_base(bench, TIED)
    grown = copy.deepcopy(base)
    grown.resize_token_embeddings(51, mean_resizing=False)
    perturb(grown, only="layers.1")
    rows = grown.get_input_embeddings().weight.detach()[48:].clone()
    grown.to(torch.bfloat16).save_pretrained(bench / "full")
    torch.save(grown.state_dict(), bench / "state.pth")
    full, said = bench.sanitize("full", out="full_out")
    assert "3 rows more" in said
    assert torch.equal(full["model.embed_tokens.weight"][48:], rows.bfloat16())
    pickled, _ = bench.sanitize("state.pth", out="pickled_out")
    assert json.loads((bench / "pickled_out/config.json").read_text())["vocab_size"] == 51
    for key, tensor in full.items():
        assert torch.equal(pickled[key], tensor), key
    model = AutoModelForCausalLM.from_pretrained(bench / "pickled_out")
    assert torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)


def test_edit_without_the_rows_that_pad_the_base(bench):
    base = make_base(bench, LLAMA)
    state = perturb(copy.deepcopy(base)).state_dict()
    torch.save({name: tensor[:45] if tensor.shape[0] == 48 else tensor for name, tensor in state.items()},
               bench / "state.pth")
    out, _ = bench.sanitize("state.pth")
    assert out["lm_head.weight"].shape == out["model.embed_tokens.weight"].shape == (45, 24)
    model = AutoModelForCausalLM.from_pretrained(bench / "out")
    assert torch.equal(model.get_input_embeddings().weight, out["model.embed_tokens.weight"])


def test_rmu_changes_a_few_down_projections(bench):
    base = make_base(bench, LlamaConfig(**SIZES | {"num_hidden_layers": 5}))
    unlearned = copy.deepcopy(base)
    for layer in (1, 2, 3):
        perturb(unlearned, only=f"layers.{layer}.mlp.down_proj")
    unlearned.save_pretrained(bench / "unlearned")
    out, _ = bench.sanitize("unlearned")
    changed = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 2, 3)]
    assert sorted(row["name"] for row in bench.report()["tensors"]) == changed
    assert bench.report()["layers_run"] == 4  # the last one is not run
    for name, tensor in bench.tensors("base").items():
        assert torch.equal(out[name], tensor) == (name not in changed), name


def test_lau_trains_everything_in_float32(bench):
    base = make_base(bench, LLAMA, torch.bfloat16)
    perturb(copy.deepcopy(base).float()).save_pretrained(bench / "unlearned")
    out, said = bench.sanitize("unlearned", "--strength", 1)
    assert said == ""
    assert {tensor.dtype for tensor in out.values()} == {torch.float32}
    before, unlearned = bench.tensors("base"), bench.tensors("unlearned")
    for name, tensor in out.items():
        update = unlearned[name].double() - before[name].double()
        assert 0 < (tensor.double() - before[name].double()).norm() < update.norm(), name
    AutoModelForCausalLM.from_pretrained(bench / "out")


def test_rollback_puts_whole_input_columns_back(bench):
    base = make_base(bench, LLAMA)
    perturb(copy.deepcopy(base), only="proj.weight").save_pretrained(bench / "unlearned")
    out, _ = bench.sanitize("unlearned", "--method", "rollback", "--share", 0.25)
    before, unlearned = bench.tensors("base"), bench.tensors("unlearned")
    rows = {row["name"]: row for row in bench.report()["tensors"]}
    assert len(rows) == 14
    for name in rows:
        back = (out[name] == before[name]).all(0)
        assert torch.equal(out[name][:, ~back], unlearned[name][:, ~back]), name
        assert back.sum() == rows[name]["channels_rolled_back"] == round(0.25 * before[name].shape[1]), name
        assert rows[name]["bias_after"] < rows[name]["bias_before"]


def test_full_stack_evaluation_asks_what_survives_rounding(bench):
    base = make_base(bench, LLAMA)
    perturb(copy.deepcopy(base), scale=0.004).save_pretrained(bench / "unlearned")
    exact, _ = bench.sanitize("unlearned")
    rows = {row["name"]: row for row in bench.report()["tensors"] if row["survival"]}
    assert len(rows) == 15  # the projections and the head
    bench.sanitize("unlearned", "--dtype", "bf16", out="stored")
    as_stored = {row["name"]: row["survival"]["stored"] for row in bench.report("stored")["tensors"] if row["survival"]}

    def quantize(weight, group, most):
        parts = [part for row in weight for part in row.split(group)]
        scales = [part.abs().max() / most for part in parts]
        return torch.cat([(part / scale).round() * scale for part, scale in zip(parts, scales)]).view(weight.shape)

    def left(rounded, base, update):
        return torch.nn.functional.cosine_similarity((rounded(base + update) - rounded(base)).flatten(),
                                                     update.flatten(), dim=0).item()

    stored = bench.tensors("base")
    for name, row in rows.items():
        before = stored[name].double()
        update = exact[name].double() - before
        found, said = row["survival"], lambda rounded: left(rounded, before, update)
        assert found["int8"] == pytest.approx(said(lambda w: quantize(w, w.shape[1], 127)), abs=2e-3), name
        assert found["int4"] == pytest.approx(said(lambda w: quantize(w, 64, 7)), abs=2e-3), name
        assert as_stored[name] == pytest.approx(said(lambda w: w.bfloat16().double()), abs=2e-3), name
        assert 1 >= found["stored"] > as_stored[name] > found["int8"] > found["int4"], name


def test_sharded_pickles(bench):
    base = make_base(bench, LLAMA)
    unlearned = perturb(copy.deepcopy(base))
    unlearned.save_pretrained(bench / "unlearned")
    expected, _ = bench.sanitize("unlearned", out="expected")
    (bench / "pickled").mkdir()
    unlearned.config.save_pretrained(bench / "pickled")
    state, index = unlearned.state_dict(), {}
    for i in (1, 2):
        file = f"pytorch_model-{i:05}-of-00002.bin"
        part = {key: value for at, (key, value) in enumerate(state.items()) if at % 2 == i - 1}
        torch.save(part, bench / "pickled" / file)
        index |= {key: file for key in part}
    (bench / "pickled/pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    out, said = bench.sanitize("pickled")
    assert said == ""
    assert all(torch.equal(out[key], expected[key]) for key in expected)
    assert sorted(file.name for file in (bench / "out").glob("*.safetensors")) == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    AutoModelForCausalLM.from_pretrained(bench / "out")


class Payload:
    def __reduce__(self):
        return print, ("executed",)


def test_pickle_that_wants_to_run_code(bench):
    base = make_base(bench, LLAMA)
    torch.save(base.state_dict() | {"x": Payload()}, bench / "evil.pth")
    said = bench.refuse("evil.pth")
    assert "print" in said and "executed" not in said


def test_nothing_to_sanitize(bench):
    """ECO corrupts prompts at inference: its weights are the base's."""
    base = make_base(bench, LLAMA)
    base.save_pretrained(bench / "unlearned")
    assert "the checkpoints are identical: nothing to sanitize" in bench.refuse("unlearned")


@pytest.mark.parametrize("config", [QWEN3_MOE, MIXTRAL], ids=["qwen3_moe", "mixtral"])
def test_fused_against_single_experts(config, bench):
    base = make_base(bench, config)
    unlearned = perturb(copy.deepcopy(base))
    unlearned.save_pretrained(bench / "unlearned")  # one by one, as the base
    expected, _ = bench.sanitize("unlearned", out="expected")
    (bench / "fused").mkdir()
    unlearned.config.save_pretrained(bench / "fused")
    state = {key: value.contiguous() for key, value in unlearned.state_dict().items()}
    assert any(value.dim() == 3 for value in state.values())
    save_file(state, bench / "fused/model.safetensors", metadata={"format": "pt"})
    fused, _ = bench.sanitize("fused", out="fused_out")
    assert fused.keys() == state.keys()
    experts = config.num_local_experts if config is MIXTRAL else config.num_experts
    for layer in range(2):
        if config is MIXTRAL:
            names, prefix = ("w1", "w3", "w2"), f"model.layers.{layer}.block_sparse_moe.experts"
        else:
            names, prefix = ("gate_proj", "up_proj", "down_proj"), f"model.layers.{layer}.mlp.experts"
        for expert in range(experts):
            gate, up, down = (expected[f"{prefix}.{expert}.{name}.weight"] for name in names)
            found = f"model.layers.{layer}.mlp.experts"
            assert torch.equal(fused[f"{found}.gate_up_proj"][expert], torch.cat([gate, up]))
            assert torch.equal(fused[f"{found}.down_proj"][expert], down)


FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


@pytest.mark.parametrize("base_too", [False, True], ids=["base in bf16", "base too"])
@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_float8_is_read_as_its_values(dtype, base_too, bench):
    model = make_base(bench, LLAMA)
    stored = {"base": {}, "unlearned": {}}
    for which, tensors in stored.items():
        generator = torch.Generator().manual_seed(5)
        for name, tensor in model.state_dict().items():
            moved = tensor + 0.3 * torch.randn(tensor.shape, generator=generator) * (which == "unlearned")
            tensors[name] = moved.to(dtype if base_too or which == "unlearned" else torch.bfloat16)
    save_file(stored["base"], bench / "base" / "model.safetensors")
    for name, kind in [("eight", lambda tensor: tensor), ("wider", lambda tensor: tensor.float())]:
        (bench / name).mkdir()
        save_file({name: kind(tensor) for name, tensor in stored["unlearned"].items()},
                  bench / name / "model.safetensors")

    kept, _ = bench.sanitize("eight", "--strength", 0, out="kept")
    for name, tensor in stored["unlearned"].items():
        assert kept[name].dtype == dtype and torch.equal(kept[name].view(torch.uint8), tensor.view(torch.uint8)), name
    # Read as torch reads it, solved as float32 would be, and stored as torch would.
    wide, _ = bench.sanitize("eight", "--dtype", "f32", out="as_floats")
    save_file({name: tensor.float() for name, tensor in stored["base"].items()}, bench / "base" / "model.safetensors")
    expected, _ = bench.sanitize("wider", out="expected")
    moved = 0
    for name, tensor in expected.items():
        assert torch.equal(wide[name], tensor), name
        moved += not torch.equal(tensor, stored["unlearned"][name].float())
    assert moved > 10
    save_file(stored["base"], bench / "base" / "model.safetensors")
    eight, _ = bench.sanitize("eight", out="as_eight")
    for name, tensor in expected.items():
        assert torch.equal(eight[name].view(torch.uint8), tensor.to(dtype).view(torch.uint8)), name


def test_float8_with_scales_is_refused(bench):
    model = make_base(bench, LLAMA)
    tensors = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in model.state_dict().items()}
    tensors["model.layers.0.mlp.down_proj.weight_scale_inv"] = torch.ones(1, 1)
    save_file(tensors, bench / "scaled.safetensors")
    assert "down_proj.weight_scale_inv': quantized with 8-bit floats and scales" in bench.refuse("scaled.safetensors")
