#pragma once

#include <string>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// One parameter of the pair.
struct Update {
  std::string name;
  StoredTensor base;
  StoredTensor unlearned;
  bool changed = false;  ///< the bytes (or the dtype) differ
};

/// What unlearning did, as a list of places: values are read when somebody asks for them, so that
/// no model is ever in memory.
struct UpdateVector {
  std::vector<Update> updates;     ///< in the unlearned checkpoint's order of shards and bytes
  std::string base_identity;       ///< xxh3-128 over name, dtype, shape and bytes of all tensors
  std::string unlearned_identity;  ///< the same whatever the shard layout
  size_t changed_count() const;
  /// By name; null where there is none.
  const Update* find(const std::string& name) const;
};

/// Pairs the tensors by name. Reads headers alone; throws `InputError` naming the first tensor that
/// is missing on one side or has another shape: two different models.
std::vector<Update> pair_tensors(const Checkpoint& base, const Checkpoint& unlearned);

/// Whether two stored tensors have the same dtype, shape and bytes.
bool same_bytes(const StoredTensor& a, const StoredTensor& b);

/// Reads both checkpoints once, in small blocks: finds what changed and computes both identities.
UpdateVector compare(const Checkpoint& base, const Checkpoint& unlearned, const Progress& progress);

/// The identity of one checkpoint, the same as `compare` gives. Reads it once.
std::string checkpoint_identity(const Checkpoint& checkpoint, const Progress& progress);

}  // namespace sagesan
