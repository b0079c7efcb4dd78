// Merges adapters into a base and writes the tensors that they change, for the parity tests with
// peft; or writes an adapter whose input factors are multiplied with a number.
//
//     sagesan_merge_adapters BASE OUT.safetensors ADAPTER [ADAPTER ...]
//     sagesan_merge_adapters scale-inputs FACTOR BASE ADAPTER OUT_DIR

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sagesan/adapters/merged_adapters.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan {
namespace {

void merge(const std::filesystem::path& base, const std::filesystem::path& out,
           const std::vector<std::filesystem::path>& directories) {
  const Checkpoint checkpoint = Checkpoint::open(base);
  std::vector<Adapter> adapters;
  for (const auto& directory : directories) adapters.push_back(Adapter::open(directory));
  const MergedAdapters merged(checkpoint, adapters);
  std::vector<std::vector<std::byte>> values;
  std::vector<TensorBytes> tensors;
  values.reserve(merged.tensors().size());
  for (const TensorInfo& info : merged.tensors()) {
    values.emplace_back(info.bytes);
    merged.read(info, 0, values.back());
    tensors.push_back({info.name, info.dtype, info.shape, values.back()});
  }
  write_safetensors(out, tensors);
}

/// Writes the adapter with every input factor A times `factor`: its products are, too.
void scale_inputs(double factor, const std::filesystem::path& base,
                  const std::filesystem::path& directory, const std::filesystem::path& out) {
  const Checkpoint checkpoint = Checkpoint::open(base);
  std::vector<Adapter> adapters;
  adapters.push_back(Adapter::open(directory));
  const MergedAdapters merged(checkpoint, adapters);
  std::map<std::string, Tensor> wholes;
  for (const TensorInfo& info : merged.tensors()) {
    const auto& low_rank = merged.changes(info.name)[0].low_rank;
    if (!low_rank || merged.why_not_low_rank(info.name)) continue;
    const StoredFactor& a = low_rank->columns.is_a ? low_rank->columns : low_rank->rows;
    Tensor& whole = wholes[a.stored.info->name];
    if (!whole.defined()) whole = load(a.stored);
    put_factor(a, load_factor(a) * factor, whole);
  }
  std::map<std::string, std::span<const std::byte>> changed;
  for (const auto& [name, whole] : wholes) changed[name] = tensor_bytes(whole);
  write_adapter(adapters[0], out, changed);
}

}  // namespace
}  // namespace sagesan

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) return 2;
  try {
    if (words[0] == "scale-inputs") {
      if (words.size() != 5) return 2;
      sagesan::scale_inputs(std::strtod(words[1].c_str(), nullptr), words[2], words[3], words[4]);
    } else {
      sagesan::merge(words[0], words[1], {words.begin() + 2, words.end()});
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
