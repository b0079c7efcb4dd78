#include "sagesan/model/hidden_states.h"

#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

uint64_t bytes_of(int64_t rows, int64_t channels) {
  return static_cast<uint64_t>(rows) * static_cast<uint64_t>(channels) * sizeof(float);
}

}  // namespace

HiddenStates::HiddenStates(int64_t tokens, int64_t channels, at::Device device,
                           const std::filesystem::path& directory)
    : file_(std::in_place, directory, bytes_of(tokens, channels)),
      channels_(channels),
      device_(device) {}

Tensor HiddenStates::load(int64_t start, int64_t count) const {
  if (!file_) return states_.narrow(0, start, count);
  const StageClock clock("spill", bytes_of(count, channels_));
  Tensor rows = at::empty({count, channels_}, at::kFloat);
  file_->read(bytes_of(start, channels_), writable_bytes(rows));
  return rows.to(device_);
}

void HiddenStates::store(int64_t start, const Tensor& rows) {
  if (file_) {
    const StageClock clock("spill", rows.nbytes());
    file_->write(bytes_of(start, channels_), tensor_bytes(rows.cpu().contiguous()));
    return;
  }
  const Tensor place = states_.narrow(0, start, rows.size(0));
  if (place.data_ptr() != rows.data_ptr()) place.copy_(rows);
}

const Tensor& HiddenStates::tensor() const {
  SAGESAN_ASSERT(!file_);
  return states_;
}

}  // namespace sagesan
