#include <optional>

#include "fuzz/fuzz.h"
#include "sagesan/checkpoint/update_vector.h"

// The tensors of a stranger's checkpoint beside those of other layouts: as the base, and as the
// unlearned one.

namespace sagesan::fuzz {
namespace {

/// What is paired can be read to its end, on both sides in one shape.
void read_pair(const Checkpoint& base, const Checkpoint& unlearned) {
  loads_or_refuses([&] {
    const UpdateVector updates = compare(base, unlearned, nullptr);
    for (const Update& update : updates.updates) {
      require(update.base.info->shape == update.unlearned.info->shape, "two shapes");
      for (const StoredTensor& tensor : {update.base, update.unlearned}) {
        std::vector<std::byte> values(tensor.info->bytes);
        tensor.read(0, values);
      }
    }
  });
}

}  // namespace

FUZZ_TARGET(pair, mutate_safetensors) {
  static const std::vector<Checkpoint> others = [] {
    std::vector<Checkpoint> all;
    for (const auto& seed : valid_seeds("pair")) {
      const auto path = scratch() / (seed.filename().string() + ".safetensors");
      std::filesystem::copy_file(seed, path, std::filesystem::copy_options::overwrite_existing);
      all.push_back(Checkpoint::open(path));
    }
    return all;
  }();
  const auto path = put("stranger.safetensors", bytes);
  std::optional<Checkpoint> checkpoint;
  if (!loads_or_refuses([&] { checkpoint = Checkpoint::open(path); })) return;
  for (const Checkpoint& other : others) {
    read_pair(*checkpoint, other);
    read_pair(other, *checkpoint);
  }
  take_refusal();  // that most are other models is no news
}

}  // namespace sagesan::fuzz
