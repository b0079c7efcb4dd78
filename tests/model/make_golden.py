"""Makes golden_families.json: tiny models of every family, and what transformers computes with them in float32. Run with
the interpreter of build/python, in this folder; golden_family_test.cpp reads it.

The configurations are written as published checkpoints have them, not as transformers 5 would. No weights are stored:
`values` says what each tensor of the checkpoint holds, and the C++ test says the same.
"""
import json
import math
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import numpy
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, logging

from test_forward import observe

logging.set_verbosity_error()
logging.disable_progress_bar()
VOCABULARY = 41
LENGTHS = [1, 6, 12, 22]  # against windows of 5 and original contexts of 8
STRIDE = 5  # of the tokens whose logits are stored: the first and the last of all are among them


def values(name, shape):
    """Multiples of 2^-11 below 1/2 in magnitude, from the name and the element's index; gains of norms lie around 1."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64) * 0x9E3779B97F4A7C15
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
        z = (z ^ z >> 27) * 0x94D049BB133111EB
    result = (2.0 * (z >> 54) - 1023) / 2048
    gain = len(shape) == 1 and name.endswith(".weight")
    return torch.tensor(result + gain, dtype=torch.float32).reshape(shape)


def config(architecture, model_type, **members):
    return {"architectures": [architecture], "model_type": model_type, "vocab_size": VOCABULARY, "bos_token_id": 1,
            "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False, **members}


SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 32}


def llama(**members):
    return config("LlamaForCausalLM", "llama", **{**SIZES, "hidden_act": "silu", "rms_norm_eps": 1e-5, **members})


def scaled_llama(rope_scaling, **members):
    return llama(head_dim=8, rope_theta=10000.0, rope_scaling=rope_scaling, **members)


def phi(**members):
    return config("PhiForCausalLM", "phi", **{**SIZES, "num_key_value_heads": 4, "hidden_act": "gelu_new",
                                              "layer_norm_eps": 1e-5, **members})


def phi3(**members):
    return config("Phi3ForCausalLM", "phi3", **{**SIZES, "hidden_act": "silu", "rms_norm_eps": 1e-5,
                                                "rope_theta": 10000.0, **members})


def later_gemma(architecture, model_type, **members):
    return config(architecture, model_type, **{
        **SIZES, "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 12,
        "sliding_window": 5, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, **members})


def gpt_neox(**members):
    return config("GPTNeoXForCausalLM", "gpt_neox", **{
        **SIZES, "num_attention_heads": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_emb_base": 5000,
        **members})


def gpt2(**members):
    return config("GPT2LMHeadModel", "gpt2", **{
        "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32, "n_ctx": 32, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, **members})


def mixtral():
    return config("MixtralForCausalLM", "mixtral", **SIZES, hidden_act="silu", rms_norm_eps=1e-5, rope_theta=1e6,
                  num_local_experts=4, num_experts_per_tok=2, sliding_window=None)


def qwen_moe(architecture, model_type, **members):
    return config(architecture, model_type, **SIZES, hidden_act="silu", rms_norm_eps=1e-6, rope_theta=1e6,
                  moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2, **members)


QWEN2 = ("Qwen2ForCausalLM", "qwen2")
QWEN2_MOE = ("Qwen2MoeForCausalLM", "qwen2_moe")
QWEN3_MOE = ("Qwen3MoeForCausalLM", "qwen3_moe")
CONFIGS = {
    "llama": llama(rope_theta=500000.0),
    "llama_tied_biases": llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama_linear": scaled_llama({"type": "linear", "factor": 4.0}),
    "llama_dynamic": scaled_llama({"type": "dynamic", "factor": 2.0}, max_position_embeddings=16),
    "llama_llama3": scaled_llama({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 8}),
    "llama_yarn": scaled_llama({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}),
    "mistral": config("MistralForCausalLM", "mistral", **SIZES, hidden_act="silu", rms_norm_eps=1e-5, sliding_window=5),
    "qwen2": config(*QWEN2, **SIZES, hidden_act="silu", rms_norm_eps=1e-6, rope_theta=1e6, use_sliding_window=False,
                    sliding_window=5, max_window_layers=1),
    "qwen2_window": config(*QWEN2, **{**SIZES, "tie_word_embeddings": True}, hidden_act="silu", rms_norm_eps=1e-6,
                           rope_theta=1e6, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": config("Qwen3ForCausalLM", "qwen3", **SIZES, head_dim=8, hidden_act="silu", rms_norm_eps=1e-6, rope_theta=1e6),
    "phi": phi(),
    "phi_norms": phi(qk_layernorm=True, partial_rotary_factor=1.0),
    "phi3": phi3(sliding_window=5),
    "phi3_longrope": phi3(original_max_position_embeddings=8, rope_scaling={
        "type": "longrope", "short_factor": [1.0, 1.25], "long_factor": [1.5, 4.0]}),
    "gemma": config("GemmaForCausalLM", "gemma", **{**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True},
                    head_dim=8, hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-6, rope_theta=10000.0),
    "gemma2": later_gemma("Gemma2ForCausalLM", "gemma2", rope_theta=10000.0, attn_logit_softcapping=2.0,
                          final_logit_softcapping=3.0),
    "gemma3": later_gemma("Gemma3ForCausalLM", "gemma3_text", rope_theta=1e6, rope_local_base_freq=10000.0,
                          rope_scaling={"rope_type": "linear", "factor": 8.0}, sliding_window_pattern=2),
    "olmo2": config("Olmo2ForCausalLM", "olmo2", **SIZES, hidden_act="silu", rms_norm_eps=1e-6, rope_theta=500000.0),
    "gpt_neox": gpt_neox(),
    "gpt_neox_serial": gpt_neox(use_parallel_residual=False, rotary_pct=1.0),
    "gpt2": gpt2(),
    "gpt2_untied": gpt2(tie_word_embeddings=False, n_inner=24, scale_attn_by_inverse_layer_idx=True),
    "gpt2_bare": gpt2(),
    "mixtral": mixtral(),
    "mixtral_fused": mixtral(),
    "qwen2_moe": qwen_moe(*QWEN2_MOE, shared_expert_intermediate_size=20, norm_topk_prob=False),
    "qwen2_moe_fused": qwen_moe(*QWEN2_MOE, shared_expert_intermediate_size=20, norm_topk_prob=True, mlp_only_layers=[0]),
    "qwen3_moe": qwen_moe(*QWEN3_MOE, head_dim=8, norm_topk_prob=True),
    "qwen3_moe_fused": qwen_moe(*QWEN3_MOE, head_dim=8, norm_topk_prob=False, decoder_sparse_step=2),
}


def tensors(name, directory):
    """Names and shapes in the checkpoint, as transformers writes it or, "fused" and "bare", as in memory."""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory))
    if name.endswith("_fused"):
        return {key: list(value.shape) for key, value in model.state_dict().items()}
    model.save_pretrained(directory / "saved")
    shapes = {key: list(value.shape) for key, value in load_file(directory / "saved" / "model.safetensors").items()}
    if name.endswith("_bare"):  # as OpenAI's: no prefix, and the causal mask is stored
        shapes = {key.removeprefix("transformer."): shape for key, shape in shapes.items()}
        shapes |= {f"h.{layer}.attn.bias": [1, 1, 8, 8] for layer in range(2)}
    return shapes


def text(name, index, length):
    return [int(value * 2048 + 1023) // 2 % VOCABULARY for value in values(f"{name}.text.{index}", (length,))]


def digits(number, count):
    return float(f"{number:.{count}g}")


def figures(site, moment):
    """Its trace, and p^T M p with a fixed p: what depends on every entry."""
    probe = values("probe", (moment.shape[0],)).double()
    if moment.dim() == 1:
        return [digits(number, 9) for number in (moment.sum().item(), (moment * probe * probe).sum().item())]
    return [digits(number, 9) for number in (moment.trace().item(), (probe @ moment @ probe).item())]


def golden(name, directory):
    (directory / "config.json").write_text(json.dumps(CONFIGS[name]))
    shapes = tensors(name, directory)
    save_file({key: values(key, shape) for key, shape in shapes.items()}, directory / "model.safetensors",
              metadata={"format": "pt"})
    texts = [text(name, index, length) for index, length in enumerate(LENGTHS)]
    sums, logits = {}, []
    for ids in texts:
        # Each text in a model of its own: dynamic RoPE remembers the longest text so far.
        model, info = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager",
                                                           output_loading_info=True)
        assert not info["missing_keys"], info
        observe(model.eval(), sums)
        with torch.no_grad():
            logits.append(model(torch.tensor([ids]), use_cache=False).logits[0])
    rows = list(range(0, sum(LENGTHS), STRIDE))
    return {
        "name": name,
        "config": CONFIGS[name],
        "tensors": shapes,
        "texts": texts,
        "rows": rows,
        "logits": [[digits(number, 7) for number in row] for row in torch.cat(logits)[rows].tolist()],
        "sites": {site: figures(site, moment) for site, moment in sums.items() if moment.any()},
    }


if __name__ == "__main__":
    cases = []
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as directory:
            cases.append(golden(name, Path(directory)))
    with open("golden_families.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
