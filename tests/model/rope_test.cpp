#include "sagesan/model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "helpers/eigen.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

using Type = RopeConfiguration::Type;

double cosine(RopeConfiguration rope, int64_t position, int64_t channel) {
  return RotaryEmbedding(rope, at::kCPU)
      .angles(position + 1)
      .first[position][channel]
      .item<double>();
}

TEST(Rope, WhereTheOriginalLengthIsRead) {
  const auto original = [](const char* type, bool by_layer_type) {
    const Json config = {{"max_position_embeddings", 400},
                         {"original_max_position_embeddings", 100}};
    const Json rope = {
        {"rope_type", type}, {"factor", 4.0}, {"original_max_position_embeddings", 50}};
    return read_rope(JsonObject(config, "config.json"), &rope, 8, {.by_layer_type = by_layer_type})
        .original_positions;
  };
  EXPECT_EQ(original("yarn", false), 100);
  EXPECT_EQ(original("yarn", true), 50);  // Gemma 3's, one of two
  EXPECT_EQ(original("linear", false), 50);
}

TEST(Rope, DefaultAngles) {
  const RopeConfiguration rope{
      .theta = 10000, .dimension = 8, .max_positions = 64, .original_positions = 64};
  for (int64_t channel = 0; channel < 4; ++channel) {
    EXPECT_NEAR(cosine(rope, 5, channel), std::cos(5 * std::pow(10000, -channel / 4.0)), 1e-6);
  }
}

TEST(Rope, LinearDividesPositions) {
  const RopeConfiguration rope{
      .type = Type::kLinear, .theta = 10000, .dimension = 8, .max_positions = 64, .factor = 4};
  EXPECT_NEAR(cosine(rope, 8, 0), std::cos(2.0), 1e-6);
}

TEST(Rope, DynamicDependsOnTheTextsLength) {
  const RopeConfiguration rope{
      .type = Type::kDynamic, .theta = 10000, .dimension = 8, .max_positions = 16, .factor = 2};
  RotaryEmbedding embedding(rope, at::kCPU);
  const double within = embedding.angles(16).first[3][1].item<double>();
  EXPECT_NEAR(within, std::cos(3 * std::pow(10000, -0.25)), 1e-6);
  const double stretched = 10000 * std::pow(2.0 * 24 / 16 - 1, 8.0 / 6);
  EXPECT_NEAR(embedding.angles(24).first[3][1].item<double>(),
              std::cos(3 * std::pow(stretched, -0.25)), 1e-6);
  EXPECT_EQ(embedding.angles(10).first[3][1].item<double>(), within);
}

TEST(Rope, Llama3KeepsShortWavesAndStretchesLongOnes) {
  const RopeConfiguration rope{.type = Type::kLlama3,
                               .theta = 500000,
                               .dimension = 64,
                               .max_positions = 131072,
                               .original_positions = 8192,
                               .factor = 32,
                               .low_frequency_factor = 1,
                               .high_frequency_factor = 4};
  EXPECT_NEAR(cosine(rope, 3, 0), std::cos(3.0), 1e-6);
  const double slowest = std::pow(500000, -62.0 / 64) / 32;
  EXPECT_NEAR(RotaryEmbedding(rope, at::kCPU).angles(1001).second[1000][31].item<double>(),
              std::sin(1000 * slowest), 1e-7);
}

TEST(Rope, RotatesPairsOfChannels) {
  const Tensor x = at::tensor(std::vector<float>{1, 2, 3, 4}, at::kFloat).view({1, 1, 4});
  const Tensor angle = at::tensor(std::vector<float>{0.5F, 1.5F}, at::kFloat).view({1, 2});
  const testing::Matrix y =
      testing::to_eigen(RotaryEmbedding::rotate(x, at::cos(angle), at::sin(angle)).view({4, 1}));
  EXPECT_NEAR(y(0), std::cos(0.5) - 3 * std::sin(0.5), 1e-6);
  EXPECT_NEAR(y(1), 2 * std::cos(1.5) - 4 * std::sin(1.5), 1e-6);
  EXPECT_NEAR(y(2), 3 * std::cos(0.5) + std::sin(0.5), 1e-6);
  EXPECT_NEAR(y(3), 4 * std::cos(1.5) + 2 * std::sin(1.5), 1e-6);
}

}  // namespace
}  // namespace sagesan
