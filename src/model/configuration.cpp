#include "sagesan/model/configuration.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/checkpoint/links.h"
#include "sagesan/checkpoint/quantized.h"
#include "sagesan/model/family.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr const char* kOriginalLength = "original_max_position_embeddings";

std::string read_architecture(const JsonObject& config) {
  const Json& names = config.require("architectures");
  if (!names.is_array() || names.empty() || !names[0].is_string()) {
    config.fail("architectures", "expected a list with the architecture's name");
  }
  return names[0].get<std::string>();
}

Activation read_activation(const JsonObject& config, const ConfigurationKeys& keys) {
  const std::string name = config.string_or(keys.activation, keys.default_activation);
  for (const auto& [known, activation] : {std::pair{"silu", Activation::kSilu},
                                          {"swish", Activation::kSilu},
                                          {"gelu", Activation::kGelu},
                                          {"gelu_new", Activation::kGeluTanh},
                                          {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                          {"gelu_fast", Activation::kGeluTanh},
                                          {"relu", Activation::kRelu}}) {
    if (name == known) return activation;
  }
  config.fail(keys.activation, fmt::format("activation {} is not supported", quote(name)));
}

std::vector<double> read_factors(const JsonObject& rope, std::string_view key, int64_t count) {
  const Json& list = rope.require(key);
  if (!list.is_array() || list.size() != static_cast<size_t>(count)) {
    rope.fail(key, fmt::format("expected a list of {} numbers", count));
  }
  std::vector<double> result;
  for (const Json& value : list) {
    if (!value.is_number() || !(value.get<double>() > 0))
      rope.fail(key, "expected positive numbers");
    result.push_back(value.get<double>());
  }
  return result;
}

double positive(const JsonObject& object, std::string_view key, double value) {
  if (!(value > 0)) object.fail(key, fmt::format("expected a positive number, found {}", value));
  return value;
}

/// The members of a scaled RoPE; `rope` holds them under either of the two spellings.
void read_scaling(const JsonObject& config, const JsonObject& rope, const std::string& type,
                  bool length_is_outside, RopeConfiguration& result) {
  using Type = RopeConfiguration::Type;
  const int64_t half = result.dimension / 2;
  // Of these types the value outside of the object wins (transformers: modeling_rope_utils.py).
  const bool outside_wins =
      type == "llama3" || type == "yarn" || type == "longrope" || type == "su";
  if (!length_is_outside || !outside_wins)
    result.original_positions = rope.integer_or(kOriginalLength, result.original_positions);
  if (type == "longrope" || type == "su") {
    result.type = Type::kLongRope;
    result.short_factors = read_factors(rope, "short_factor", half);
    result.long_factors = read_factors(rope, "long_factor", half);
    if (result.original_positions < 2) rope.fail(kOriginalLength, "expected at least 2");
    const double stretch =
        static_cast<double>(result.max_positions) / static_cast<double>(result.original_positions);
    result.factor = positive(rope, "factor", rope.number_or("factor", stretch));
    const double scale =
        result.factor <= 1
            ? 1.0
            : std::sqrt(1 + std::log(result.factor) /
                                std::log(static_cast<double>(result.original_positions)));
    result.attention_factor = rope.number_or("attention_factor", scale);
    return;
  }
  if (type == "yarn" && rope.find("factor") == nullptr) {
    result.factor =
        static_cast<double>(result.max_positions) / static_cast<double>(result.original_positions);
  } else {
    result.factor = positive(rope, "factor", rope.number("factor"));
  }
  if (type == "linear") {
    result.type = Type::kLinear;
  } else if (type == "dynamic") {
    result.type = Type::kDynamic;
    if (result.dimension <= 2)
      config.fail("head_dim", "dynamic RoPE needs heads of more than 2 channels");
  } else if (type == "llama3") {
    result.type = Type::kLlama3;
    result.low_frequency_factor = positive(rope, "low_freq_factor", rope.number("low_freq_factor"));
    result.high_frequency_factor =
        positive(rope, "high_freq_factor", rope.number("high_freq_factor"));
    if (result.low_frequency_factor >= result.high_frequency_factor) {
      rope.fail("low_freq_factor", "must be smaller than high_freq_factor");
    }
  } else if (type == "yarn") {
    result.type = Type::kYarn;
    // A value of 0 counts as absent there.
    const auto or_default = [&](std::string_view key, double otherwise) {
      const double value = rope.number_or(key, otherwise);
      return value == 0 ? otherwise : value;
    };
    result.beta_fast = positive(rope, "beta_fast", or_default("beta_fast", 32));
    result.beta_slow = positive(rope, "beta_slow", or_default("beta_slow", 1));
    result.truncate = rope.boolean_or("truncate", true);
    const auto magnitude = [&](double scale) {
      return result.factor <= 1 ? 1.0 : 0.1 * scale * std::log(result.factor) + 1.0;
    };
    const double mscale = rope.number_or("mscale", 0);
    const double mscale_all = rope.number_or("mscale_all_dim", 0);
    const double inferred =
        mscale != 0 && mscale_all != 0 ? magnitude(mscale) / magnitude(mscale_all) : magnitude(1);
    result.attention_factor = rope.number_or("attention_factor", inferred);
  } else {
    config.fail("rope_type", fmt::format("RoPE scaling {} is not supported", quote(type)));
  }
}

}  // namespace

const Json* find_rope(const JsonObject& config) {
  const Json* parameters = config.find("rope_parameters");
  const Json* scaling = config.find("rope_scaling");
  if (parameters != nullptr && scaling != nullptr && !scaling->empty() && *scaling != *parameters) {
    config.fail("rope_scaling",
                "stands beside other 'rope_parameters', and programs differ in which they take: "
                "keep one of them");
  }
  return parameters != nullptr ? parameters : scaling;
}

RopeConfiguration read_rope(const JsonObject& config, int64_t head_dimension,
                            const RopeDefaults& defaults) {
  return read_rope(config, find_rope(config), head_dimension, defaults);
}

RopeConfiguration read_rope(const JsonObject& config, const Json* parameters,
                            int64_t head_dimension, const RopeDefaults& defaults) {
  RopeConfiguration result;
  result.max_positions = config.integer_or("max_position_embeddings", 2048);
  const bool length_is_outside =
      !defaults.by_layer_type &&
      (config.find(kOriginalLength) != nullptr || defaults.original_positions > 0);
  result.original_positions = result.max_positions;
  if (length_is_outside) {
    result.original_positions = config.integer_or(kOriginalLength, defaults.original_positions > 0
                                                                       ? defaults.original_positions
                                                                       : result.max_positions);
  }
  const Json none = Json::object();
  const char* spelling = config.contains("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const JsonObject rope(parameters != nullptr ? *parameters : none,
                        config.where() + ": " + spelling);
  result.theta =
      positive(rope.contains("rope_theta") ? rope : config, "rope_theta",
               rope.number_or("rope_theta", config.number_or("rope_theta", defaults.theta)));
  const double share = rope.number_or(
      "partial_rotary_factor", config.number_or("partial_rotary_factor", defaults.rotated_share));
  if (!(share > 0 && share <= 1)) {
    (rope.contains("partial_rotary_factor") ? rope : config)
        .fail("partial_rotary_factor", "expected a share in (0, 1]");
  }
  result.dimension = static_cast<int64_t>(static_cast<double>(head_dimension) * share);
  const std::string type = rope.string_or("rope_type", rope.string_or("type", "default"));
  if (type != "default") read_scaling(config, rope, type, length_is_outside, result);
  if (result.dimension < 2 || result.dimension % 2 != 0)
    config.fail("head_dim", "RoPE needs an even number of rotated channels in a head");
  return result;
}

void read_attention_bias(const JsonObject& config, bool otherwise, ModelConfiguration& model) {
  model.query_key_value_bias = model.output_bias = config.boolean_or("attention_bias", otherwise);
}

int64_t read_window(const JsonObject& config, int64_t otherwise) {
  return config.contains("sliding_window") ? config.integer_or("sliding_window", 0) : otherwise;
}

void set_windows(const JsonObject& config, int64_t window,
                 const std::function<bool(int64_t layer)>& is_sliding, ModelConfiguration& model) {
  const Json* types = config.find("layer_types");
  if (types != nullptr && (!types->is_array() || types->size() != model.layers.size()))
    config.fail("layer_types", fmt::format("expected a list of {} texts", model.layers.size()));
  for (int64_t i = 0; i < model.layer_count(); ++i) {
    bool sliding = is_sliding(i);
    if (types != nullptr) {
      const Json& type = (*types)[static_cast<size_t>(i)];
      const auto name = type.is_string() ? type.get<std::string>() : std::string("no text");
      sliding = name == "sliding_attention";
      if (!sliding && name != "full_attention") {
        config.fail("layer_types", fmt::format("layer {}: {} is not supported", i, quote(name)));
      }
    }
    if (sliding) model.layers[static_cast<size_t>(i)].window = window;
  }
}

void set_window(int64_t window, ModelConfiguration& model) {
  for (LayerConfiguration& layer : model.layers) layer.window = window;
}

ModelConfiguration read_common_configuration(const JsonObject& config,
                                             const ConfigurationKeys& keys) {
  ModelConfiguration model;
  model.hidden_size = config.integer(keys.hidden_size, 1, kMaxSize);
  model.intermediate_size =
      keys.default_intermediate_size > 0
          ? config.integer_or(keys.intermediate_size, keys.default_intermediate_size, 1, kMaxSize)
          : config.integer(keys.intermediate_size, 1, kMaxSize);
  const int64_t layers = config.integer(keys.layers, 1, 10000);
  model.heads = config.integer(keys.heads, 1, kMaxSize);
  model.key_value_heads = config.integer_or("num_key_value_heads", model.heads, 1, model.heads);
  model.vocabulary = config.integer("vocab_size", 1, int64_t{1} << 31);
  const int64_t head_dimension = keys.default_head_dimension > 0 ? keys.default_head_dimension
                                                                 : model.hidden_size / model.heads;
  if (config.find("head_dim") == nullptr && keys.default_head_dimension == 0 &&
      model.hidden_size % model.heads != 0) {
    config.fail(keys.heads, fmt::format("{} heads do not divide {} {}", model.heads,
                                        keys.hidden_size, model.hidden_size));
  }
  model.head_dimension = config.integer_or("head_dim", head_dimension, 1, kMaxSize);
  if (model.heads % model.key_value_heads != 0) {
    config.fail("num_key_value_heads", fmt::format("{} does not divide {} {}",
                                                   model.key_value_heads, keys.heads, model.heads));
  }
  model.norm_epsilon = config.number_or(keys.norm_epsilon, keys.default_norm_epsilon);
  if (model.norm_epsilon < 0) config.fail(keys.norm_epsilon, "expected a number of at least 0");
  model.activation = read_activation(config, keys);
  model.tied_head = config.boolean_or("tie_word_embeddings", keys.default_tied_head);
  const double scale = 1 / std::sqrt(static_cast<double>(model.head_dimension));
  model.layers.assign(static_cast<size_t>(layers), {.attention_scale = scale});
  return model;
}

ModelConfiguration read_configuration(const std::filesystem::path& directory) {
  check_links(directory);
  const std::filesystem::path path = directory / "config.json";
  const Json json = read_json_file(path, 64 << 20);
  const JsonObject config(json, path.string());
  if (const Json* quantization = config.find("quantization_config")) {
    const auto method = quantization->find("quant_method");
    const bool named = method != quantization->end() && method->is_string();
    config.fail("quantization_config",
                quantized_message(named ? quote(method->get<std::string>()) : "some method"));
  }
  const std::string architecture = read_architecture(config);
  std::string known;
  for (const Family& family : families()) {
    if (architecture == family.architecture) {
      ModelConfiguration model = family.configure(config);
      model.family = family.name;
      model.architecture = architecture;
      return model;
    }
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  config.fail(
      "architectures",
      fmt::format("{} is not supported (supported: {}); to sanitize it all the same, collect "
                  "its moments with scripts/collect_moments and pass them as --moments",
                  quote(architecture), known));
}

}  // namespace sagesan
