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

/// Of the data, without the header. Sizes must not overflow.
uint64_t data_bytes(const TensorLayout& tensor);
uint64_t total_bytes(const std::vector<TensorLayout>& tensors);

/// What stands before the data of a file with these tensors, one after another: the header with its
/// length, a multiple of 8 bytes.
std::string safetensors_header(const std::vector<TensorLayout>& tensors,
                               const std::map<std::string, std::string>& metadata);

/// Writes a new safetensors file whose tensors become known one after another: room is kept for the
/// header, which is written at the end.
class SafetensorsWriter {
 public:
  /// Creates `path`, which must not exist. `most` are the largest tensors that may come, in the
  /// order of the header; `bytes` of data at least are reserved at once. Throws `IoError`.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorLayout> most,
                    const std::map<std::string, std::string>& metadata, uint64_t bytes);

  /// Appends a whole tensor, which must be among those announced.
  void write(const TensorLayout& tensor, std::span<const std::byte> bytes);
  /// Writes the header with the tensors that came and forces everything to the disk.
  void finish();

 private:
  struct Place {
    TensorLayout tensor;
    uint64_t begin, end;
  };
  std::vector<TensorLayout> announced_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Place> written_;
  uint64_t room_;  ///< of the header with its length
  uint64_t end_ = 0;
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
