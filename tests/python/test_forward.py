"""The decoder against transformers in float32: logits of all tokens and the second moments of all sites.

Tolerance of the logits: 1e-4 of their standard deviation.
"""
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from conftest import forward, make_model, random_texts, write_ids

SIZES = dict(vocab_size=131, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=64)
LONG = [1.0 + 0.3 * i for i in range(4)]
SHORT = [1.0 + 0.05 * i for i in range(4)]


def llama(**changes):
    return LlamaConfig(**{**SIZES, **changes})


def scaled(**rope):
    return llama(rope_parameters={"rope_theta": 10000.0, **rope})


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
    "qwen2": Qwen2Config(**SIZES),
    "qwen2_tied": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2_window": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=9, max_window_layers=1),
    "qwen2_window_unused": Qwen2Config(**SIZES, use_sliding_window=False, sliding_window=9, max_window_layers=1),
}
# Shorter and longer than the window, the original context and the whole context; one token alone.
LENGTHS = [1, 5, 31, 40, 64, 90]
SEEDS = [0, 1]


def observed(model):
    """Site name -> the module whose input is that site's, for the Llama family."""
    sites = {"head_input": model.lm_head}
    for index, layer in enumerate(model.model.layers):
        sites[f"layers.{index}.attention_input"] = layer.self_attn.q_proj
        sites[f"layers.{index}.attention_output"] = layer.self_attn.o_proj
        sites[f"layers.{index}.mlp_input"] = layer.mlp.gate_proj
        sites[f"layers.{index}.mlp_hidden"] = layer.mlp.down_proj
    return sites


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(name, seed) -> the directory with model, texts and our output."""
    directories, runs = {}, []
    for name, config in CONFIGS.items():
        for seed in SEEDS:
            directory = directories[name, seed] = tmp_path_factory.mktemp(name)
            make_model(config, seed).save_pretrained(directory / "model")
            write_ids(directory / "texts.jsonl", random_texts(SIZES["vocab_size"], LENGTHS, seed))
            runs.append((directory / "model", directory / "texts.jsonl", directory / "out.safetensors"))
    forward(runs)
    return directories


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_logits_and_moments(name, seed, results):
    model = make_model(CONFIGS[name], seed)
    texts = random_texts(SIZES["vocab_size"], LENGTHS, seed)
    ours = load_file(results[name, seed] / "out.safetensors")

    sums = {}
    for site, module in observed(model).items():
        def hook(_, inputs, site=site):
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
            sums[site] = sums.get(site, 0) + x.T @ x
        module.register_forward_pre_hook(hook)
    logits = []
    with torch.no_grad():
        for text in texts:
            # A text alone, in a model of its own state: dynamic RoPE remembers the longest text so far.
            if hasattr(model.model.rotary_emb, "max_seq_len_cached"):
                fresh = type(model.model.rotary_emb)(config=model.config)
                model.model.rotary_emb = fresh
            logits.append(model(torch.tensor([text]), use_cache=False).logits[0])
    expected = torch.cat(logits)
    worst = (ours["logits"] - expected).abs().max() / expected.std()
    assert worst < 1e-4, worst
    for site, total in sums.items():
        error = (ours[site + ".sum"] - total).norm() / total.norm()
        assert error < 1e-5, (site, error)
