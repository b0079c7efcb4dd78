#include "sagesan/adapters/merged_adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Numbers of one block of rows: what is computed at once and kept.
constexpr int64_t kBlockElements = int64_t{1} << 19;

/// A matrix `[all but the last, last]`; a vector is one row.
int64_t columns_of(const TensorInfo& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.back();
}
int64_t rows_of(const TensorInfo& tensor) {
  const int64_t columns = columns_of(tensor);
  return columns == 0 ? 0 : tensor.elements() / columns;
}
int64_t rows_per_block(const TensorInfo& tensor) {
  return std::max<int64_t>(1, kBlockElements / columns_of(tensor));
}

/// Rows of a stored tensor of any dimension, float64.
Tensor wide_rows(const StoredTensor& stored, int64_t start, int64_t count) {
  if (stored.info->shape.size() >= 2) return load_rows(stored, start, count).to(at::kDouble);
  return load(stored).to(at::kDouble).reshape({1, -1});
}

/// Whether the values are one adapter's own tensor, as it is.
bool is_replaced(const std::vector<AdapterChange>& changes) {
  return changes.size() == 1 && changes[0].whole && !changes[0].low_rank && !changes[0].bias;
}

void check_together(const std::vector<AdapterChange>& changes) {
  const auto whole = std::find_if(changes.begin(), changes.end(),
                                  [](const AdapterChange& change) { return change.whole; });
  if (changes.size() < 2 || whole == changes.end()) return;
  const AdapterChange& other = whole == changes.begin() ? changes[1] : changes[0];
  const StoredTensor& stored = other.whole  ? other.whole
                               : other.bias ? other.bias
                                            : other.low_rank->rows.stored;
  throw InputError(whole->whole.where(),
                   fmt::format("takes the place of {}, which {} changes too",
                               quote(whole->base.info->name), stored.file->path().string()));
}

/// Whether the rows of several routes stand one below another.
bool is_routed(const std::vector<AdapterChange>& changes) {
  const auto& low_rank = changes.front().low_rank;
  return low_rank && !low_rank->routes.empty();
}

}  // namespace

/// What is kept between reads: of the tensor read last, both factors of each change with DoRA's
/// quotients, and one block of rows.
struct MergedAdapters::Work {
  static constexpr size_t kNone = static_cast<size_t>(-1);
  struct Change {
    FactorPair factors;
    Tensor magnitude;  ///< float64 `[outputs]`
    Tensor quotients;  ///< m / norm `[1, columns]` where the norms are the columns'
  };
  /// An expert's two parameters have four factors in each adapter.
  explicit Work(size_t adapters) : shared(4 * adapters) {}
  void forget() {
    index = kNone;
    changes.clear();
    block = -1;
    values = Tensor();
  }

  size_t index = kNone;
  std::vector<Change> changes;
  int64_t block = -1;
  Tensor values;
  SharedFactors shared;
};

MergedAdapters::MergedAdapters(const Checkpoint& base, const std::vector<Adapter>& adapters)
    : adapters_(adapters), work_(std::make_unique<Work>(adapters.size())) {
  SAGESAN_ASSERT(!adapters.empty());
  for (const Adapter& adapter : adapters) {
    if (adapters.size() == 1 || !adapter.routed()) continue;
    throw InputError(adapter.file().path().string(),
                     "is routed at run time, so that no other adapter can be summed with it");
  }
  std::map<std::string, std::vector<AdapterChange>> by_name;
  for (const Adapter& adapter : adapters) {
    for (AdapterChange& change : match_adapter(adapter, base))
      by_name[change.base.info->name].push_back(std::move(change));
  }
  for (const StoredTensor& stored : base.tensors()) {
    const auto found = by_name.find(stored.info->name);
    if (found == by_name.end()) continue;
    check_together(found->second);
    TensorInfo info = *stored.info;
    const bool replaced = is_replaced(found->second);
    if (!is_computable(info.dtype)) {
      throw InputError(
          stored.where(),
          fmt::format("dtype {}: an adapter is merged into F8, F16, BF16, F32 and F64 alone",
                      dtype_name(info.dtype)));
    }
    info.dtype = DType::kF64;
    if (replaced) {
      info.dtype = found->second[0].whole.info->dtype;
      info.shape = found->second[0].whole.info->shape;
    }
    info.offset = 0;
    if (is_routed(found->second))
      info.shape[0] *= static_cast<int64_t>(found->second[0].low_rank->routes.size());
    info.bytes = tensor_bytes_of(info.dtype, info.shape, stored.where());
    by_name_[info.name] = tensors_.size();
    tensors_.push_back(std::move(info));
    changes_.push_back(std::move(found->second));
  }
}

MergedAdapters::~MergedAdapters() = default;

const std::filesystem::path& MergedAdapters::path() const {
  return adapters_.front().file().path();
}

StoredTensor MergedAdapters::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return {};
  return {this, &tensors_[found->second]};
}

const std::vector<AdapterChange>& MergedAdapters::changes(const std::string& name) const {
  const auto found = by_name_.find(name);
  SAGESAN_ASSERT(found != by_name_.end());
  return changes_[found->second];
}

const Adapter& MergedAdapters::adapter_of(const AdapterChange& change) const {
  const StoredTensor& stored = change.whole  ? change.whole
                               : change.bias ? change.bias
                                             : change.low_rank->rows.stored;
  const auto found = std::find_if(adapters_.begin(), adapters_.end(), [&](const Adapter& adapter) {
    return &adapter.file() == stored.file;
  });
  SAGESAN_ASSERT(found != adapters_.end());
  return *found;
}

std::optional<std::string> MergedAdapters::why_not_low_rank(const std::string& name) const {
  const std::vector<AdapterChange>& here = changes(name);
  if (adapters_.size() > 1) {
    return fmt::format("{} adapters are summed: one adapter of the same rank cannot be their sum",
                       adapters_.size());
  }
  const AdapterChange& change = here.front();
  if (change.low_rank && change.low_rank->magnitude) {
    return "DoRA divides by the norm of the merged weight: another update changes every quotient";
  }
  if (change.whole && (change.low_rank || change.bias))
    return "the adapter both replaces the tensor and adds to it";
  return std::nullopt;
}

size_t MergedAdapters::index_of(const TensorInfo& tensor) const {
  const auto index = static_cast<size_t>(&tensor - tensors_.data());
  SAGESAN_ASSERT(index < tensors_.size());
  return index;
}

/// The rows that the changes start from.
Tensor MergedAdapters::base_rows(size_t index, int64_t start, int64_t count) const {
  const AdapterChange& first = changes_[index].front();
  const StoredTensor& stored = first.whole ? first.whole : first.base;
  if (!is_routed(changes_[index])) return wide_rows(stored, start, count);
  // Every route starts from the same rows.
  const int64_t rows = stored.info->shape[0];
  std::vector<Tensor> parts;
  for (int64_t row = start; row < start + count;) {
    const int64_t own = row % rows;
    const int64_t here = std::min(rows - own, start + count - row);
    parts.push_back(wide_rows(stored, own, here));
    row += here;
  }
  return at::cat(parts);
}

/// Loads the factors of a tensor. DoRA's norms of columns need a pass over all rows.
void MergedAdapters::prepare(size_t index) const {
  if (work_->index == index) return;
  work_->forget();
  const TensorInfo& info = tensors_[index];
  for (const AdapterChange& change : changes_[index]) {
    Work::Change& here = work_->changes.emplace_back();
    if (!change.low_rank) continue;
    here.factors = load_factors(*change.low_rank, work_->shared);
    if (!change.low_rank->magnitude) continue;
    here.magnitude = load(change.low_rank->magnitude).to(at::kDouble);
    if (change.low_rank->norms_of_rows()) continue;
    Tensor squares = at::zeros({info.shape.back()}, at::TensorOptions().dtype(at::kDouble));
    const int64_t step = rows_per_block(info);
    for (int64_t start = 0; start < rows_of(info); start += step) {
      const int64_t count = std::min(step, rows_of(info) - start);
      squares += (base_rows(index, start, count) + multiply_rows(here.factors, start, count))
                     .pow(2)
                     .sum(0);
    }
    here.quotients = (here.magnitude / squares.sqrt()).unsqueeze(0);
  }
  work_->index = index;
}

Tensor MergedAdapters::compute_rows(size_t index, int64_t start, int64_t count) const {
  const Tensor base = base_rows(index, start, count);
  Tensor values = base.clone();
  for (size_t i = 0; i < changes_[index].size(); ++i) {
    const AdapterChange& change = changes_[index][i];
    const Work::Change& prepared = work_->changes[i];
    if (change.bias) values += load(change.bias).to(at::kDouble) * change.bias_scale;
    if (!change.low_rank) continue;
    const Tensor product = multiply_rows(prepared.factors, start, count).to(at::kDouble);
    values += product;
    if (!prepared.magnitude.defined()) continue;
    if (prepared.quotients.defined()) {
      values *= prepared.quotients;
    } else {
      const Tensor norms = (base + product).pow(2).sum(1).sqrt();
      values *= (prepared.magnitude.narrow(0, start, count) / norms).unsqueeze(1);
    }
  }
  return values.contiguous();
}

void MergedAdapters::read(const TensorInfo& tensor, uint64_t start,
                          std::span<std::byte> buffer) const {
  SAGESAN_ASSERT(start <= tensor.bytes && buffer.size() <= tensor.bytes - start);
  const size_t index = index_of(tensor);
  if (is_replaced(changes_[index])) {
    changes_[index][0].whole.read(start, buffer);
    return;
  }
  const std::lock_guard lock(mutex_);
  prepare(index);
  const int64_t step = rows_per_block(tensor);
  const uint64_t block_bytes = static_cast<uint64_t>(step * columns_of(tensor)) * sizeof(double);
  while (!buffer.empty()) {
    const auto block = static_cast<int64_t>(start / block_bytes);
    if (work_->block != block) {
      const int64_t first = block * step;
      work_->values = compute_rows(index, first, std::min(step, rows_of(tensor) - first));
      work_->block = block;
    }
    const auto bytes = tensor_bytes(work_->values).subspan(start % block_bytes);
    const size_t count = std::min(bytes.size(), buffer.size());
    std::memcpy(buffer.data(), bytes.data(), count);
    buffer = buffer.subspan(count);
    start += count;
  }
}

}  // namespace sagesan
