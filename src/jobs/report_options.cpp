#include "report_options.h"

#include "sagesan/support/hash.h"

namespace sagesan {

ReportOptions report_options(const SanitizeOptions& options, const std::string& template_identity,
                             const MomentsOrigin* moments) {
  ReportOptions result = {.method = std::string(method_name(options.method)),
                          .target_bias = options.target_bias,
                          .carrier_gain = options.carrier_gain,
                          .energy = uses_every_direction(options.method) ? 1 : options.energy,
                          .other = std::string(other_policy_name(options.other)),
                          .include = options.include,
                          .exclude = options.exclude,
                          .activations = options.unlearned_activations ? "unlearned" : "base",
                          .token_cap = options.token_cap,
                          .max_length = options.max_length,
                          .retain_fields = options.rendering.fields,
                          .retain_template = template_identity,
                          .split_long_texts = options.rendering.split_long_texts,
                          .out_format = std::string(output_format_name(options.output.format)),
                          .dtype = std::string(output_dtype_name(options.output.dtype)),
                          .rounding = options.rounding_feedback ? "feedback" : "nearest",
                          .shard_bytes = options.output.shard_bytes};
  if (options.automatic) result.keep_forgetting = options.keep_forgetting;
  if (options.method == Method::kForgetAware) result.anchor_floor = options.anchor_floor;
  if (options.method == Method::kRollback) {
    result.energy.reset();
    result.share = options.share;
  } else if (!options.target_bias && options.method != Method::kNullspace) {
    result.strength = options.strength;
  }
  if (moments != nullptr) {
    result.token_cap = moments->token_cap;
    result.max_length = moments->max_length;
    result.retain_fields = moments->retain_fields;
    result.retain_template = moments->retain_template;
    result.split_long_texts = moments->split_long_texts;
  }
  return result;
}

std::string configuration_identity(const std::filesystem::path& model) {
  Hasher hasher;
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer.model",
                           "tokenizer_config.json", "chat_template.jinja"}) {
    hasher.add_text(name);
    const bool there = std::filesystem::is_regular_file(model / name);
    hasher.add_text(there ? hash_file(model / name) : "");
  }
  return hasher.hex();
}

}  // namespace sagesan
