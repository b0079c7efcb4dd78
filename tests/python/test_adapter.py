"""Adapters against peft itself: what sagesan merges is what `merge_and_unload` makes of the same files, computed in
float64, to the rounding of a float32 product. One class of adapter a test, saved by peft, read by both.
"""
import json
import subprocess

import pytest
import torch
from conftest import BUILD, make_model, save_state
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MixtralConfig, Qwen3MoeConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # peft has much to say

# Made up, tiny; q_proj and o_proj are square, as is GPT-2's c_proj, so that shapes alone do not tell which way round.
SIZES = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             head_dim=12, vocab_size=48)
LLAMA = LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)
TIED = LlamaConfig(**SIZES, tie_word_embeddings=True)
GPT2 = GPT2Config(n_embd=24, n_layer=2, n_head=2, vocab_size=48, n_positions=16, bos_token_id=0, eos_token_id=0)
QWEN3_MOE = Qwen3MoeConfig(**SIZES, moe_intermediate_size=20, num_experts=5, num_experts_per_tok=2)
MIXTRAL = MixtralConfig(**SIZES, num_local_experts=3)

LINEAR = ["q_proj", "v_proj", "o_proj", "down_proj"]
CONV1D = ["c_attn", "c_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def merge(base, out, *adapters):
    done = subprocess.run([BUILD / "sagesan_merge_adapters", base, out, *adapters], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_file(out)


def refuse(base, out, *adapters):
    done = subprocess.run([BUILD / "sagesan_merge_adapters", base, out, *adapters], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def make_adapter(base, directory, config, seed=3):
    """Trained, so to speak: every trainable parameter is random."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)


def merged_by_peft(base, directory, *adapters):
    """In float64. All tensors as `save_pretrained` names them."""
    stored = next(iter(load_file(base / "model.safetensors").values())).dtype
    # MiCA wants float32 when it starts; only then all is made float64.
    model = AutoModelForCausalLM.from_pretrained(base, dtype=max(stored, torch.float32, key=lambda d: d.itemsize))
    names = [f"adapter{i}" for i in range(len(adapters))]
    model = PeftModel.from_pretrained(model, adapters[0], adapter_name=names[0])
    for name, adapter in zip(names[1:], adapters[1:]):
        model.load_adapter(adapter, adapter_name=name)
    model.double()
    model.merge_and_unload(adapter_names=names).save_pretrained(directory)
    return load_file(directory / "model.safetensors")


def compare(before, expected, actual, most=1e-6):
    """All that changed is there and nothing else; each update is right relative to its largest element."""
    changed = {name for name in before if not torch.equal(before[name].double(), expected[name])}
    assert set(actual) == changed
    assert changed
    for name in changed:
        base = before[name].double()
        delta = expected[name] - base
        error = (actual[name].double() - base - delta).abs().max() / delta.abs().max()
        assert error <= most, (name, error.item())


def check(tmp_path, model_config, *configs, most=1e-6):
    base = tmp_path / "base"
    make_model(model_config).save_pretrained(base)
    adapters = []
    for i, config in enumerate(configs):
        adapters.append(tmp_path / f"adapter{i}")
        make_adapter(base, adapters[-1], config, seed=3 + i)
    expected = merged_by_peft(base, tmp_path / "expected", *adapters)
    actual = merge(base, tmp_path / "merged.safetensors", *adapters)
    compare(load_file(base / "model.safetensors"), expected, actual, most)
    return actual


def lora(**options):
    return LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **options})


# peft sorts the patterns when it saves them, and the first match counts: they are sorted here.
CASES = {
    "lora": (LLAMA, lora()),
    "rslora": (LLAMA, lora(use_rslora=True)),
    "patterns": (LLAMA, lora(rank_pattern={r".*layers\.1\..*down_proj": 7, "down_proj": 3, "q_proj": 2},
                             alpha_pattern={"^model.layers.0.self_attn.v_proj": 11, "o_proj": 5})),
    "patterns and rslora": (LLAMA, lora(use_rslora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 9})),
    "gaussian": (LLAMA, lora(init_lora_weights="gaussian")),
    "orthogonal": (LLAMA, lora(init_lora_weights="orthogonal")),
    "mica": (LLAMA, lora(init_lora_weights="mica")),
    "head": (LLAMA, lora(target_modules=["lm_head"])),
    "embedding": (LLAMA, lora(target_modules=["embed_tokens", "q_proj"], use_rslora=True)),
    "tied embedding": (TIED, lora(target_modules=["embed_tokens", "q_proj"])),
    "biases": (LLAMA, lora(bias="all")),
    "biases of adapted modules": (LLAMA, lora(bias="lora_only")),
    "lora bias": (LLAMA, lora(lora_bias=True)),
    "lora bias and biases": (LLAMA, lora(lora_bias=True, bias="all")),
    "modules to save": (LLAMA, lora(modules_to_save=["lm_head", "embed_tokens", "norm"])),
    "a whole mlp to save": (LLAMA, lora(target_modules=["q_proj"], modules_to_save=["mlp"])),
    "dora": (LLAMA, lora(use_dora=True)),
    "dora of an embedding": (LLAMA, lora(use_dora=True, target_modules=["embed_tokens", "k_proj", "lm_head"])),
    "conv1d": (GPT2, lora(target_modules=CONV1D, fan_in_fan_out=True)),
    "conv1d, said wrong": (GPT2, lora(target_modules=CONV1D, fan_in_fan_out=False)),
    "conv1d and a head": (GPT2, lora(target_modules=[*CONV1D, "wte", "wpe"], bias="all")),
    "dora of conv1d": (GPT2, lora(target_modules=CONV1D, use_dora=True, fan_in_fan_out=True)),
    "experts apart in the base": (QWEN3_MOE, lora(target_modules=["q_proj"], target_parameters=EXPERTS)),
    "experts, one of them": (QWEN3_MOE, lora(target_modules=[], target_parameters=["down_proj"])),
    "experts with patterns": (QWEN3_MOE, lora(target_modules=[], target_parameters=EXPERTS, use_rslora=True,
                                              rank_pattern={"down_proj": 2}, alpha_pattern={"gate_up_proj": 3})),
    "mixtral": (MIXTRAL, lora(target_modules=["q_proj"], target_parameters=["gate_up_proj", "down_proj"])),
    "routers": (MIXTRAL, lora(target_modules=[], target_parameters=["gate.weight"])),
}


@pytest.mark.parametrize("name", CASES)
def test_merge(tmp_path, name):
    check(tmp_path, *CASES[name])


SUMS = {
    "two": (LLAMA, lora(), lora(r=2, target_modules=["q_proj", "up_proj"], use_rslora=True)),
    "two of conv1d": (GPT2, lora(target_modules=CONV1D), lora(r=2, lora_alpha=1, target_modules=["c_proj"])),
    "three of experts": (QWEN3_MOE, *[lora(target_modules=[], target_parameters=EXPERTS)] * 3),
    "dora after lora": (LLAMA, lora(), lora(use_dora=True)),
    "lora after dora": (LLAMA, lora(use_dora=True), lora()),
    "dora after dora": (GPT2, lora(use_dora=True, target_modules=CONV1D), lora(use_dora=True, target_modules=CONV1D)),
}


@pytest.mark.parametrize("name", SUMS)
def test_several_adapters(tmp_path, name):
    check(tmp_path, *SUMS[name])


def test_base_that_lacks_the_prefix(tmp_path):
    """GPT-2's own checkpoint has no `transformer.`."""
    model = make_model(GPT2)
    model.save_pretrained(tmp_path / "base")
    (tmp_path / "hub").mkdir()
    save_state(model, tmp_path / "hub", "transformer.")
    make_adapter(tmp_path / "base", tmp_path / "adapter", lora(target_modules=CONV1D))
    expected = merged_by_peft(tmp_path / "base", tmp_path / "expected", tmp_path / "adapter")
    expected = {name.removeprefix("transformer."): value for name, value in expected.items()}
    actual = merge(tmp_path / "hub", tmp_path / "out.safetensors", tmp_path / "adapter")
    compare(load_file(tmp_path / "hub" / "model.safetensors"), expected, actual)


def test_fused_experts_in_the_base(tmp_path):
    """As they are in memory, `[experts, out, in]`."""
    model = make_model(QWEN3_MOE)
    model.save_pretrained(tmp_path / "base")
    (tmp_path / "fused").mkdir()
    save_state(model, tmp_path / "fused")
    make_adapter(tmp_path / "base", tmp_path / "adapter", lora(target_modules=[], target_parameters=EXPERTS))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float64)
    expected = PeftModel.from_pretrained(loaded, tmp_path / "adapter").double().merge_and_unload().state_dict()
    actual = merge(tmp_path / "fused", tmp_path / "out.safetensors", tmp_path / "adapter")
    before = load_file(tmp_path / "fused" / "model.safetensors")
    assert before["model.layers.0.mlp.experts.gate_up_proj"].shape == (5, 40, 24)
    compare(before, expected, actual)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_base_of_another_dtype(tmp_path, dtype):
    """The product is added to the base's own values: nothing is rounded to the base's dtype."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    make_model(LLAMA).to(dtype).save_pretrained(base)
    make_adapter(base, adapter, lora(use_dora=dtype == torch.float16))
    expected = merged_by_peft(base, tmp_path / "expected", adapter)
    compare(load_file(base / "model.safetensors"), expected, merge(base, tmp_path / "out", adapter))


def test_adapter_of_another_dtype(tmp_path):
    """Factors in bf16 are exact in float32, and so are multiplied there."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    make_model(LLAMA).to(torch.bfloat16).save_pretrained(base)
    make_adapter(base, adapter, lora())
    path = adapter / "adapter_model.safetensors"
    save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path)
    expected = merged_by_peft(base, tmp_path / "expected", adapter)
    compare(load_file(base / "model.safetensors"), expected, merge(base, tmp_path / "out", adapter))


@pytest.mark.parametrize("name", ["lora", "patterns", "embedding", "lora bias and biases", "modules to save", "conv1d",
                                  "experts apart in the base", "mixtral"])
def test_written_adapter_is_loaded_by_peft(tmp_path, name):
    """Every A is halved by sagesan's writer: peft loads that, and the products are halved. 0.5 rounds nothing."""
    model_config, config = CASES[name]
    base, adapter, half = tmp_path / "base", tmp_path / "adapter", tmp_path / "half"
    make_model(model_config).save_pretrained(base)
    make_adapter(base, adapter, config)
    half.mkdir()
    done = subprocess.run([BUILD / "sagesan_merge_adapters", "scale-inputs", "0.5", base, adapter, half],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before = load_file(base / "model.safetensors")
    whole = merged_by_peft(base, tmp_path / "expected_whole", adapter)
    expected = merged_by_peft(base, tmp_path / "expected", half)
    own = load_file(adapter / "adapter_model.safetensors")
    written = load_file(half / "adapter_model.safetensors")
    assert list(own) == list(written)
    halved = {key for key in own if not torch.equal(own[key], written[key])}
    assert halved == {key for key in own if "lora_A" in key or "lora_embedding_A" in key}
    assert json.loads((adapter / "adapter_config.json").read_text()) == json.loads(
        (half / "adapter_config.json").read_text())
    products = 0
    for key, value in before.items():
        if key.endswith("bias") or any(part in key for part in config.modules_to_save or ["(none)"]):
            assert torch.equal(expected[key], whole[key])
            continue
        torch.testing.assert_close(expected[key] - value.double(), (whole[key] - value.double()) / 2, rtol=1e-9,
                                   atol=1e-15)
        products += not torch.equal(whole[key], value.double())
    assert products
    compare(before, expected, merge(base, tmp_path / "merged.safetensors", half))


REFUSED = {
    "pissa": (lora(init_lora_weights="pissa"), "init_lora_weights"),
    "olora": (lora(init_lora_weights="olora"), "init_lora_weights"),
    "trainable tokens": (lora(trainable_token_indices=[1, 3]), "trainable_token_indices"),
    "aLoRA": (lora(alora_invocation_tokens=[1, 2]), "alora_invocation_tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    config, key = REFUSED[name]
    make_model(LLAMA).save_pretrained(tmp_path / "base")
    make_adapter(tmp_path / "base", tmp_path / "adapter", config)
    message = refuse(tmp_path / "base", tmp_path / "out", tmp_path / "adapter")
    assert "adapter_config.json" in message and key in message and message.count("\n") == 1


def test_tied_head_cannot_be_adapted(tmp_path):
    make_model(TIED).save_pretrained(tmp_path / "base")
    make_adapter(tmp_path / "base", tmp_path / "adapter", lora(target_modules=["lm_head"]))
    assert "has no 'lm_head.weight'" in refuse(tmp_path / "base", tmp_path / "out", tmp_path / "adapter")
