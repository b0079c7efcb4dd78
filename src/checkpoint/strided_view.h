#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sagesan/support/file.h"

namespace sagesan {

/// A tensor whose elements lie in a file at strides. Read in logical order (rows one after another)
/// in parts, with a few MiB of memory besides what is asked for.
class StridedView {
 public:
  /// The first element lies at byte `offset` of the file; `strides` count elements and are not
  /// negative. The caller has checked that every element lies in the file, so that no position
  /// overflows. `element_bytes` is at most 16.
  StridedView(uint64_t offset, size_t element_bytes, const std::vector<int64_t>& shape,
              const std::vector<int64_t>& strides);

  /// Fills `buffer` from byte `start` of the logical tensor; both must lie inside.
  void read(const InputFile& file, uint64_t start, std::span<std::byte> buffer) const;

 private:
  struct Dimension {
    int64_t size;
    int64_t stride;   ///< in the file, in elements
    int64_t logical;  ///< elements of the dimensions after it: its stride in the buffer
  };
  /// A block of the tensor: from element `source` of the file into element `target` of the buffer.
  struct Box {
    int64_t source;
    int64_t target;
    std::vector<int64_t> sizes;
  };

  /// Whether the elements lie one after another in logical order.
  bool is_contiguous() const;
  int64_t elements() const;
  /// The blocks that make up elements `begin` to `end`, at most two for each dimension.
  std::vector<Box> boxes_of(int64_t begin, int64_t end) const;
  void read_box(const InputFile& file, Box box, std::byte* buffer) const;
  void gather(const InputFile& file, const Box& box, int64_t span, std::byte* buffer) const;
  void read_elements(const InputFile& file, int64_t begin, int64_t end, std::byte* buffer) const;

  uint64_t offset_;
  size_t element_bytes_;
  std::vector<Dimension> dimensions_;  ///< without those of one element, joined where they can be
};

}  // namespace sagesan
