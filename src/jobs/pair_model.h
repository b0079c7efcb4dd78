#pragma once

#include <filesystem>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/configuration.h"
#include "sagesan/model/parameters.h"

namespace sagesan {

/// What base and unlearned model are together.
struct PairModel {
  ModelConfiguration
      base;  ///< with a tied head, too, where its own is a copy and the other ties it
  ModelConfiguration unlearned;
  ModelMap map;  ///< of the unlearned model, by the base's names
  PairHints hints;
};

/// Of a `base` that has passed `match_parameters` with `model`, and of what the configuration in
/// the directory `unlearned` says; the base's where there is none. Throws `InputError` where both
/// cannot be the same model, or untie what values do not.
PairModel read_pair_model(const ModelConfiguration& model, const Checkpoint& base,
                          const std::filesystem::path& unlearned);

/// Throws `InputError` where a stored copy of a tied head is none: one of the two would be taken
/// for what it is not.
void check_tied_heads(const Checkpoint& base, const UpdateVector& updates);

}  // namespace sagesan
