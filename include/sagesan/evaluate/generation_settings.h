#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace sagesan {

/// What a checkpoint says of how it wants to be generated from, as far as it counts where the
/// likeliest token is taken.
struct GenerationSettings {
  std::vector<int64_t> end_ids;   ///< each of them ends a text; none: only the length does
  double repetition_penalty = 1;  ///< of the logits of tokens that a text has already
};

struct GenerationLimits {
  int64_t max_new_tokens = 200;  ///< of each text
  /// Bytes: half of them for the weights, which stay in memory where they fit and are read again
  /// for every token where they do not; half for keys and values, by which the texts are run in
  /// groups. Beside them there are one layer and the hidden states, and a text alone is a group
  /// however long it is.
  int64_t memory = int64_t{8} << 30;
};

/// `eos_token_id` (a number or a list) and `repetition_penalty` of generation_config.json; the
/// former of config.json where that file does not say it. Throws `InputError` for other types,
/// negative ids and a penalty that is not positive.
GenerationSettings read_generation_settings(const std::filesystem::path& directory);

}  // namespace sagesan
