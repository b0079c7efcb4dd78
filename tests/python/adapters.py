"""Tiny bases and random adapters on them, made and merged by peft itself."""
import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MixtralConfig, Qwen3MoeConfig

# Made up, tiny; q_proj and o_proj are square, as is GPT-2's c_proj, so that shapes alone do not tell which way round.
SIZES = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             head_dim=12, vocab_size=48)
LLAMA = LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)
TIED = LlamaConfig(**SIZES, tie_word_embeddings=True)
GPT2 = GPT2Config(n_embd=24, n_layer=2, n_head=2, vocab_size=48, n_positions=64, bos_token_id=0, eos_token_id=0)
QWEN3_MOE = Qwen3MoeConfig(**SIZES, moe_intermediate_size=20, num_experts=5, num_experts_per_tok=2)
MIXTRAL = MixtralConfig(**SIZES, num_local_experts=3)

LINEAR = ["q_proj", "v_proj", "o_proj", "down_proj"]


def lora(**options):
    return LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **options})


def resize(model, vocabulary):
    if vocabulary is not None:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    return model


def make_adapter(base, directory, config, seed=3, vocabulary=None):
    """Trained, so to speak: every trainable parameter is random. The base is first given `vocabulary` tokens."""
    model = get_peft_model(resize(AutoModelForCausalLM.from_pretrained(base), vocabulary), config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)


def merged_by_peft(base, directory, *adapters, vocabulary=None):
    """In float64. All tensors as `save_pretrained` names them."""
    stored = next(iter(load_file(base / "model.safetensors").values())).dtype
    # MiCA wants float32 when it starts; only then all is made float64.
    model = AutoModelForCausalLM.from_pretrained(base, dtype=max(stored, torch.float32, key=lambda d: d.itemsize))
    resize(model, vocabulary)
    names = [f"adapter{i}" for i in range(len(adapters))]
    model = PeftModel.from_pretrained(model, adapters[0], adapter_name=names[0])
    for name, adapter in zip(names[1:], adapters[1:]):
        model.load_adapter(adapter, adapter_name=name)
    model.double()
    model.merge_and_unload(adapter_names=names).save_pretrained(directory)
    return load_file(directory / "model.safetensors")


def make_routed_adapter(base, directory, modules, routes=3, rank=4, alpha=6, seed=3, pickle=False, **config):
    """A HydraLoRA adapter (asymmetric LoRA: one A, several B, a router) with the names and the configuration of its
    fork of peft. Returns its tensors.
    """
    torch.manual_seed(seed)
    before, tensors = load_file(base / "model.safetensors"), {}
    for module in modules:
        out, size = before[f"{module}.weight"].shape
        prefix = f"base_model.model.{module}.lora_"
        tensors[prefix + "route.weight"] = torch.randn(routes, size) * 0.1
        tensors[prefix + "A.weight"] = torch.randn(rank, size) * 0.1
        for i in range(routes):
            tensors[f"{prefix}B{i}.weight"] = torch.randn(out, rank) * 0.1 * (i + 1)
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps({
        "base_model_name_or_path": str(base), "bias": "none", "blc_alpha": 0.5, "blc_weight": 0.1, "enable_lora": None,
        "fan_in_fan_out": False, "inference_mode": True, "lora_alpha": alpha, "lora_dropout": 0.05,
        "lora_nums": routes, "merge_weights": False, "modules_to_save": None, "peft_type": "LORA", "r": rank,
        "target_modules": sorted({module.rsplit(".", 1)[1] for module in modules}), "task_type": "CAUSAL_LM",
        **config}))
    if pickle:
        torch.save(tensors, directory / "adapter_model.bin")
    else:
        save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    return tensors
