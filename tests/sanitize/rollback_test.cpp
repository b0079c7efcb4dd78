#include "sagesan/sanitize/rollback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "helpers/eigen.h"
#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::Vector;

/// One tensor of two checkpoints.
class Pair {
 public:
  Pair(const Tensor& base, const Tensor& unlearned)
      : base_(write("base", base)),
        unlearned_(write("unlearned", unlearned)),
        update_{.name = "w",
                .base = {&base_, base_.tensors().data()},
                .unlearned = {&unlearned_, unlearned_.tensors().data()},
                .changed = true} {}

  const Update& update() const { return update_; }

 private:
  SafetensorsFile write(const std::string& name, const Tensor& values) const {
    const Tensor whole = values.contiguous();
    write_safetensors(directory_ / name,
                      {{"w", dtype_of(whole), whole.sizes().vec(), tensor_bytes(whole)}});
    return SafetensorsFile(directory_ / name);
  }

  testing::TemporaryDirectory directory_;
  SafetensorsFile base_, unlearned_;
  Update update_;
};

struct Result {
  Rollback rollback;
  SolveFigures figures;
  Tensor values;  ///< in the shape of what was asked for
};

Result roll_back(const Tensor& base, const Tensor& unlearned, const Channels& channels,
                 double share, const MatrixView& view = {}) {
  const Pair pair(base, unlearned);
  Result result{.rollback = choose_rollback(pair.update(), channels, share, view, at::kCPU)};
  std::vector<Tensor> parts;
  result.figures = apply_rule(pair.update(), result.rollback.rule, {.view = view},
                              [&](auto, const Tensor& values) {
                                EXPECT_EQ(values.scalar_type(), unlearned.scalar_type());
                                parts.push_back(values.reshape({-1}).clone());
                              });
  result.values = at::cat(parts);
  result.values =
      result.values.reshape(view.rows < 0 ? unlearned.sizes().vec()
                                          : std::vector<int64_t>{view.rows, unlearned.size(-1)});
  return result;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor left = a.contiguous();
  const Tensor right = b.contiguous();
  return left.scalar_type() == right.scalar_type() && left.sizes() == right.sizes() &&
         std::memcmp(left.data_ptr(), right.data_ptr(), left.nbytes()) == 0;
}

/// Columns that are the base's, of a matrix whose others must be the unlearned ones; -1 where one
/// is neither.
std::vector<int64_t> columns_back(const Tensor& values, const Tensor& base,
                                  const Tensor& unlearned) {
  std::vector<int64_t> result;
  for (int64_t j = 0; j < values.size(1); ++j) {
    const Tensor column = values.select(1, j);
    if (same_bits(column, unlearned.select(1, j))) continue;
    result.push_back(same_bits(column, base.select(1, j)) ? j : -1);
  }
  return result;
}

std::vector<int64_t> rows_back(const Tensor& values, const Tensor& base, const Tensor& unlearned) {
  return columns_back(values.t(), base.t(), unlearned.t());
}

/// The `count` largest of `scores` among `eligible`, ascending.
std::vector<int64_t> largest(const Vector& scores, std::vector<int64_t> eligible, int64_t count) {
  std::stable_sort(eligible.begin(), eligible.end(),
                   [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  eligible.resize(static_cast<size_t>(count));
  std::sort(eligible.begin(), eligible.end());
  return eligible;
}

std::vector<int64_t> range(int64_t count) {
  std::vector<int64_t> result(static_cast<size_t>(count));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

/// A linear module on inputs of a falling spectrum.
struct RollbackProblem {
  Tensor base, unlearned;
  Matrix d, s;
  MomentMatrix moment;

  Matrix weight() const { return testing::to_eigen(base); }
  /// `<D_j, (D S)_j> / |D_j|^2`, written as the double sum that it is.
  Vector scores() const {
    Vector result(d.cols());
    for (int64_t j = 0; j < d.cols(); ++j) {
      double bias = 0;
      for (int64_t i = 0; i < d.cols(); ++i) bias += d.col(j).dot(d.col(i)) * s(i, j);
      result[j] = bias / d.col(j).squaredNorm();
    }
    return result;
  }
};

RollbackProblem make_problem(int64_t out, int64_t channels, int64_t tokens, uint64_t seed,
                             const std::vector<int64_t>& unchanged = {},
                             at::ScalarType base_type = at::kFloat,
                             at::ScalarType unlearned_type = at::kFloat) {
  const Matrix inputs = testing::random_inputs(tokens, channels, seed);
  SecondMoment collected(channels, tokens, at::kCPU);
  collected.add(testing::to_tensor(inputs));
  const Matrix weight = testing::random_matrix(out, channels, seed + 1);
  Matrix change = 0.1 * testing::random_matrix(out, channels, seed + 2);
  for (const int64_t j : unchanged) change.col(j).setZero();
  Tensor base = testing::to_tensor(weight, base_type);
  Tensor unlearned = testing::to_tensor(weight + change, unlearned_type);
  const Matrix d = testing::to_eigen(unlearned) - testing::to_eigen(base);
  return {std::move(base), std::move(unlearned), d,
          inputs.transpose() * inputs / static_cast<double>(tokens),
          MomentMatrix(collected, "site")};
}

/// More tokens than channels, and fewer.
class LinearRollback : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Tokens, LinearRollback, ::testing::Values(300, 15));

TEST_P(LinearRollback, TakesBackTheColumnsOfTheLargestScores) {
  const std::vector<int64_t> unchanged = {0, 7, 39};
  const RollbackProblem problem = make_problem(9, 40, GetParam(), 3, unchanged);
  std::vector<int64_t> changed;
  for (int64_t j = 0; j < 40; ++j) {
    if (std::find(unchanged.begin(), unchanged.end(), j) == unchanged.end()) changed.push_back(j);
  }
  double last = testing::bias_of(problem.d, problem.s);
  for (const auto& [share, count] :
       std::vector<std::pair<double, int64_t>>{{1e-9, 1}, {0.1, 4}, {0.5, 19}, {0.98, 36}}) {
    const Result result =
        roll_back(problem.base, problem.unlearned, linear_channels(problem.moment), share);
    EXPECT_EQ(result.rollback.channels, count) << share;
    EXPECT_EQ(result.rollback.candidates, 37);
    const auto expected = largest(problem.scores(), changed, count);
    EXPECT_EQ(columns_back(result.values, problem.base, problem.unlearned), expected) << share;

    Matrix left = problem.d;
    for (const int64_t j : expected) left.col(j).setZero();
    const Responses& responses = result.figures.responses.at(0);
    EXPECT_NEAR(responses.before / testing::bias_of(problem.d, problem.s), 1, 1e-5);
    EXPECT_NEAR(responses.after / testing::bias_of(left, problem.s), 1, 1e-5);
    EXPECT_NEAR(responses.base / testing::bias_of(problem.weight(), problem.s), 1, 1e-5);
    EXPECT_NEAR(result.figures.squared_norm_after / left.squaredNorm(), 1, 1e-5);
    EXPECT_LT(responses.after, last);
    last = responses.after;
  }
}

TEST_P(LinearRollback, AllOfThemAreTheBase) {
  const RollbackProblem problem = make_problem(9, 40, GetParam(), 4);
  const Result result =
      roll_back(problem.base, problem.unlearned, linear_channels(problem.moment), 1);
  EXPECT_TRUE(same_bits(result.values, problem.base));
  EXPECT_EQ(result.rollback.channels, 40);
  EXPECT_EQ(result.figures.responses.at(0).after, 0);
  EXPECT_EQ(result.figures.squared_norm_after, 0);
}

TEST_P(LinearRollback, TransposedWeightsHaveTheirColumnsInRows) {
  const RollbackProblem problem = make_problem(9, 40, GetParam(), 5);
  const Result result = roll_back(problem.base.t(), problem.unlearned.t(),
                                  linear_channels(problem.moment), 0.3, {.transposed = true});
  EXPECT_EQ(columns_back(result.values.t(), problem.base, problem.unlearned),
            largest(problem.scores(), range(40), 12));
}

TEST_P(LinearRollback, AnExpertOfATensorOfAll) {
  std::vector<Tensor> base;
  std::vector<Tensor> unlearned;
  for (const uint64_t seed : {6U, 16U, 26U}) {
    const RollbackProblem other = make_problem(9, 40, GetParam(), seed);
    base.push_back(other.base);
    unlearned.push_back(other.unlearned);
  }
  const RollbackProblem problem = make_problem(9, 40, GetParam(), 16);
  const Result result =
      roll_back(at::cat(base).reshape({3, 9, 40}), at::cat(unlearned).reshape({3, 9, 40}),
                linear_channels(problem.moment), 0.3, {.start = 9, .rows = 9});
  EXPECT_EQ(columns_back(result.values, problem.base, problem.unlearned),
            largest(problem.scores(), range(40), 12));
}

TEST(Rollback, ScoresAreOfAllRows) {
  // 1.1 million numbers are read in two blocks.
  const RollbackProblem problem = make_problem(1600, 700, 15, 7);
  const Result result =
      roll_back(problem.base, problem.unlearned, linear_channels(problem.moment), 0.1);
  // The oracle's double sum over 700 x 700 columns, as one product.
  const Matrix ds = problem.d * problem.s;
  const Vector scores = ((problem.d.array() * ds.array()).colwise().sum() /
                         problem.d.array().square().colwise().sum())
                            .matrix()
                            .transpose();
  EXPECT_EQ(columns_back(result.values, problem.base, problem.unlearned),
            largest(scores, range(700), 70));
}

TEST(Rollback, TakesTheBasesBitsOfAnyDtype) {
  for (const auto& [base, unlearned] :
       std::vector<std::pair<at::ScalarType, at::ScalarType>>{{at::kBFloat16, at::kBFloat16},
                                                              {at::kHalf, at::kHalf},
                                                              {at::kDouble, at::kDouble},
                                                              {at::kBFloat16, at::kFloat},
                                                              {at::kFloat, at::kBFloat16},
                                                              {at::kDouble, at::kFloat}}) {
    const RollbackProblem problem = make_problem(9, 40, 300, 8, {}, base, unlearned);
    const Result result =
        roll_back(problem.base, problem.unlearned, linear_channels(problem.moment), 0.5);
    const Tensor rounded = problem.base.to(unlearned);
    EXPECT_EQ(columns_back(result.values, rounded, problem.unlearned),
              largest(problem.scores(), range(40), 20));
  }
}

TEST(Rollback, SignsOfZeroGoWithTheirChannel) {
  // Column 0 goes back, column 1 stays: zeros of both signs in each.
  const Tensor base = at::tensor(std::vector<float>{0.0F, 0.0F, 1.0F, 1.0F, -0.0F, -0.0F});
  const Tensor unlearned = at::tensor(std::vector<float>{-0.0F, -0.0F, 2.0F, 2.0F, 0.0F, 0.0F});
  SecondMoment collected(2, 4, at::kCPU);
  collected.add(at::tensor(std::vector<float>{3, 0, 0, 1, 3, 0, 0, 1}).reshape({4, 2}));
  const MomentMatrix moment(collected, "site");
  const auto matrix = [](const Tensor& t) { return t.reshape({3, 2}); };
  const Result result = roll_back(matrix(base), matrix(unlearned), linear_channels(moment), 0.5);
  EXPECT_EQ(columns_back(result.values, matrix(base), matrix(unlearned)),
            (std::vector<int64_t>{0}));
}

TEST(Rollback, RefusesABaseThatOverflowsTheStoredDtype) {
  // 65520 is halfway to infinity in float16.
  const Tensor base = at::full({1, 1}, 65520.0, at::kFloat);
  const Tensor unlearned = at::full({1, 1}, 60000.0, at::kHalf);
  SecondMoment collected(1, 2, at::kCPU);
  collected.add(at::ones({2, 1}));
  const MomentMatrix moment(collected, "site");
  EXPECT_THROW(roll_back(base, unlearned, linear_channels(moment), 1), Error);
}

TEST(Rollback, SharesAreRoundedAndTiesGoToTheFirst) {
  const Tensor base = at::zeros({1, 25});
  const Tensor unlearned = at::ones({1, 25});
  // One-hot tokens, each as often: all columns score alike.
  SecondMoment collected(25, 25, at::kCPU);
  Tensor inputs = at::zeros({25, 25});
  inputs.diagonal().fill_(1);
  collected.add(inputs);
  const MomentMatrix moment(collected, "site");
  for (const auto& [share, count] : std::vector<std::pair<double, int64_t>>{
           {1e-12, 1}, {0.05, 1}, {0.07, 2}, {0.1, 3}, {0.12, 3}, {0.28, 7}, {0.99, 25}}) {
    const Result result = roll_back(base, unlearned, linear_channels(moment), share);
    EXPECT_EQ(columns_back(result.values, base, unlearned), range(count)) << share;
  }
}

TEST(Rollback, GainsGoByTheEnergyOfTheirInput) {
  const Tensor base = at::ones({6});
  const Tensor unlearned = doubles({2, 1, 0.5, 1.5, 3, 2}).to(at::kFloat);
  const Tensor energies = doubles({0.5, 3, 1, 2, 1, 0});
  const auto back = [&](double share) {
    const Result result = roll_back(base, unlearned, norm_channels(energies), share);
    EXPECT_EQ(result.rollback.candidates, 4);  // 1 did not change, 5 is never used
    return columns_back(result.values.unsqueeze(0), base.unsqueeze(0), unlearned.unsqueeze(0));
  };
  EXPECT_EQ(back(0.25), (std::vector<int64_t>{3}));
  EXPECT_EQ(back(0.5), (std::vector<int64_t>{2, 3}));  // 2 and 4 score alike
  EXPECT_EQ(back(1), (std::vector<int64_t>{0, 2, 3, 4}));
  const Result result = roll_back(base, unlearned, norm_channels(energies), 0.5);
  EXPECT_DOUBLE_EQ(result.figures.responses.at(0).before, 0.5 + 0.25 + 2 * 0.25 + 4);
  EXPECT_DOUBLE_EQ(result.figures.responses.at(0).after, 0.5 + 4);
}

TEST(Rollback, EmbeddingRowsGoByTheirTokensAndUnseenOnesStay) {
  // Read in two blocks: row 39999 lies in the second.
  const int64_t rows = 40000;
  const Tensor base = testing::to_tensor(testing::random_matrix(rows, 32, 1));
  Tensor unlearned = base + 1;
  unlearned.select(0, 5).copy_(base.select(0, 5));
  std::vector<double> counts(static_cast<size_t>(rows), 0);
  for (const auto& [row, count] : std::vector<std::pair<size_t, double>>{
           {3, 2}, {5, 9}, {7, 1}, {20000, 1}, {39998, 1}, {39999, 4}})
    counts[row] = count;
  const Channels channels = embedding_channels(embedding_energies({doubles(counts), 18}));
  const auto back = [&](double share) {
    const Result result = roll_back(base, unlearned, channels, share);
    EXPECT_EQ(result.rollback.candidates, 5);
    return rows_back(result.values, base, unlearned);
  };
  EXPECT_EQ(back(0.2), (std::vector<int64_t>{39999}));
  EXPECT_EQ(back(0.4), (std::vector<int64_t>{3, 39999}));
  EXPECT_EQ(back(0.6), (std::vector<int64_t>{3, 7, 39999}));
  EXPECT_EQ(back(1), (std::vector<int64_t>{3, 7, 20000, 39998, 39999}));
}

TEST(Rollback, TiedRowsGoByBothInputs) {
  RollbackProblem problem = make_problem(8, 24, 200, 9);
  // Large updates of some rows are no reason by themselves.
  for (const int64_t v : {1, 4, 6}) {
    const Tensor row = problem.unlearned.select(0, v);
    row.add_(row - problem.base.select(0, v), 9);
  }
  problem.d = testing::to_eigen(problem.unlearned) - problem.weight();
  const std::vector<double> counts = {5, 0, 1, 1, 0, 3, 0, 2};
  const Channels channels =
      tied_embedding_channels(embedding_energies({doubles(counts), 12}), problem.moment);
  Vector scores(8);
  for (int64_t v = 0; v < 8; ++v) {
    const double head = (problem.d.row(v) * problem.s * problem.d.row(v).transpose()).value();
    scores[v] = counts[static_cast<size_t>(v)] / 12 * 5 +
                head / problem.d.row(v).squaredNorm() / (problem.s.trace() / 24);
  }
  for (const int64_t count : {1, 3, 5, 8}) {
    const Result result =
        roll_back(problem.base, problem.unlearned, channels, static_cast<double>(count) / 8);
    const auto expected = largest(scores, range(8), count);
    EXPECT_EQ(rows_back(result.values, problem.base, problem.unlearned), expected);
    ASSERT_EQ(result.figures.responses.size(), 2U);
    Matrix left = problem.d;
    for (const int64_t v : expected) left.row(v).setZero();
    EXPECT_NEAR(result.figures.responses[1].after, testing::bias_of(left, problem.s),
                1e-5 * testing::bias_of(problem.d, problem.s));
  }
  // What did not change does not count.
  Tensor same = problem.unlearned.clone();
  same.select(0, 0).copy_(problem.base.select(0, 0));
  const Result result = roll_back(problem.base, same, channels, 1);
  EXPECT_EQ(result.rollback.candidates, 7);
}

TEST(Rollback, WhereNothingIsUsedNothingGoesBack) {
  const Tensor base = at::zeros({3, 4});
  const Tensor unlearned = at::ones({3, 4});
  const Result result = roll_back(base, unlearned, embedding_channels(doubles({0, 0, 0})), 1);
  EXPECT_EQ(result.rollback.channels, 0);
  EXPECT_TRUE(same_bits(result.values, unlearned));
}

}  // namespace
}  // namespace sagesan
