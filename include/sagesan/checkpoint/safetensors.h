#pragma once

#include <map>
#include <string>
#include <vector>

#include "sagesan/checkpoint/tensor_file.h"

namespace sagesan {

/// A safetensors file opened for reading: 8 bytes little-endian header length, a JSON header, the
/// data (huggingface/safetensors, README "Format").
class SafetensorsFile final : public TensorFile {
 public:
  /// Reads and checks the header alone. Throws `InputError` that names file and tensor for all that
  /// the format forbids, and for what is legal but dangerous: duplicate names, negative or
  /// overflowing shapes, control characters in names, holes or overlaps in the data.
  explicit SafetensorsFile(std::filesystem::path path);

  const std::filesystem::path& path() const override { return file_.path(); }
  /// In the order of their bytes in the file.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Length of everything before the data.
  uint64_t header_bytes() const { return header_bytes_; }

  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const override;
  const InputFile* file() const override { return &file_; }

 private:
  void parse_header(const std::string& header);

  InputFile file_;
  uint64_t header_bytes_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sagesan
