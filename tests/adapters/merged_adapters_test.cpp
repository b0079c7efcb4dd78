#include "sagesan/adapters/merged_adapters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::adapter_configuration;
using testing::lora_pair;
using testing::random_tensor;
using testing::TinyTensor;
using testing::TinyWeights;
using testing::operator+;

const std::string kQuery = "model.layers.0.q_proj";
const std::string kValue = "model.layers.0.v_proj";

/// The values as float32 holds them.
std::vector<double> narrow(std::vector<double> values) {
  for (double& value : values) value = static_cast<float>(value);
  return values;
}

/// B A times `scale` by plain loops, `[out, in]`.
std::vector<double> product(const TinyWeights& pair, double scale) {
  const auto a = narrow(pair[0].values);
  const auto b = narrow(pair[1].values);
  const int64_t rank = pair[0].shape[0];
  const int64_t in = pair[0].shape[1];
  const int64_t out = pair[1].shape[0];
  std::vector<double> result(static_cast<size_t>(out * in));
  for (int64_t i = 0; i < out * in; ++i) {
    for (int64_t k = 0; k < rank; ++k)
      result[i] += scale * b[(i / in) * rank + k] * a[k * in + i % in];
  }
  return result;
}

class MergedAdaptersTest : public ::testing::Test {
 protected:
  void put_adapter(const TinyWeights& tensors, const json& configuration = adapter_configuration(),
                   DType dtype = DType::kF32) {
    const auto directory = root_ / fmt::format("adapter{}", adapters_.size());
    testing::write_adapter_files(directory, configuration, tensors, dtype);
    adapters_.push_back(Adapter::open(directory));
  }
  MergedAdapters& merge(const TinyWeights& base, DType dtype = DType::kF32,
                        const std::string& type = "llama") {
    testing::write_base_files(root_ / "base", base, type, dtype);
    base_.emplace(Checkpoint::open(root_ / "base"));
    merged_ = std::make_unique<MergedAdapters>(*base_, adapters_);
    return *merged_;
  }
  std::vector<double> read(const std::string& name) {
    const StoredTensor tensor = merged_->find(name);
    EXPECT_EQ(tensor.info->dtype, DType::kF64);
    std::vector<double> values(static_cast<size_t>(tensor.info->elements()));
    tensor.read(0, std::as_writable_bytes(std::span(values)));
    return values;
  }
  /// Largest error of merged - base against `delta`, relative to the largest of `delta`.
  double error(const TinyTensor& base, const std::vector<double>& delta) {
    const auto values = read(base.name);
    const auto before = narrow(base.values);
    double worst = 0;
    double most = 0;
    for (size_t i = 0; i < delta.size(); ++i) {
      worst = std::max(worst, std::abs(values[i] - before[i] - delta[i]));
      most = std::max(most, std::abs(delta[i]));
    }
    return worst / most;
  }

  testing::TemporaryDirectory root_;
  std::vector<Adapter> adapters_;
  std::optional<Checkpoint> base_;
  std::unique_ptr<MergedAdapters> merged_;
};

TEST_F(MergedAdaptersTest, ProductIsAddedToTheBase) {
  const TinyWeights pair = lora_pair(kQuery, 2, 7, 5);
  const TinyTensor base = random_tensor(kQuery + ".weight", {5, 7});
  put_adapter(pair);
  merge({random_tensor("model.norm.weight", {7}), base});
  ASSERT_EQ(merged_->tensors().size(), 1U);
  EXPECT_EQ(merged_->tensors()[0].shape, base.shape);
  EXPECT_FALSE(merged_->find("model.norm.weight"));
  EXPECT_EQ(merged_->file(), nullptr);
  EXPECT_LT(error(base, product(pair, 1.5)), 3e-7);
}

TEST_F(MergedAdaptersTest, TinyUpdateOfALargeBF16WeightIsKept) {
  TinyWeights pair = lora_pair(kQuery, 2, 7, 5);
  for (double& value : pair[1].values) value *= 1e-7;
  TinyTensor base = random_tensor(kQuery + ".weight", {5, 7});
  for (double& value : base.values) value = std::round(value * 4) * 16;  // exact in bf16
  put_adapter(pair);
  merge({base}, DType::kBF16);
  EXPECT_LT(error(base, product(pair, 1.5)), 1e-6);
}

TEST_F(MergedAdaptersTest, AdaptersAreSummed) {
  const TinyWeights first = lora_pair(kQuery, 2, 7, 5);
  TinyWeights second = lora_pair(kQuery, 3, 7, 5);
  for (double& value : second[0].values) value = -value;
  const TinyTensor base = random_tensor(kQuery + ".weight", {5, 7});
  put_adapter(first);
  put_adapter(second, adapter_configuration(3, 6));
  merge({base});
  auto expected = product(first, 1.5);
  const auto other = product(second, 2);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += other[i];
  EXPECT_LT(error(base, expected), 5e-7);
  EXPECT_EQ(&merged_->adapter_of(merged_->changes(base.name)[1]), &adapters_[1]);
  EXPECT_NE(merged_->why_not_low_rank(base.name)->find("2 adapters are summed"), std::string::npos);
}

/// The large one has several blocks, at whose ends no route ends.
TEST_F(MergedAdaptersTest, RoutesStandOneBelowAnother) {
  for (const int64_t out : {5, 650}) {
    const int64_t in = out == 5 ? 7 : 700;
    const TinyWeights factors = testing::routed_factors(kQuery, 3, 2, in, out);
    const TinyTensor base = random_tensor(kQuery + ".weight", {out, in});
    adapters_.clear();
    const TinyWeights plain = lora_pair(kValue, 2, 7, 5);
    const TinyTensor value = random_tensor(kValue + ".weight", {5, 7});
    put_adapter(factors + plain);
    merge({base, value, random_tensor("model.norm.weight", {7})});
    TinyTensor stacked{base.name, {3 * out, in}, {}};
    std::vector<double> expected;
    for (size_t route = 0; route < 3; ++route) {
      const auto one = product({factors[0], factors[1 + route]}, 1.5);
      expected.insert(expected.end(), one.begin(), one.end());
      stacked.values.insert(stacked.values.end(), base.values.begin(), base.values.end());
    }
    ASSERT_EQ(merged_->tensors().size(), 2U);
    EXPECT_EQ(merged_->find(base.name).info->shape, stacked.shape);
    EXPECT_LT(error(stacked, expected), 1e-6);
    EXPECT_EQ(merged_->find(value.name).info->shape, value.shape);
    EXPECT_LT(error(value, product(plain, 1.5)), 1e-6);
    EXPECT_FALSE(merged_->why_not_low_rank(base.name));
  }
}

TEST_F(MergedAdaptersTest, RoutedAdaptersCannotBeSummed) {
  put_adapter(lora_pair(kQuery, 2, 7, 5));
  put_adapter(testing::routed_factors("model.layers.1.q_proj", 2, 2, 7, 5));
  testing::expect_input_error(
      [&] {
        merge({random_tensor(kQuery + ".weight", {5, 7}),
               random_tensor("model.layers.1.q_proj.weight", {5, 7})});
      },
      (root_ / "adapter1/adapter_model.safetensors").string(),
      "is routed at run time, so that no other adapter can be summed with it");
}

TEST_F(MergedAdaptersTest, DoraOfRowsAndOfColumns) {
  const TinyWeights pair = lora_pair(kQuery, 2, 7, 5);
  const auto magnitude =
      random_tensor("base_model.model." + kQuery + ".lora_magnitude_vector", {5});
  json configuration = adapter_configuration();
  configuration["use_dora"] = true;
  put_adapter(pair + TinyWeights{magnitude}, configuration);
  for (const bool transposed : {false, true}) {
    const TinyTensor base = random_tensor(
        kQuery + ".weight", transposed ? std::vector<int64_t>{7, 5} : std::vector<int64_t>{5, 7});
    merge({base});
    const auto before = narrow(base.values);
    const auto delta = product(pair, 1.5);
    std::vector<double> expected(delta.size());
    for (int64_t out = 0; out < 5; ++out) {
      const auto place = [&](int64_t in) { return transposed ? in * 5 + out : out * 7 + in; };
      double square = 0;
      for (int64_t in = 0; in < 7; ++in)
        square += std::pow(before[place(in)] + delta[out * 7 + in], 2);
      const double quotient = static_cast<float>(magnitude.values[out]) / std::sqrt(square);
      for (int64_t in = 0; in < 7; ++in) {
        const double weight = before[place(in)] + delta[out * 7 + in];
        expected[place(in)] = quotient * weight - before[place(in)];
      }
    }
    EXPECT_LT(error(base, expected), 1e-6) << transposed;
    EXPECT_NE(merged_->why_not_low_rank(base.name)->find("DoRA"), std::string::npos);
  }
}

TEST_F(MergedAdaptersTest, ReplacedTensorsKeepTheirDType) {
  json configuration = adapter_configuration();
  configuration["modules_to_save"] = {"norm"};
  const TinyTensor norm = random_tensor("base_model.model.model.norm.weight", {7}, 5);
  put_adapter({norm}, configuration, DType::kBF16);
  merge({random_tensor("model.norm.weight", {7})});
  const StoredTensor merged = merged_->find("model.norm.weight");
  EXPECT_EQ(merged.info->dtype, DType::kBF16);
  std::string bytes(merged.info->bytes, '\0');
  merged.read(0, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(bytes, testing::encode_values(norm.values, DType::kBF16));
  EXPECT_FALSE(merged_->why_not_low_rank("model.norm.weight"));
}

TEST_F(MergedAdaptersTest, TwoAdaptersThatContradictEachOther) {
  json configuration = adapter_configuration();
  configuration["modules_to_save"] = {"q_proj"};
  const TinyTensor whole = random_tensor("base_model.model." + kQuery + ".weight", {5, 7}, 9);
  const TinyWeights base = {random_tensor(kQuery + ".weight", {5, 7})};
  put_adapter({whole}, configuration);
  put_adapter(lora_pair(kQuery, 2, 7, 5));
  testing::expect_input_error([&] { merge(base); }, (root_ / "adapter0").string(),
                              "takes the place of '" + kQuery + ".weight', which " +
                                  (root_ / "adapter1/adapter_model.safetensors").string());
  adapters_.pop_back();
  put_adapter({whole}, configuration);
  testing::expect_input_error([&] { merge(base); }, (root_ / "adapter0").string(),
                              "takes the place of");
}

TEST_F(MergedAdaptersTest, BaseThatCannotBeComputedWith) {
  put_adapter(lora_pair(kQuery, 2, 2, 2));
  std::filesystem::create_directory(root_ / "base");
  testing::write_file(
      root_ / "base/model.safetensors",
      testing::safetensors(
          "{\"" + kQuery + R"(.weight":{"dtype":"I8","shape":[2,2],)" + R"("data_offsets":[0,4]}})",
          "abcd"));
  base_.emplace(Checkpoint::open(root_ / "base"));
  testing::expect_input_error([&] { MergedAdapters(*base_, adapters_); }, (root_ / "base").string(),
                              "tensor '" + kQuery + ".weight': dtype I8");
}

/// Larger than one block of 2^19 numbers, so that reads cross blocks.
TEST_F(MergedAdaptersTest, AnyBytesAreThoseOfTheWhole) {
  const TinyWeights pair = lora_pair(kQuery, 2, 700, 1800);
  const TinyTensor base = random_tensor(kQuery + ".weight", {1800, 700});
  const std::string prefix = "base_model.model.model.embed_tokens.lora_embedding_";
  put_adapter(pair + TinyWeights{random_tensor(prefix + "A", {2, 3000}),
                                 random_tensor(prefix + "B", {400, 2})});
  merge({base, random_tensor("model.embed_tokens.weight", {3000, 400})});
  EXPECT_LT(error(base, product(pair, 1.5)), 1e-6);
  std::mt19937_64 random(1);
  for (const TensorInfo& info : merged_->tensors()) {
    std::string whole(info.bytes, '\0');
    merged_->read(info, 0, std::as_writable_bytes(std::span(whole)));
    for (int i = 0; i < 40; ++i) {
      const uint64_t start = random() % (info.bytes + 1);
      const uint64_t most = i % 2 == 0 ? 100 : info.bytes;
      const uint64_t count = random() % (std::min(most, info.bytes - start) + 1);
      std::string part(count, '\0');
      merged_->read(info, start, std::as_writable_bytes(std::span(part)));
      ASSERT_TRUE(part == whole.substr(start, count)) << info.name << " " << start << " " << count;
    }
  }
}

class ExpertFactorsTest : public MergedAdaptersTest {
 protected:
  /// Three experts of rank 2: gate_up `[3, 10, 4]`, down `[3, 4, 5]`.
  void SetUp() override {
    json configuration = adapter_configuration();
    configuration["target_parameters"] = {"gate_up_proj", "down_proj"};
    down_ = lora_pair(kExperts, 6, 5, 4);
    gate_up_ = lora_pair(kExperts + ".base_layer", 6, 4, 10);
    put_adapter(down_ + gate_up_, configuration);
  }
  /// Expert `expert`'s A and B.
  static TinyWeights expert_pair(const TinyWeights& pair, int64_t expert) {
    const int64_t in = pair[0].shape[1];
    const int64_t out = pair[1].shape[0];
    TinyWeights result = {{"", {2, in}, {}}, {"", {out, 2}, {}}};
    for (int64_t i = 0; i < 2 * in; ++i)
      result[0].values.push_back(pair[0].values[expert * 2 * in + i]);
    for (int64_t i = 0; i < out * 2; ++i)
      result[1].values.push_back(pair[1].values[(i / 2) * 6 + (i % 2) * 3 + expert]);
    return result;
  }
  static std::vector<double> all_products(const TinyWeights& pair) {
    std::vector<double> result;
    for (int64_t expert = 0; expert < 3; ++expert) {
      const auto one = product(expert_pair(pair, expert), 1.5);
      result.insert(result.end(), one.begin(), one.end());
    }
    return result;
  }

  const std::string kExperts = "model.layers.0.mlp.experts";
  TinyWeights down_, gate_up_;
};

TEST_F(ExpertFactorsTest, EachExpertHasItsOwnProduct) {
  const TinyTensor down = random_tensor(kExperts + ".down_proj", {3, 4, 5});
  const TinyTensor gate_up = random_tensor(kExperts + ".gate_up_proj", {3, 10, 4});
  merge({gate_up, down});
  EXPECT_LT(error(down, all_products(down_)), 1e-6);
  EXPECT_LT(error(gate_up, all_products(gate_up_)), 1e-6);
}

TEST_F(ExpertFactorsTest, FactorsGoBackWhereTheyWere) {
  const TinyTensor down = random_tensor(kExperts + ".down_proj", {3, 4, 5});
  merge({random_tensor(kExperts + ".gate_up_proj", {3, 10, 4}), down});
  const LowRankUpdate& update = *merged_->changes(down.name)[0].low_rank;
  for (const StoredFactor& factor : {update.rows, update.columns}) {
    const Tensor values = load_factor(factor);
    EXPECT_EQ(values.sizes().vec(), (std::vector<int64_t>{3, 2, factor.length}));
    Tensor whole = at::zeros_like(load(factor.stored));
    put_factor(factor, values, whole);
    EXPECT_TRUE(whole.equal(load(factor.stored)));
  }
  const auto second = expert_pair(down_, 1);
  EXPECT_EQ(load_factor(update.columns)[1][1][3].item<float>(),
            static_cast<float>(second[0].values[8]));
  EXPECT_EQ(load_factor(update.rows)[1][1][3].item<float>(),
            static_cast<float>(second[1].values[7]));
}

TEST_F(ExpertFactorsTest, ExpertsOneByOneAreRowsOfTheWhole) {
  const TinyWeights base = testing::single_experts(kExperts);
  merge(base);
  const auto whole = all_products(gate_up_);
  for (size_t expert = 0; expert < 3; ++expert) {
    const auto start = whole.begin() + static_cast<std::ptrdiff_t>(expert * 40);
    EXPECT_LT(error(base[expert * 3], {start, start + 20}), 1e-6);
    EXPECT_LT(error(base[expert * 3 + 1], {start + 20, start + 40}), 1e-6);
    EXPECT_LT(
        error(base[expert * 3 + 2], product(expert_pair(down_, static_cast<int64_t>(expert)), 1.5)),
        1e-6);
  }
  // One expert's part of a stored A alone is touched.
  const StoredFactor& a = merged_->changes(base[4].name)[0].low_rank->columns;
  Tensor stored = load(a.stored);
  put_factor(a, load_factor(a) * 0, stored);
  EXPECT_EQ(stored.ne(load(a.stored)).sum(1).ne(0).to(at::kLong).sum().item<int64_t>(), 2);
  EXPECT_EQ(stored.narrow(0, 2, 2).abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace sagesan
