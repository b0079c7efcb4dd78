#include "sagesan/checkpoint/adapter.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan {
void write_adapter(const Adapter& adapter, const std::filesystem::path& directory,
                   const std::map<std::string, std::span<const std::byte>>& changed) {
  const std::vector<TensorInfo>& tensors = adapter.file().tensors();
  std::vector<TensorLayout> layout;
  layout.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors)
    layout.push_back({tensor.name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(directory / kAdapterFile, layout, adapter.metadata(),
                           total_bytes(layout));
  std::vector<std::byte> own;
  size_t used = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto found = changed.find(tensors[i].name);
    if (found != changed.end()) {
      SAGESAN_ASSERT(found->second.size() == tensors[i].bytes);
      ++used;
      writer.write(layout[i], found->second);
      continue;
    }
    own.resize(tensors[i].bytes);
    adapter.file().read(tensors[i], 0, own);
    writer.write(layout[i], own);
  }
  SAGESAN_ASSERT(used == changed.size());
  writer.finish();
  const std::filesystem::path& configuration = adapter.configuration().path;
  copy_to_new_file(configuration, directory / configuration.filename());
}

}  // namespace sagesan
