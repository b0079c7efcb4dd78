"""Whatever an unlearning system leaves behind: each artefact is made by its real writer (transformers, peft,
torch.save), sanitized, and compared with what the plain pair of full checkpoints gives.
"""
import copy
import json
import subprocess

import pytest
import torch
from conftest import BUILD, make_model, perturb, random_texts, write_ids
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MixtralConfig, Qwen3MoeConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # peft has much to say

SIZES = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             head_dim=12, vocab_size=48)
LLAMA = LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)
TIED = LlamaConfig(**SIZES, tie_word_embeddings=True)
GPT2 = GPT2Config(n_embd=24, n_layer=2, n_head=2, vocab_size=48, n_positions=64, bos_token_id=0, eos_token_id=0)
QWEN3_MOE = Qwen3MoeConfig(**SIZES, moe_intermediate_size=20, num_experts=3, num_experts_per_tok=2)
MIXTRAL = MixtralConfig(**SIZES, num_local_experts=3)


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


def lora(**options):
    return LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "o_proj", "down_proj"],
                         "task_type": "CAUSAL_LM", **options})


def train_adapter(bench, name, config, seed=3):
    """Random numbers in every trainable parameter."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(bench / "base"), config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(bench / name)


def merge(bench, out, *adapters):
    """By peft, in float64, which holds the products to more than sagesan's float32."""
    model = AutoModelForCausalLM.from_pretrained(bench / "base")
    model = PeftModel.from_pretrained(model, bench / adapters[0], adapter_name="0")
    for i, adapter in enumerate(adapters[1:], 1):
        model.load_adapter(bench / adapter, adapter_name=str(i))
    model.double()
    model.merge_and_unload(adapter_names=[str(i) for i in range(len(adapters))]).save_pretrained(bench / out)


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
