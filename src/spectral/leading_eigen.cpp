#include "leading_eigen.h"

#include <ATen/ops/linalg_qr.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr double kTolerance = 1e-5;
/// Columns of the whole space for each pair that may be needed.
constexpr int64_t kColumnsPerPair = 3;

Tensor orthonormal(const Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

/// The span of B, S B, S^2 B, ... for a random block B of columns, every new block made orthogonal
/// to those before.
class KrylovSpace {
 public:
  KrylovSpace(const Tensor& matrix, int64_t most)
      : matrix_(matrix),
        q_(at::empty({matrix.size(0), most}, matrix.options())),
        image_(at::empty_like(q_)) {}

  int64_t size() const { return size_; }
  bool is_full() const { return size_ == q_.size(1); }

  void add_block() {
    const int64_t channels = q_.size(0);
    const int64_t width = std::min(std::clamp<int64_t>(channels / 64, 32, 128), q_.size(1) - size_);
    Tensor block;
    if (size_ == 0) {
      block = orthonormal(at::mm(matrix_, random_columns(width)));
    } else {
      const Tensor q = q_.narrow(1, 0, size_);
      block = image_.narrow(1, size_ - width, width);
      for (int i = 0; i < 2; ++i) block = orthonormal(block - at::mm(q, at::mm(q.t(), block)));
    }
    q_.narrow(1, size_, width).copy_(block);
    image_.narrow(1, size_, width).copy_(at::mm(matrix_, block));
    size_ += width;
  }

  /// Rayleigh and Ritz: the best that the space holds. Values on the CPU; columns in its basis.
  std::pair<Tensor, Tensor> project() const {
    const auto [values, columns] =
        at::linalg_eigh(at::mm(q_.narrow(1, 0, size_).t(), image_.narrow(1, 0, size_)));
    return {values.flip(0).cpu().contiguous(), columns.flip(1)};
  }

  Tensor vectors(const Tensor& columns) const { return at::mm(q_.narrow(1, 0, size_), columns); }
  Tensor images(const Tensor& columns) const { return at::mm(image_.narrow(1, 0, size_), columns); }

 private:
  /// The same in every run.
  Tensor random_columns(int64_t count) const {
    std::mt19937_64 generator(1);
    std::normal_distribution<double> normal;
    Tensor columns = at::empty({matrix_.size(0), count}, at::kDouble);
    auto* number = columns.data_ptr<double>();
    for (int64_t i = 0; i < columns.numel(); ++i) number[i] = normal(generator);
    return columns.to(matrix_.device());
  }

  const Tensor& matrix_;
  Tensor q_, image_;  ///< orthonormal columns, and S times them
  int64_t size_ = 0;
};

/// How many of the values hold `wanted`; 0: all of them do not.
int64_t count_needed(const Tensor& values, double wanted) {
  double held = 0;
  for (int64_t i = 0; i < values.numel(); ++i) {
    held += values.data_ptr<double>()[i];
    if (held >= wanted) return i + 1;
  }
  return 0;
}

}  // namespace

std::optional<EigenPairs> leading_eigen(const Tensor& matrix, double energy, int64_t most) {
  SAGESAN_ASSERT(most > 0 && kColumnsPerPair * most <= matrix.size(0));
  const double wanted = energy * matrix.diagonal().sum().item<double>();
  // n eigenvalues hold at most the root of n times the sum of all squares (Cauchy and Schwarz).
  if (wanted * wanted > static_cast<double>(most) * squared_norm(matrix)) return std::nullopt;
  KrylovSpace space(matrix, kColumnsPerPair * most);
  for (int64_t looked_at = 0; !space.is_full();) {
    space.add_block();
    if (space.size() < looked_at + looked_at / 4 && !space.is_full()) continue;
    looked_at = space.size();
    const auto [values, columns] = space.project();
    const int64_t needed = count_needed(values, wanted);
    // As many columns as may be needed hold nearly what these would.
    if (needed == 0 && space.size() >= most && values.sum().item<double>() < 0.9 * wanted)
      return std::nullopt;
    if (needed == 0) continue;
    if (needed > most) return std::nullopt;
    const auto* value = values.data_ptr<double>();
    const Tensor vectors = space.vectors(columns.narrow(1, 0, needed));
    const Tensor errors = space.images(columns.narrow(1, 0, needed)) -
                          vectors * values.narrow(0, 0, needed).to(matrix.device());
    const double error = std::sqrt(errors.pow(2).sum(0).max().item<double>());
    if (error <= kTolerance * value[needed - 1])
      return EigenPairs{values.narrow(0, 0, needed), vectors, error / value[0]};
  }
  return std::nullopt;
}

}  // namespace sagesan
