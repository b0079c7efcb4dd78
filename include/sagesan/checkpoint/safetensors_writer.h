#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sagesan/support/dtype.h"
#include "sagesan/support/file.h"

namespace sagesan {

/// A tensor of a file to be written.
struct TensorLayout {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
};

/// Writes a new safetensors file whose tensors are known before their values: the header comes
/// first, the values in any order.
class SafetensorsWriter {
 public:
  /// Creates `path`, which must not exist, at its full size; the data lies in the order of
  /// `tensors`. Throws `IoError`.
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorLayout>& tensors,
                    const std::map<std::string, std::string>& metadata);

  /// All bytes of one tensor.
  void write(const std::string& name, std::span<const std::byte> bytes);
  /// Forces everything to the disk. Every tensor must have been written.
  void finish();

 private:
  struct Place {
    uint64_t offset, bytes;
  };
  std::map<std::string, Place> missing_;
  OutputFile file_;
};

/// A tensor in memory, to be written.
struct TensorBytes {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes a new safetensors file with the tensors in the order given.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace sagesan
