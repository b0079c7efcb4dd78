#include "sagesan/sanitize/sanitized_tensors.h"

#include <algorithm>
#include <cstring>

#include "sagesan/support/error.h"

namespace sagesan {
SanitizedTensors::SanitizedTensors(const UpdateVector& updates, const Plan& plan, at::Device device)
    : device_(device) {
  std::map<std::string, Treatment> treatments;
  for (const PlannedTensor& tensor : plan.tensors)
    treatments[tensor.update->name] = tensor.treatment;
  for (const Update& update : updates.updates) {
    const auto found = treatments.find(update.name);
    const bool changed = update.changed && found != treatments.end();
    const bool back = changed && found->second == Treatment::kBase;
    const StoredTensor& same = changed && !back ? update.unlearned : update.base;
    const bool solved = changed && found->second == Treatment::kSolve;
    if (!solved && (!changed || same.info->dtype == update.dtype())) {
      add(update.name, same.info->dtype, same, {.stored = same});
      continue;
    }
    Entry entry{.update = &update};
    if (!solved) {
      // Stored in another dtype: rounded as the output would have it.
      entry.parts[0] = {back ? base_rule() : keep_rule(),
                        {.device = device, .dtype = update.dtype()}};
    }
    add(update.name, update.dtype(), update.unlearned, std::move(entry));
  }
  for (const StoredTensor& tensor : updates.only_base)
    add(tensor.info->name, tensor.info->dtype, tensor, {.stored = tensor});
}

void SanitizedTensors::add(const std::string& name, DType dtype, const StoredTensor& shaped_as,
                           Entry entry) {
  TensorInfo info{.name = name, .dtype = dtype, .shape = shaped_as.info->shape};
  info.bytes = tensor_bytes_of(dtype, info.shape, name);
  by_name_[name] = tensors_.size();
  tensors_.push_back(std::move(info));
  entries_.push_back(std::move(entry));
}

void SanitizedTensors::solve(const PlannedTensor& tensor, Rule rule, const Filter& filter) {
  const MatrixView view = tensor.view();
  entries_[by_name_.at(tensor.update->name)].parts[view.start] = {
      std::move(rule),
      {.filter = filter, .view = view, .device = device_, .dtype = tensor.update->dtype()}};
}

void SanitizedTensors::drop(const PlannedTensor& tensor) {
  entries_[by_name_.at(tensor.update->name)].parts.erase(tensor.view().start);
}

const std::filesystem::path& SanitizedTensors::path() const {
  return entries_.front().update != nullptr ? entries_.front().update->unlearned.file->path()
                                            : entries_.front().stored.file->path();
}

Tensor SanitizedTensors::rows(const Entry& entry, int64_t start, int64_t count) const {
  std::vector<Tensor> pieces;
  while (count > 0) {
    auto part = entry.parts.upper_bound(start);
    SAGESAN_ASSERT(part != entry.parts.begin());
    --part;
    const auto& [first, how] = *part;
    const MatrixView& view = how.options.view;
    const int64_t left = view.rows < 0 ? count : first + view.rows - start;
    SAGESAN_ASSERT(left > 0);
    const int64_t here = std::min(left, count);
    pieces.push_back(
        solve_rows(*entry.update, how.rule, how.options, start - first, here, blocks_));
    start += here;
    count -= here;
  }
  return pieces.size() == 1 ? pieces.front() : at::cat(pieces, 0);
}

void SanitizedTensors::read(const TensorInfo& tensor, uint64_t start,
                            std::span<std::byte> buffer) const {
  const Entry& entry = entries_[static_cast<size_t>(&tensor - tensors_.data())];
  if (entry.update == nullptr) {
    entry.stored.read(start, buffer);
    return;
  }
  SAGESAN_ASSERT(!entry.parts.empty());
  const bool whole = tensor.shape.size() < 2 || entry.parts.begin()->second.options.view.transposed;
  const int64_t columns = whole ? tensor.elements() : tensor.shape.back();
  const auto row_bytes =
      static_cast<uint64_t>(columns) * static_cast<uint64_t>(dtype_bits(tensor.dtype)) / 8;
  const int64_t step = rule_block_rows(columns);
  while (!buffer.empty()) {
    const uint64_t row = start / row_bytes;
    const uint64_t skipped = start - row * row_bytes;
    const uint64_t wanted = (skipped + buffer.size() + row_bytes - 1) / row_bytes;
    const int64_t count = std::min<int64_t>(step, static_cast<int64_t>(wanted));
    const Tensor values =
        encode(rows(entry, static_cast<int64_t>(row), count), tensor.dtype).contiguous();
    const auto bytes = tensor_bytes(values).subspan(skipped);
    const size_t taken = std::min(bytes.size(), buffer.size());
    std::memcpy(buffer.data(), bytes.data(), taken);
    buffer = buffer.subspan(taken);
    start += taken;
  }
}

}  // namespace sagesan
