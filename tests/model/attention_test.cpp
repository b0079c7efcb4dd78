#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "sagesan/model/decoder.h"

namespace sagesan {
namespace {

using testing::Matrix;

struct Shape {
  int64_t tokens, heads, key_heads, channels, window, texts = 1;
};

/// The definition, one query at a time, in float64.
Matrix slow_attention(const Matrix& q, const Matrix& k, const Matrix& v, const Shape& shape,
                      double scale) {
  Matrix result = Matrix::Zero(shape.tokens, shape.heads * shape.channels);
  for (int64_t head = 0; head < shape.heads; ++head) {
    const int64_t key_head = head / (shape.heads / shape.key_heads);
    for (int64_t i = 0; i < shape.tokens; ++i) {
      const int64_t first = shape.window > 0 ? std::max<int64_t>(0, i - shape.window + 1) : 0;
      Eigen::VectorXd weight(i - first + 1);
      for (int64_t j = first; j <= i; ++j) {
        weight[j - first] =
            std::exp(scale * q.row(i)
                                 .segment(head * shape.channels, shape.channels)
                                 .dot(k.row(j).segment(key_head * shape.channels, shape.channels)));
      }
      weight /= weight.sum();
      for (int64_t j = first; j <= i; ++j) {
        result.row(i).segment(head * shape.channels, shape.channels) +=
            weight[j - first] * v.row(j).segment(key_head * shape.channels, shape.channels);
      }
    }
  }
  return result;
}

class CausalAttention : public ::testing::TestWithParam<Shape> {};

TEST_P(CausalAttention, AgreesWithTheDefinition) {
  const Shape& shape = GetParam();
  const int64_t rows = shape.texts * shape.tokens;
  const Matrix q = testing::random_matrix(rows, shape.heads * shape.channels, 1);
  const Matrix k = testing::random_matrix(rows, shape.key_heads * shape.channels, 2);
  const Matrix v = testing::random_matrix(rows, shape.key_heads * shape.channels, 3);
  const auto split = [&](const Matrix& m, int64_t heads) {
    return testing::to_tensor(m).view({shape.texts, shape.tokens, heads, shape.channels});
  };
  const Tensor result = causal_attention(split(q, shape.heads), split(k, shape.key_heads),
                                         split(v, shape.key_heads), 0.3, shape.window);
  for (int64_t text = 0; text < shape.texts; ++text) {
    const auto part = [&](const Matrix& m) -> Matrix {
      return m.middleRows(text * shape.tokens, shape.tokens);
    };
    EXPECT_LT(testing::relative_error(testing::to_eigen(result[text]),
                                      slow_attention(part(q), part(k), part(v), shape, 0.3)),
              1e-6)
        << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalAttention,
                         ::testing::Values(Shape{1, 2, 1, 4, 0}, Shape{17, 4, 4, 4, 0},
                                           Shape{17, 6, 2, 4, 0}, Shape{17, 4, 2, 4, 5},
                                           Shape{17, 4, 1, 4, 1}, Shape{17, 4, 2, 4, 99},
                                           // more than one block of queries
                                           Shape{1100, 2, 1, 2, 0}, Shape{1100, 2, 1, 2, 300},
                                           // several texts
                                           Shape{17, 6, 2, 4, 0, 3}, Shape{17, 4, 2, 4, 5, 2}));

}  // namespace
}  // namespace sagesan
