#include <algorithm>

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
  for (const auto& entry : changed) {
    const auto place = std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
      return tensor.name == entry.first;
    });
    SAGESAN_ASSERT(place != tensors.end() && place->bytes == entry.second.size());
  }
  SafetensorsWriter writer(directory / kAdapterFile, layout, adapter.metadata(),
                           total_bytes(layout));
  std::vector<std::byte> own;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto found = changed.find(tensors[i].name);
    if (found != changed.end()) {
      writer.write(layout[i], found->second);
      continue;
    }
    own.resize(tensors[i].bytes);
    adapter.file().read(tensors[i], 0, own);
    writer.write(layout[i], own);
  }
  writer.finish();
  const std::filesystem::path& configuration = adapter.configuration().path;
  copy_to_new_file(configuration, directory / configuration.filename());
}

}  // namespace sagesan
