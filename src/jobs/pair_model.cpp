#include "pair_model.h"

#include "sagesan/checkpoint/companion_files.h"
#include "sagesan/support/error.h"

namespace sagesan {

PairModel read_pair_model(const ModelConfiguration& model, const Checkpoint& base,
                          const std::filesystem::path& unlearned) {
  PairModel pair{.base = model, .unlearned = model};
  const std::filesystem::path config = unlearned / "config.json";
  if (has_own_configuration(unlearned)) pair.unlearned = read_configuration(unlearned);
  if (pair.base.architecture != pair.unlearned.architecture) {
    throw InputError(config.string(),
                     "the architecture differs from the base's: base and unlearned must be the "
                     "same model");
  }
  // Whether the head is tied to the embedding may differ where the values do not.
  const bool tied = pair.unlearned.tied_head;
  if (tied && !pair.base.tied_head) {
    const StoredTensor head = base.find(head_name(pair.base));
    if (!same_bytes(head, base.find(embedding_name(pair.base)))) {
      throw InputError(config.string(),
                       "ties the head to the embedding, but the base has two different ones: base "
                       "and unlearned must be the same model");
    }
    pair.base.tied_head = true;
  }
  pair.map = map_model(pair.base);
  pair.hints = pair_hints(pair.map);
  if (tied || !pair.base.tied_head) return pair;
  pair.hints.untied = true;
  ModelConfiguration untied = pair.base;
  untied.tied_head = false;
  pair.map = map_model(untied);
  return pair;
}

void check_tied_heads(const Checkpoint& base, const UpdateVector& updates) {
  for (const StoredTensor& head : updates.tied_copies) {
    const bool of_base = base.find(head.info->name).info == head.info;
    const Update* update = updates.find(updates.tied_embedding);
    const StoredTensor embedding = of_base ? base.find(updates.tied_embedding) : update->whole();
    if (same_bytes(head, embedding)) continue;
    throw InputError(head.where(),
                     "differs from the embedding although tie_word_embeddings is true: set it to "
                     "false in the config.json beside it (of an adapter: the base's), or remove "
                     "the tensor");
  }
}

}  // namespace sagesan
