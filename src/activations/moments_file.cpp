#include "sagesan/activations/moments_file.h"

#include <fmt/format.h>

#include <cmath>

#include "sagesan/support/error.h"

namespace sagesan {

Tensor MomentsFile::read_tensor(const std::string& name) const {
  const TensorInfo& info = header_.tensor(name);
  const at::ScalarType type = info.dtype == DType::kI64 ? at::kLong : scalar_type(info.dtype);
  Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(type));
  header_.file().read(info, 0, writable_bytes(tensor));
  if (!all_finite(tensor))
    throw InputError(path().string(), fmt::format("tensor {}: not finite", quote(name)));
  return tensor;
}

namespace {

/// Whether these can be sums of squares with that weight: none negative, their sum and mean
/// positive and finite. An expert's may all be 0.
bool are_energies(const Tensor& squares, double weight, bool expert) {
  const double sum = squares.sum().item<double>();
  if (!(squares.min().item<double>() >= 0) || !std::isfinite(sum)) return false;
  return std::isnormal(sum / weight) || (expert && sum == 0);
}

}  // namespace

SiteMoment MomentsFile::read(const std::string& site, at::Device device) const {
  const auto found = sites().find(site);
  if (found == sites().end())
    throw InputError(path().string(), fmt::format("holds no moment of site {}", quote(site)));
  const MomentShape& shape = found->second;
  const auto count = read_tensor(site + ".count").item<int64_t>();
  const auto weight = read_tensor(site + ".weight").item<double>();
  const bool rows = shape.rows();
  const Tensor values = read_tensor(site + (rows ? ".rows" : ".sum"));
  const Tensor squares = rows             ? values.to(at::kDouble).pow(2).sum(1)
                         : shape.diagonal ? values
                                          : values.diagonal();
  const bool expert = site.find(".experts.") != std::string::npos;
  const bool empty = rows && shape.tokens == 0;
  const bool sound = empty ? count == 0 && weight == 0
                           : count >= 1 && count <= kMostTokens && weight > 0 &&
                                 (!rows || count == shape.tokens) &&
                                 are_energies(squares, weight, expert);
  if (!sound) {
    throw InputError(path().string(),
                     fmt::format("site {}: count {}, weight {} and the sums of squares contradict "
                                 "each other",
                                 quote(site), count, weight));
  }
  if (shape.diagonal) return DiagonalMoment(values, count);
  return SecondMoment(
      MomentSums{.sum = rows ? Tensor() : values.to(device),
                 .rows = rows ? values.to(device) : Tensor(),
                 .mean_sum = read_tensor(site + ".mean_sum").to(device),
                 .weight = weight,
                 .largest_token = read_tensor(site + ".largest_token").item<double>(),
                 .count = count});
}

namespace {

/// Bytes of data that surely come.
uint64_t least_bytes(std::map<std::string, MomentShape> sites) {
  std::erase_if(sites, [](const auto& site) { return !site.second.tokens; });
  return total_bytes(moments_layout(sites));
}

}  // namespace

MomentsWriter::MomentsWriter(const std::filesystem::path& path, const MomentsOrigin& origin,
                             const std::map<std::string, MomentShape>& sites)
    : target_(path),
      writer_(target_.path(), moments_layout(sites), moments_metadata(origin), least_bytes(sites)) {
}

void MomentsWriter::write(const std::string& site, const SiteMoment& moment) {
  const auto write = [&](const char* part, const Tensor& values) {
    const Tensor here = values.cpu().contiguous();
    writer_.write({site + part, dtype_of(here), here.sizes().vec()}, tensor_bytes(here));
  };
  const auto write_scalars = [&](int64_t count, double weight) {
    write(".count", at::full({}, count, at::kLong));
    write(".weight", at::full({}, weight, at::kDouble));
  };
  if (const auto* diagonal = std::get_if<DiagonalMoment>(&moment)) {
    write_scalars(diagonal->count(), static_cast<double>(diagonal->count()));
    write(".sum", diagonal->sum());
    return;
  }
  const auto& second = std::get<SecondMoment>(moment);
  write_scalars(second.count(), second.weight());
  write(".mean_sum", second.mean_sum());
  write(".largest_token", at::full({}, second.largest_token(), at::kDouble));
  write(second.has_rows() ? ".rows" : ".sum", second.has_rows() ? second.rows() : second.sum());
}

void MomentsWriter::commit(bool overwrite) {
  writer_.finish();
  target_.commit(overwrite);
}

}  // namespace sagesan
