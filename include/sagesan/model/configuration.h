#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan {

/// Rotary position embedding, as `transformers` computes it (modeling_rope_utils.py).
struct RopeConfiguration {
  enum class Type { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongRope };
  Type type = Type::kDefault;
  double theta = 10000;
  int64_t dimension = 0;      ///< rotated channels of a head, even
  int64_t max_positions = 0;  ///< max_position_embeddings
  int64_t original_positions = 0;
  double factor = 1;
  double attention_factor = 1;                                 ///< multiplies cos and sin
  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< llama3
  double beta_fast = 32, beta_slow = 1;                        ///< yarn
  bool truncate = true;                                        ///< yarn: whole-numbered bounds
  std::vector<double> short_factors, long_factors;             ///< longrope, `[dimension / 2]`
};

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

/// What a decoder of the Llama family needs to know, whatever the model's own names for it:
/// families differ as data. Sizes are counts of channels, heads, layers or rows.
struct ModelConfiguration {
  std::string family;        ///< the row of the family table
  std::string architecture;  ///< config.json's architectures[0]
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t key_value_heads = 0;
  int64_t head_dimension = 0;
  int64_t vocabulary = 0;
  double norm_epsilon = 1e-6;
  Activation activation = Activation::kSilu;
  bool query_key_value_bias = false;
  bool output_bias = false;  ///< of the attention's output projection
  bool mlp_bias = false;
  bool tied_head = false;
  RopeConfiguration rope;
  /// Tokens a query sees, itself included, for each layer; 0 is all of them.
  std::vector<int64_t> windows;
};

/// Reads config.json of a checkpoint directory through its family's row of the table. Throws
/// `InputError` that names the key for values that are missing, mistyped or contradict each other,
/// for unknown architectures and for quantized checkpoints.
ModelConfiguration read_configuration(const std::filesystem::path& directory);

/// The members that all families share (sizes, heads, tied head), with the usual names; a family
/// adds its own.
ModelConfiguration read_common_configuration(const JsonObject& config);

/// Reads `rope_parameters`, or `rope_theta` with `rope_scaling`.
RopeConfiguration read_rope(const JsonObject& config, int64_t head_dimension);

}  // namespace sagesan
