#pragma once

#include <cstdint>
#include <string>

namespace sagesan {

/// The modules of a checkpoint by name, without ".weight" and ".bias". "{}" stands for the layer's
/// number, a second one for the expert's. What a family does not have is empty: a family differs
/// from another in what it names.
struct TensorNames {
  std::string embedding = "model.embed_tokens";
  std::string position_embedding;
  std::string final_norm = "model.norm";
  std::string head = "lm_head";

  std::string attention_norm = "model.layers.{}.input_layernorm";
  std::string query = "model.layers.{}.self_attn.q_proj";
  std::string key = "model.layers.{}.self_attn.k_proj";
  std::string value = "model.layers.{}.self_attn.v_proj";
  std::string query_key_value;  ///< one module in place of the three
  std::string query_norm, key_norm;
  std::string attention_output = "model.layers.{}.self_attn.o_proj";
  std::string attention_output_norm;  ///< before the sum with the residual

  std::string mlp_norm = "model.layers.{}.post_attention_layernorm";
  std::string gate = "model.layers.{}.mlp.gate_proj";  ///< without one, the MLP is down(act(up(x)))
  std::string up = "model.layers.{}.mlp.up_proj";
  std::string gate_up;  ///< one module in place of the two, gate first
  std::string down = "model.layers.{}.mlp.down_proj";
  std::string mlp_output_norm;  ///< before the sum with the residual

  // Layers with experts have these in place of gate, up and down.
  std::string router;
  std::string expert_gate, expert_up, expert_down;
  /// Tensors `[experts, 2 * intermediate, hidden]` and `[experts, hidden, intermediate]` of all
  /// experts in place of the three; their names are whole.
  std::string experts_gate_up, experts_down;
  std::string shared_gate, shared_up, shared_down, shared_router;
};

/// `pattern` with the layer's number, and the expert's where it has a place for it.
std::string name_in_layer(const std::string& pattern, int64_t layer, int64_t expert = 0);

}  // namespace sagesan
