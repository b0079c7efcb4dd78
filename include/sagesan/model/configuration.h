#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/model/names.h"
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

enum class NormKind {
  kRms,         ///< x / rms(x) times the gain
  kRmsPlusOne,  ///< the same times 1 + gain (Gemma)
  kLayer,       ///< (x - mean) / deviation times the gain plus a bias
};

/// How the output of a fused query-key-value module is laid out.
enum class FusedLayout {
  kConcatenated,  ///< all queries, all keys, all values (Phi-3, GPT-2)
  kInterleaved,   ///< each head's query, key and value (GPT-NeoX)
};

/// A mixture of experts in place of a layer's MLP.
struct ExpertsConfiguration {
  int64_t count = 0;  ///< 0: the model has none
  int64_t per_token = 0;
  int64_t intermediate_size = 0;
  int64_t shared_intermediate_size = 0;  ///< of the expert that sees every token; 0: there is none
  bool normalized_weights = true;        ///< whether a token's routing weights sum to 1
};

/// What may differ from layer to layer.
struct LayerConfiguration {
  int64_t window = 0;          ///< tokens a query sees, itself included; 0: all of them
  size_t rope = 0;             ///< its RoPE in `ropes`
  double attention_scale = 1;  ///< of the products of queries and keys
  bool experts = false;        ///< whether it has experts in place of one MLP
};

/// What a decoder needs to know, whatever the model's own names for it: families differ as data.
/// Sizes are counts of channels, heads, layers or rows.
struct ModelConfiguration {
  std::string family;        ///< the row of the family table
  std::string architecture;  ///< config.json's architectures[0]
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t heads = 0;
  int64_t key_value_heads = 0;
  int64_t head_dimension = 0;
  int64_t vocabulary = 0;
  int64_t positions = 0;  ///< rows of the position embedding; 0: there is none
  NormKind norm = NormKind::kRms;
  double norm_epsilon = 1e-6;
  Activation activation = Activation::kSilu;
  bool query_key_value_bias = false;
  bool output_bias = false;  ///< of the attention's output projection
  bool mlp_bias = false;
  bool head_bias = false;
  bool tied_head = false;
  bool transposed = false;  ///< weights of the layers' linear modules are `[in, out]` (GPT-2)
  bool parallel_residual = false;      ///< the MLP reads what the attention reads, not its result
  bool full_width_query_norm = false;  ///< query and key norms over all heads at once (OLMo-2)
  FusedLayout fused_layout = FusedLayout::kConcatenated;
  double embedding_scale = 1;    ///< of the embedding's rows, in float32
  double attention_softcap = 0;  ///< c: scores become c * tanh(score / c); 0: none
  double head_softcap = 0;       ///< likewise for the logits
  ExpertsConfiguration experts;
  std::vector<RopeConfiguration> ropes;  ///< empty: the model has none
  std::vector<LayerConfiguration> layers;
  /// The ways in which checkpoints of the family name their modules; `layout` is the one at hand.
  std::vector<TensorNames> layouts{TensorNames{}};
  size_t layout = 0;

  int64_t layer_count() const { return static_cast<int64_t>(layers.size()); }
  const LayerConfiguration& layer(int64_t index) const {
    return layers[static_cast<size_t>(index)];
  }
  const TensorNames& names() const { return layouts[layout]; }
};

/// Of channels and heads: a bound that no real model comes near, which keeps products of sizes
/// inside 64 bits.
inline constexpr int64_t kMaxSize = int64_t{1} << 24;

/// Where a family's config.json departs from the commonest keys and defaults.
struct ConfigurationKeys {
  const char* hidden_size = "hidden_size";
  const char* intermediate_size = "intermediate_size";
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* norm_epsilon = "rms_norm_eps";
  const char* activation = "hidden_act";
  double default_norm_epsilon = 1e-6;
  const char* default_activation = "silu";
  bool default_tied_head = false;
  int64_t default_head_dimension = 0;     ///< 0: hidden size over heads
  int64_t default_intermediate_size = 0;  ///< 0: the key is required
};

/// Reads config.json of a checkpoint directory through its family's row of the table. Throws
/// `InputError` that names the key for values that are missing, mistyped or contradict each other,
/// for unknown architectures and for quantized checkpoints.
ModelConfiguration read_configuration(const std::filesystem::path& directory);

/// The members that all families share (sizes, heads, norms, activation, tied head); a family adds
/// its own. All layers are alike, without windows.
ModelConfiguration read_common_configuration(const JsonObject& config,
                                             const ConfigurationKeys& keys = {});

/// What a family takes where config.json says nothing about its RoPE.
struct RopeDefaults {
  double theta = 10000;
  double rotated_share = 1;        ///< of a head's channels
  int64_t original_positions = 0;  ///< 0: as max_position_embeddings
  bool by_layer_type = false;      ///< it is one of several: what stands outside is not its length
};

/// `rope_parameters`, or its older name `rope_scaling`; null where there is neither.
const Json* find_rope(const JsonObject& config);

/// Reads `find_rope`, with what stands beside it.
RopeConfiguration read_rope(const JsonObject& config, int64_t head_dimension,
                            const RopeDefaults& defaults = {});
/// Reads one RoPE from `rope`, whose missing members are `config`'s; null: those alone.
RopeConfiguration read_rope(const JsonObject& config, const Json* rope, int64_t head_dimension,
                            const RopeDefaults& defaults);

/// `sliding_window`: null is none, absent is `otherwise`.
int64_t read_window(const JsonObject& config, int64_t otherwise);

/// Gives `window` to the layers that `layer_types` calls "sliding_attention"; where config.json has
/// no such list, to those that `is_sliding` names. `window` 0 is none.
void set_windows(const JsonObject& config, int64_t window,
                 const std::function<bool(int64_t layer)>& is_sliding, ModelConfiguration& model);
/// Gives `window` to all layers, of families whose model has one mask and does not look at
/// `layer_types`. 0 is none.
void set_window(int64_t window, ModelConfiguration& model);

}  // namespace sagesan
