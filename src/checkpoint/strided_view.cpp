#include "strided_view.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Read at once whatever part of it is wanted: cheaper than a system call an element.
constexpr int64_t kSmallSpan = int64_t{16} << 10;
/// Read at once where enough of it is wanted.
constexpr int64_t kLargestSpan = int64_t{4} << 20;
constexpr int64_t kLeastUse = 4;  ///< one element in so many

constexpr size_t kMaxElementBytes = 16;

}  // namespace

StridedView::StridedView(uint64_t offset, size_t element_bytes, const std::vector<int64_t>& shape,
                         const std::vector<int64_t>& strides)
    : offset_(offset), element_bytes_(element_bytes) {
  SAGESAN_ASSERT(shape.size() == strides.size() && element_bytes > 0 &&
                 element_bytes <= kMaxElementBytes);
  int64_t logical = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (!dimensions_.empty() && strides[i] == dimensions_.back().size * dimensions_.back().stride) {
      dimensions_.back().size *= shape[i];
    } else {
      dimensions_.push_back({shape[i], strides[i], logical});
    }
    logical *= shape[i];
  }
  std::reverse(dimensions_.begin(), dimensions_.end());
}

bool StridedView::is_contiguous() const {
  return dimensions_.empty() || (dimensions_.size() == 1 && dimensions_[0].stride == 1);
}

int64_t StridedView::elements() const {
  return dimensions_.empty() ? 1 : dimensions_[0].size * dimensions_[0].logical;
}

void StridedView::read(const InputFile& file, uint64_t start, std::span<std::byte> buffer) const {
  if (buffer.empty()) return;
  if (is_contiguous()) {
    file.read(offset_ + start, buffer);
    return;
  }
  SAGESAN_ASSERT(start + buffer.size() <= static_cast<uint64_t>(elements()) * element_bytes_);
  while (!buffer.empty()) {
    const auto index = static_cast<int64_t>(start / element_bytes_);
    const size_t skipped = start % element_bytes_;
    size_t count = 0;
    if (skipped == 0 && buffer.size() >= element_bytes_) {
      const size_t whole = buffer.size() / element_bytes_;
      read_elements(file, index, index + static_cast<int64_t>(whole), buffer.data());
      count = whole * element_bytes_;
    } else {  // a part of an element, at either end
      std::array<std::byte, kMaxElementBytes> element{};
      read_elements(file, index, index + 1, element.data());
      count = std::min(element_bytes_ - skipped, buffer.size());
      std::memcpy(buffer.data(), element.data() + skipped, count);
    }
    start += count;
    buffer = buffer.subspan(count);
  }
}

void StridedView::read_elements(const InputFile& file, int64_t begin, int64_t end,
                                std::byte* buffer) const {
  for (Box& box : boxes_of(begin, end)) read_box(file, std::move(box), buffer);
}

std::vector<StridedView::Box> StridedView::boxes_of(int64_t begin, int64_t end) const {
  std::vector<Box> boxes;
  for (int64_t position = begin; position < end;) {
    // The outermost dimension in which whole slices start here and fit.
    size_t outer = 0;
    while (position % dimensions_[outer].logical != 0 ||
           dimensions_[outer].logical > end - position) {
      ++outer;
    }
    Box box{0, position - begin, std::vector<int64_t>(dimensions_.size(), 1)};
    for (size_t i = 0; i < dimensions_.size(); ++i) {
      const auto& [size, stride, logical] = dimensions_[i];
      const int64_t index = position / logical % size;
      box.source += index * stride;
      if (i == outer) box.sizes[i] = std::min(size - index, (end - position) / logical);
      if (i > outer) box.sizes[i] = size;
    }
    position += box.sizes[outer] * dimensions_[outer].logical;
    boxes.push_back(std::move(box));
  }
  return boxes;
}

void StridedView::read_box(const InputFile& file, Box box, std::byte* buffer) const {
  const auto element_bytes = static_cast<int64_t>(element_bytes_);
  // Halved until a part is worth reading as it lies: along the dimension that spreads it most.
  std::vector<Box> pending;
  pending.push_back(std::move(box));
  while (!pending.empty()) {
    Box part = std::move(pending.back());
    pending.pop_back();
    int64_t span = 1;
    int64_t count = 1;
    size_t widest = 0;
    int64_t width = -1;
    size_t longer_than_one = 0;
    bool is_run = true;
    for (size_t i = 0; i < part.sizes.size(); ++i) {
      if (part.sizes[i] == 1) continue;
      const int64_t reach = (part.sizes[i] - 1) * dimensions_[i].stride;
      span += reach;
      count *= part.sizes[i];
      is_run = ++longer_than_one == 1 && dimensions_[i].stride == 1 && dimensions_[i].logical == 1;
      if (reach > width) {
        widest = i;
        width = reach;
      }
    }
    if (is_run) {
      file.read(offset_ + static_cast<uint64_t>(part.source * element_bytes),
                {buffer + part.target * element_bytes, static_cast<size_t>(count * element_bytes)});
      continue;
    }
    if (span * element_bytes <= kSmallSpan ||
        (span * element_bytes <= kLargestSpan && span / kLeastUse <= count)) {
      gather(file, part, span, buffer);
      continue;
    }
    Box second = part;
    part.sizes[widest] /= 2;
    second.sizes[widest] -= part.sizes[widest];
    second.source += part.sizes[widest] * dimensions_[widest].stride;
    second.target += part.sizes[widest] * dimensions_[widest].logical;
    pending.push_back(std::move(second));
    pending.push_back(std::move(part));
  }
}

void StridedView::gather(const InputFile& file, const Box& box, int64_t span,
                         std::byte* buffer) const {
  const auto element_bytes = static_cast<int64_t>(element_bytes_);
  std::vector<std::byte> bytes(static_cast<size_t>(span * element_bytes));
  file.read(offset_ + static_cast<uint64_t>(box.source * element_bytes), bytes);
  const int64_t stride = dimensions_.back().stride;
  const int64_t inner = box.sizes.back();
  std::vector<int64_t> index(box.sizes.size(), 0);
  int64_t source = 0;
  int64_t target = box.target;
  while (true) {
    std::byte* to = buffer + target * element_bytes;
    const std::byte* from = bytes.data() + source * element_bytes;
    if (stride == 1) {
      std::memcpy(to, from, static_cast<size_t>(inner * element_bytes));
    } else {
      for (int64_t k = 0; k < inner; ++k, to += element_bytes, from += stride * element_bytes)
        std::memcpy(to, from, element_bytes_);
    }
    // The next row of the box, like an odometer.
    size_t i = index.size() - 1;
    while (i > 0) {
      --i;
      source += dimensions_[i].stride;
      target += dimensions_[i].logical;
      if (++index[i] < box.sizes[i]) break;
      source -= index[i] * dimensions_[i].stride;
      target -= index[i] * dimensions_[i].logical;
      index[i] = 0;
      if (i == 0) return;
    }
    if (index.size() == 1) return;
  }
}

}  // namespace sagesan
