#pragma once

#include <map>
#include <utility>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"

namespace sagesan {

/// Some elements of a stored tensor, in its order.
struct TensorPart {
  StoredTensor tensor;
  uint64_t start = 0, count = 0;

  static TensorPart whole(const StoredTensor& tensor);
};

/// Tensors put together from parts of others: the same model in another layout.
class ArrangedTensors final : public TensorFile {
 public:
  struct Arranged {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<TensorPart> parts;  ///< one after another; of one dtype of whole bytes
  };

  /// `path` is named in messages. Throws `InputError` for parts of several dtypes.
  ArrangedTensors(std::filesystem::path path, const std::vector<Arranged>& tensors);

  const std::filesystem::path& path() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const override;
  /// Of one of `tensors()`.
  const std::vector<TensorPart>& parts(const TensorInfo& tensor) const;

 private:
  std::filesystem::path path_;
  std::vector<TensorInfo> infos_;
  std::vector<std::vector<TensorPart>> parts_;
};

/// What a tensor consists of: itself, unless it is arranged.
std::vector<TensorPart> parts_of(const StoredTensor& tensor);

}  // namespace sagesan
