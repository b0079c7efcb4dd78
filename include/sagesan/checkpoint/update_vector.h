#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/checkpoint/arranged_tensors.h"
#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// One parameter of the pair.
struct Update {
  std::string name;  ///< the base's; of an untied head the unlearned checkpoint's
  StoredTensor base;
  StoredTensor unlearned;  ///< in the shape of `base`
  bool changed = false;    ///< the bytes (or the dtype) differ
  /// The unlearned tensor as it is stored, where it has rows that the base lacks; else empty.
  StoredTensor grown = {};
  bool is_computed = false;  ///< the unlearned values are stored nowhere

  /// The unlearned tensor with all its rows.
  const StoredTensor& whole() const { return grown ? grown : unlearned; }

  /// What the result is stored in unless another dtype is asked for.
  DType dtype() const { return (is_computed ? base : unlearned).info->dtype; }
};

/// What is known of the model besides its tensors, by the base's names; empty where nothing is.
struct PairHints {
  std::set<std::string> vocabulary;  ///< tensors with a row for each token: they may grow
  /// Where the base's head is tied to its embedding: that one, and the name that a head has.
  std::string embedding, head;
  bool untied = false;  ///< whether the unlearned model's head is its own all the same
};

/// What unlearning did, as a list of places: values are read when somebody asks for them, so that
/// no model is ever in memory.
struct UpdateVector {
  std::vector<Update> updates;          ///< in the unlearned checkpoint's order of shards and bytes
  std::vector<TensorPart> verbatim;     ///< what the unlearned checkpoint alone has
  std::vector<StoredTensor> only_base;  ///< what it lacks: the base's values hold
  /// Where the head is tied: its embedding, and the copies that either checkpoint stores as head.
  std::string tied_embedding;
  std::vector<StoredTensor> tied_copies;
  std::vector<std::unique_ptr<TensorFile>> arranged;  ///< behind some of the updates
  std::string base_identity;       ///< xxh3-128 over name, dtype, shape and bytes of all tensors
  std::string unlearned_identity;  ///< the same whatever the shard layout
  size_t changed_count() const;
  /// By name; null where there is none.
  const Update* find(const std::string& name) const;
};

/// Pairs the tensors by name: the unlearned checkpoint may lack some (it changed others), wrap the
/// model's names in others (`canonical_name`), store experts fused or one by one unlike the base,
/// have more tokens, and buffers that are no parameters. Reads headers alone; throws `InputError`
/// naming the first tensor that the base lacks or has in another shape: two different models. What
/// is computed may have the base's rows several times (`MergedAdapters`): so has the update's base.
UpdateVector pair_tensors(const Checkpoint& base, const Checkpoint& unlearned,
                          const PairHints& hints = {});

/// Whether two stored tensors have the same dtype, shape and bytes.
bool same_bytes(const StoredTensor& a, const StoredTensor& b);

/// What transformers versions store beside the parameters: computed from the configuration.
bool is_buffer(std::string_view name);

/// Reads both checkpoints once, in small blocks and on up to `threads` threads: finds what changed
/// and computes both identities. Throws `InputError` naming a tensor, but for buffers, that holds
/// NaN or infinity.
UpdateVector compare(const Checkpoint& base, const Checkpoint& unlearned, const Progress& progress,
                     const PairHints& hints = {}, int threads = 1);

/// The identity of one checkpoint, the same as `compare` gives. Reads it once; throws as that does.
std::string checkpoint_identity(const Checkpoint& checkpoint, const Progress& progress,
                                int threads = 1);

}  // namespace sagesan
