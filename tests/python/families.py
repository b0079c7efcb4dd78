"""Tiny configurations of every family, with every switch that real checkpoints have, and where their sites are."""
from transformers import (MODEL_FOR_CAUSAL_LM_MAPPING, Gemma2Config, Gemma3TextConfig, GemmaConfig, GPT2Config,
                          GPTNeoXConfig, LlamaConfig, MistralConfig, MixtralConfig, Olmo2Config, Phi3Config, PhiConfig,
                          Qwen2Config, Qwen2MoeConfig, Qwen3Config, Qwen3MoeConfig)

VOCABULARY = 131
SIZES = dict(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=64)
SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)  # some defaults lie outside of so small a vocabulary
LONG = [1.0 + 0.3 * i for i in range(4)]
SHORT = [1.0 + 0.05 * i for i in range(4)]
MOE = dict(moe_intermediate_size=40, num_experts=6, num_experts_per_tok=2)
LOCAL, GLOBAL = "sliding_attention", "full_attention"


def llama(**changes):
    return LlamaConfig(**{**SIZES, **changes})


def scaled(**rope):
    return llama(rope_parameters={"rope_theta": 10000.0, **rope})


def phi3(**changes):
    return Phi3Config(**{**SIZES, **SPECIAL, **changes})


def long_phi3(short, long, **changes):
    rope = {"rope_type": "longrope", "short_factor": short, "long_factor": long, "rope_theta": 10000.0}
    return phi3(max_position_embeddings=128, original_max_position_embeddings=32, rope_parameters=rope, **changes)


def gpt2(**changes):
    return GPT2Config(**{**dict(vocab_size=VOCABULARY, n_embd=48, n_layer=3, n_head=6, n_positions=96), **SPECIAL, **changes})


def gpt_neox(**changes):
    return GPTNeoXConfig(**{**SIZES, **SPECIAL, **changes})


CONFIGS = {
    "llama": llama(),
    "llama_tied": llama(tie_word_embeddings=True),
    "llama_biases": llama(attention_bias=True, mlp_bias=True),
    "llama_head_dim": llama(head_dim=12),
    "llama_multi_head": llama(num_key_value_heads=6),
    "llama_multi_query": llama(num_key_value_heads=1),
    "llama_theta": llama(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
    "llama_gelu": llama(hidden_act="gelu_pytorch_tanh"),
    "llama_epsilon": llama(rms_norm_eps=1e-2),
    "rope_linear": scaled(rope_type="linear", factor=4.0),
    "rope_dynamic": scaled(rope_type="dynamic", factor=2.0),
    "rope_llama3": scaled(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=32),
    "rope_yarn": scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32),
    "rope_yarn_all": scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=20.0,
                            beta_slow=2.0, mscale=0.7, mscale_all_dim=1.3),
    "rope_longrope": scaled(rope_type="longrope", short_factor=SHORT, long_factor=LONG, factor=2.0,
                            original_max_position_embeddings=32),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "mistral_window": MistralConfig(**SIZES, sliding_window=7),
    "mistral_head_dim": MistralConfig(**SIZES, sliding_window=None, head_dim=16),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2_tied": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2_window": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=9, max_window_layers=1),
    "qwen2_window_unused": Qwen2Config(**SIZES, use_sliding_window=False, sliding_window=9, max_window_layers=1),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "qwen3_tied": Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=True),
    "qwen3_biases": Qwen3Config(**SIZES, head_dim=16, attention_bias=True),
    "qwen3_window": Qwen3Config(**SIZES, head_dim=16, use_sliding_window=True, sliding_window=9, max_window_layers=2),
    "qwen3_yarn": Qwen3Config(**SIZES, head_dim=16, rope_parameters={
        "rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32}),
    "phi": PhiConfig(**SIZES),
    "phi_norms": PhiConfig(**{**SIZES, "num_key_value_heads": 6}, qk_layernorm=True),
    "phi_rotary": PhiConfig(**{**SIZES, "num_attention_heads": 3, "num_key_value_heads": 3}, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.4}),
    "phi3": phi3(),
    "phi3_tied": phi3(tie_word_embeddings=True),
    "phi3_window": phi3(sliding_window=11),
    "phi3_longrope": long_phi3(SHORT, LONG),
    "phi3_longrope_partial": long_phi3(SHORT[:3], LONG[:3], partial_rotary_factor=0.75),
    "gemma": GemmaConfig(**SIZES, head_dim=16),
    "gemma_multi_query": GemmaConfig(**{**SIZES, "num_key_value_heads": 1}, head_dim=16),
    "gemma2": Gemma2Config(**SIZES, head_dim=16, sliding_window=9, query_pre_attn_scalar=24,
                           attn_logit_softcapping=2.0, final_logit_softcapping=1.5),
    "gemma2_uncapped": Gemma2Config(**SIZES, head_dim=16, sliding_window=9, attn_logit_softcapping=None,
                                    final_logit_softcapping=None),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=9, query_pre_attn_scalar=24,
                               layer_types=[LOCAL, GLOBAL, LOCAL]),
    "gemma3_scaled": Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=9, layer_types=[LOCAL, LOCAL, GLOBAL],
                                      rope_parameters={
                                          GLOBAL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                                          LOCAL: {"rope_type": "default", "rope_theta": 1e4}}),
    "olmo2": Olmo2Config(**SIZES, **SPECIAL),
    "olmo2_biases": Olmo2Config(**SIZES, **SPECIAL, attention_bias=True),
    "gpt_neox": gpt_neox(),
    "gpt_neox_serial": gpt_neox(use_parallel_residual=False, attention_bias=False),
    "gpt_neox_full_rotary": gpt_neox(rope_parameters={"rope_type": "default", "rope_theta": 1e4,
                                                      "partial_rotary_factor": 1.0}),
    "gpt2": gpt2(),
    "gpt2_untied": gpt2(tie_word_embeddings=False, n_inner=80),
    "gpt2_scales": gpt2(scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True),
    "gpt2_unscaled": gpt2(scale_attn_weights=False),
    "mixtral": MixtralConfig(**SIZES, num_local_experts=5, num_experts_per_tok=2),
    "mixtral_window": MixtralConfig(**SIZES, num_local_experts=3, num_experts_per_tok=1, sliding_window=7),
    "qwen2_moe": Qwen2MoeConfig(**SIZES, **MOE, shared_expert_intermediate_size=24),
    "qwen2_moe_normalized": Qwen2MoeConfig(**SIZES, **MOE, shared_expert_intermediate_size=24, norm_topk_prob=True,
                                           qkv_bias=False, mlp_only_layers=[1]),
    "qwen2_moe_window": Qwen2MoeConfig(**SIZES, **MOE, shared_expert_intermediate_size=24, use_sliding_window=True,
                                       sliding_window=9, max_window_layers=2, decoder_sparse_step=2),
    "qwen3_moe": Qwen3MoeConfig(**SIZES, **MOE, norm_topk_prob=True),
    "qwen3_moe_dense_layers": Qwen3MoeConfig(**SIZES, **MOE, mlp_only_layers=[0], attention_bias=True),
}


def architecture(config):
    """As config.json has it."""
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__


def body(model):
    """The decoder without its head."""
    return next(getattr(model, name) for name in ("model", "transformer", "gpt_neox") if hasattr(model, name))


def first_of(module, *paths):
    """The first of these submodules that exists."""
    for path in paths:
        try:
            return module.get_submodule(path)
        except AttributeError:
            continue
    return None


def layer_sites(layer):
    """Site -> the module whose input it is, in one layer; experts are not modules."""
    attention = first_of(layer, "self_attn", "attention", "attn")
    mlp = layer.mlp
    four_norms = hasattr(layer, "pre_feedforward_layernorm")
    post_norms = not hasattr(layer, "input_layernorm") and not hasattr(layer, "ln_1")
    sites = {
        "attention_norm": first_of(layer, "input_layernorm", "ln_1"),
        "attention_input": first_of(attention, "q_proj", "qkv_proj", "query_key_value", "c_attn"),
        "query_norm": first_of(attention, "q_norm", "q_layernorm"),
        "key_norm": first_of(attention, "k_norm", "k_layernorm"),
        "attention_output": first_of(attention, "o_proj", "dense", "c_proj"),
        "mlp_norm": first_of(layer, "pre_feedforward_layernorm", "ln_2") or
                    (None if four_norms or post_norms else first_of(layer, "post_attention_layernorm")),
        "mlp_hidden": first_of(mlp, "down_proj", "fc2", "dense_4h_to_h", "c_proj"),
        "shared_hidden": first_of(mlp, "shared_expert.down_proj"),
    }
    if four_norms or post_norms:
        sites["attention_output_norm"] = layer.post_attention_layernorm
        sites["mlp_output_norm"] = layer.post_feedforward_layernorm
    # Where one norm feeds attention and MLP (Phi), they read at one site.
    parallel = sites["mlp_norm"] is None and not post_norms
    if not parallel:
        sites["mlp_input"] = first_of(mlp, "gate", "gate_proj", "gate_up_proj", "dense_h_to_4h", "c_fc")
    return {name: module for name, module in sites.items() if module is not None}


def sites(model):
    """Site -> the module whose input it is."""
    found = {"head_input": model.get_output_embeddings(),
             "final_norm": first_of(body(model), "norm", "final_layernorm", "final_layer_norm", "ln_f")}
    for index, layer in enumerate(first_of(body(model), "layers", "h")):
        found |= {f"layers.{index}.{name}": module for name, module in layer_sites(layer).items()}
    return found


def expert_modules(model):
    """Layer -> the module of all its experts, for layers that have any."""
    layers = first_of(body(model), "layers", "h")
    return {index: layer.mlp.experts for index, layer in enumerate(layers) if hasattr(layer.mlp, "experts")}


def is_norm(module):
    return "norm" in type(module).__name__.lower()


def normalized(module, x):
    """What a norm makes of its input before the gain."""
    if "layernorm" in type(module).__name__.lower():
        x = x - x.mean(-1, keepdim=True)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return x * (x.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt()
