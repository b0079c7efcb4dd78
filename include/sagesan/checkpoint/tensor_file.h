#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "sagesan/support/dtype.h"
#include "sagesan/support/file.h"

namespace sagesan {

/// One tensor of a file: rows one after another, little-endian, without gaps.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  ///< first byte in the file, where it lies there as it is
  uint64_t bytes = 0;

  int64_t elements() const;
};

/// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

/// Bytes of a tensor of this shape, 0 where a length is. Throws `InputError` naming `where` for a
/// size that overflows and for packed types that end inside a byte.
uint64_t tensor_bytes_of(DType dtype, const std::vector<int64_t>& shape, const std::string& where);

/// Throws `InputError` naming `where` for a name that is empty, longer than 1024 bytes, no UTF-8 or
/// holds control characters.
void check_tensor_name(const std::string& name, const std::string& where);

/// Tensors by name, read in parts: of one file, or what is computed from several.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::filesystem::path& path() const = 0;
  /// In an order in which they are read well. Never moved while the file lives.
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  /// Reads `buffer.size()` bytes of one of `tensors()` from byte `start` of it.
  virtual void read(const TensorInfo& tensor, uint64_t start,
                    std::span<std::byte> buffer) const = 0;
  /// The file in which every tensor lies as it is, at its offset; null where it is otherwise.
  virtual const InputFile* file() const { return nullptr; }
};

}  // namespace sagesan
