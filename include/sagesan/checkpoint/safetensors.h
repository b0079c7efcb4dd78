#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sagesan/support/dtype.h"
#include "sagesan/support/file.h"

namespace sagesan {

/// One tensor of a safetensors file.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  ///< first byte, counted from the start of the file
  uint64_t bytes = 0;

  int64_t elements() const;
};

/// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

/// A safetensors file opened for reading: 8 bytes little-endian header length, a JSON header, the
/// data (huggingface/safetensors, README "Format").
class SafetensorsFile {
 public:
  /// Reads and checks the header alone. Throws `InputError` that names file and tensor for all that
  /// the format forbids, and for what is legal but dangerous: duplicate names, negative or
  /// overflowing shapes, control characters in names, holes or overlaps in the data.
  explicit SafetensorsFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return file_.path(); }
  const InputFile& file() const { return file_; }
  /// In the order of their bytes in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Length of everything before the data.
  uint64_t header_bytes() const { return header_bytes_; }

  /// Reads `buffer.size()` bytes of the tensor's data from byte `start` of it.
  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const;

 private:
  void parse_header(const std::string& header);

  InputFile file_;
  uint64_t header_bytes_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sagesan
