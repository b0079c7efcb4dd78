"""config.json as the models were published with (keys and spellings of transformers 4 and before), at tiny sizes."""
SMALL = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 131,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "bfloat16", "use_cache": True}
GROUPED = SMALL | {"num_key_value_heads": 2}
FACTORS = {"short_factor": [1.0, 1.02, 1.05], "long_factor": [1.1, 1.7, 2.5]}

PUBLISHED = {
    "Llama-3.2-1B": GROUPED | {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "head_dim": 8,
        "hidden_act": "silu", "max_position_embeddings": 131072, "mlp_bias": False, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 32, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": True},
    "zephyr-7b-beta": GROUPED | {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu",
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 16,
        "tie_word_embeddings": False},
    "Qwen2.5-7B-Instruct": GROUPED | {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "max_window_layers": 2,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 16,
        "tie_word_embeddings": False, "use_sliding_window": False},
    "Qwen3-8B": GROUPED | {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False, "head_dim": 16,
        "hidden_act": "silu", "max_position_embeddings": 40960, "max_window_layers": 3, "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": False, "use_sliding_window": False},
    "phi-1_5": SMALL | {
        "architectures": ["PhiForCausalLM"], "model_type": "phi", "attention_dropout": 0.0, "embd_pdrop": 0.0,
        "hidden_act": "gelu_new", "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_key_value_heads": None,
        "partial_rotary_factor": 0.5, "qk_layernorm": False, "resid_pdrop": 0.0, "rope_scaling": None,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "float16"},
    "Phi-3.5-mini-instruct": SMALL | {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": False, "hidden_act": "silu",
        "max_position_embeddings": 128, "num_key_value_heads": 6, "original_max_position_embeddings": 32,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": False,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.02, 1.05, 1.1],
                         "long_factor": [1.1, 1.7, 2.5, 3.0]}},
    "Phi-3-mini-128k, its first configuration": SMALL | {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu", "max_position_embeddings": 128,
        "num_key_value_heads": 6, "original_max_position_embeddings": 32, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "rope_scaling": {"type": "yarn", "short_factor": [1.0, 1.02, 1.05, 1.1], "long_factor": [1.1, 1.7, 2.5, 3.0]},
        "sliding_window": 16, "tie_word_embeddings": False},
    "Phi-4-mini-instruct": GROUPED | {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": False, "hidden_act": "silu",
        "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "max_position_embeddings": 128,
        "mlp_bias": False, "original_max_position_embeddings": 32, "partial_rotary_factor": 0.75, "rms_norm_eps": 1e-05,
        "rope_scaling": FACTORS | {"type": "longrope"}, "rope_theta": 10000.0, "sliding_window": 262144,
        "tie_word_embeddings": True},
    "gemma-2b": SMALL | {
        "architectures": ["GemmaForCausalLM"], "model_type": "gemma", "attention_bias": False, "head_dim": 16,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": None, "max_position_embeddings": 8192,
        "num_key_value_heads": 1, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 10000.0},
    "gemma-2-2b-it": GROUPED | {
        "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "attention_bias": False,
        "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "final_logit_softcapping": 30.0, "head_dim": 16,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
        "query_pre_attn_scalar": 16, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 16},
    "gemma-3-1b-it": SMALL | {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "attention_bias": False,
        "attn_logit_softcapping": None, "cache_implementation": "hybrid", "final_logit_softcapping": None, "head_dim": 16,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 32768, "num_key_value_heads": 1,
        "query_pre_attn_scalar": 16, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": 16, "sliding_window_pattern": 2},
    "gemma-3-scaled": SMALL | {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 16, "num_key_value_heads": 2,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 131072, "query_pre_attn_scalar": 16,
        "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "rope_theta": 1000000.0, "sliding_window": 16, "sliding_window_pattern": 3},
    "OLMo-2-1124-7B": SMALL | {
        "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu",
        "max_position_embeddings": 4096, "num_key_value_heads": 6, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 500000, "tie_word_embeddings": False},
    "pythia-1.4b": SMALL | {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_act": "gelu", "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "torch_dtype": "float16", "use_parallel_residual": True},
    "gpt2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 2,
        "embd_pdrop": 0.1, "eos_token_id": 2, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 96,
        "n_embd": 48, "n_head": 6, "n_layer": 3, "n_positions": 96, "resid_pdrop": 0.1, "vocab_size": 131},
    "Mixtral-8x7B-v0.1": GROUPED | {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_act": "silu",
        "max_position_embeddings": 32768, "num_experts_per_tok": 2, "num_local_experts": 4, "output_router_logits": False,
        "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": None,
        "tie_word_embeddings": False},
    "Qwen1.5-MoE-A2.7B": SMALL | {
        "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "decoder_sparse_step": 1,
        "hidden_act": "silu", "max_position_embeddings": 8192, "max_window_layers": 21, "moe_intermediate_size": 40,
        "norm_topk_prob": False, "num_experts": 6, "num_experts_per_tok": 4, "num_key_value_heads": 6,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001,
        "shared_expert_intermediate_size": 24, "sliding_window": 32768, "tie_word_embeddings": False,
        "use_sliding_window": False},
    "Qwen3-30B-A3B": GROUPED | {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "attention_bias": False,
        "decoder_sparse_step": 1, "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 40960,
        "max_window_layers": 48, "mlp_only_layers": [], "moe_intermediate_size": 40, "norm_topk_prob": True,
        "num_experts": 6, "num_experts_per_tok": 2, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 1000000.0, "sliding_window": None, "tie_word_embeddings": False, "use_sliding_window": False},
}
