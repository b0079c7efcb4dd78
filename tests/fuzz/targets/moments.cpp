#include "fuzz/fuzz.h"
#include "sagesan/activations/described_model.h"
#include "sagesan/activations/moments_header.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/support/utf8.h"

// Headers of moments files, and the model that one may describe, held against a base and sites that
// are always the same.

namespace sagesan::fuzz {
namespace {

/// A model of 3 channels and 5 tokens.
const Checkpoint& described_base() {
  static const Checkpoint checkpoint = [] {
    const std::filesystem::path path = scratch() / "described.safetensors";
    const std::vector<float> values(15, 1);
    const auto data = std::as_bytes(std::span(values));
    write_safetensors(path, {{"bias", DType::kF32, {4}, data.first(16)},
                             {"down.weight", DType::kF32, {3, 4}, data.first(48)},
                             {"embedding.weight", DType::kF32, {5, 3}, data},
                             {"head.weight", DType::kF32, {5, 3}, data},
                             {"ids", DType::kI64, {1}, data.first(8)},
                             {"norm.weight", DType::kF32, {3}, data.first(12)},
                             {"up.weight", DType::kF32, {4, 3}, data.first(48)}});
    return Checkpoint::open(path);
  }();
  return checkpoint;
}

}  // namespace

FUZZ_TARGET(moments, mutate_safetensors) {
  const auto path = put("moments.safetensors", bytes);
  loads_or_refuses([&] {
    const MomentsHeader header(path);
    require(!header.sites().empty(), "moments of nothing");
    require(header.origin().tokens() >= 0, "less than no token");
    require(header.origin().difference(header.origin()).empty(), "differs from itself");
  });
}

FUZZ_TARGET(described_model) {
  // What is no text is refused by the header's reader; without one there is no description.
  if (bytes.empty() || find_invalid_utf8(bytes) != std::string_view::npos) return;
  const std::map<std::string, MomentShape> sites = {
      {"final", {.channels = 3, .tokens = 9}},
      {"hidden", {.channels = 4, .tokens = 9}},
      {"ids", {.channels = 5, .diagonal = true, .tokens = 9}},
      {"input", {.channels = 3, .tokens = 9}},
      {"norm", {.channels = 3, .diagonal = true, .tokens = 9}}};
  MomentsOrigin origin{.base_identity = "b"};
  origin.model = bytes;
  const std::vector<TensorLayout> layout = moments_layout(sites);
  std::string file = safetensors_header(layout, moments_metadata(origin));
  file.resize(file.size() + total_bytes(layout));
  const auto path = put("moments.safetensors", file);
  loads_or_refuses([&] {
    const ModelMap map = read_described_model(MomentsHeader(path), described_base());
    for (const auto& [name, parameter] : map.parameters) {
      const StoredTensor stored = described_base().find(name);
      require(stored && stored.info->shape == parameter.shape, "a parameter of another shape");
      if (!parameter.site.module.empty()) {
        const MomentShape& shape = sites.at(parameter.site.module);
        require(shape.diagonal == parameter.site.is_diagonal(), "a site of the other kind");
      }
    }
  });
}

}  // namespace sagesan::fuzz
