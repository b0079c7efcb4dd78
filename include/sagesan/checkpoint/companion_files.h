#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "sagesan/support/dtype.h"

namespace sagesan {

/// What config.json must say differently from the one that is copied.
struct ConfigChanges {
  std::optional<DType> dtype;         ///< of the weights, where the configuration says another
  std::optional<int64_t> vocabulary;  ///< rows of the embedding
};

/// Whether the directory's config.json is that of the unlearned model: what trainers put beside an
/// adapter is the base's as they loaded it, quantized perhaps.
bool has_own_configuration(const std::filesystem::path& unlearned);

/// Copies what belongs to a model beside its weights: configuration, generation configuration and
/// the tokenizer, from `unlearned`; each from `base` where `unlearned` has none of its own.
void copy_companion_files(const std::filesystem::path& unlearned, const std::filesystem::path& base,
                          const std::filesystem::path& directory,
                          const ConfigChanges& changes = {});

}  // namespace sagesan
