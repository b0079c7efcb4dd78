#include "fuzz/fuzz.h"
#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/safetensors_writer.h"

// Headers of safetensors files and the index of shards. What is accepted can be read to its end.

namespace sagesan::fuzz {
namespace {

uint64_t read_all(const TensorFile& file) {
  uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    std::vector<std::byte> values(tensor.bytes);
    file.read(tensor, 0, values);
    total += tensor.bytes;
  }
  return total;
}

}  // namespace

FUZZ_TARGET(safetensors, mutate_safetensors) {
  const auto path = put("model.safetensors", bytes);
  loads_or_refuses([&] {
    const SafetensorsFile file(path);
    require(file.header_bytes() + read_all(file) == bytes.size(), "bytes that belong to no tensor");
  });
}

FUZZ_TARGET(index) {
  static const bool shards = [] {
    const float value = 1;
    const auto data = std::as_bytes(std::span(&value, 1));
    write_safetensors(scratch() / "model-1.safetensors", {{"a", DType::kF32, {1}, data}});
    write_safetensors(scratch() / "model-2.safetensors",
                      {{"b", DType::kF32, {1}, data}, {"c", DType::kF32, {1, 1}, data}});
    return true;
  }();
  require(shards, "no shards");
  std::filesystem::remove(scratch() / "model.safetensors");
  put("model.safetensors.index.json", bytes);
  loads_or_refuses([&] {
    const Checkpoint checkpoint = Checkpoint::open(scratch());
    // An index may name one shard alone.
    const bool first{checkpoint.find("a")}, second{checkpoint.find("b")};
    require(second == static_cast<bool>(checkpoint.find("c")), "a part of a shard");
    require(first || second, "no shard");
    require(checkpoint.tensors().size() == (first ? 1U : 0U) + (second ? 2U : 0U),
            "not every tensor of the shards");
  });
  std::filesystem::remove(scratch() / "model.safetensors.index.json");
}

}  // namespace sagesan::fuzz
