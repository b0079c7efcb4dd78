#include "sagesan/checkpoint/adapter_match.h"

#include <gtest/gtest.h>

#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::adapter_configuration;
using testing::lora_pair;
using testing::random_tensor;
using testing::routed_factors;
using testing::TinyWeights;
using testing::operator+;

const std::string kQuery = "model.layers.0.self_attn.q_proj";
const std::string kExperts = "model.layers.0.mlp.experts";

class AdapterMatchTest : public ::testing::Test {
 protected:
  void put_adapter(const TinyWeights& tensors, const char* key = "bias",
                   const json& value = "none") {
    configuration_[key] = value;
    testing::write_adapter_files(root_ / "adapter", configuration_, tensors);
  }
  void put_base(const TinyWeights& tensors, const std::string& type = "llama") {
    testing::write_base_files(root_ / "base", tensors, type);
  }
  const std::vector<AdapterChange>& match() {
    base_.emplace(Checkpoint::open(root_ / "base"));
    adapter_.emplace(Adapter::open(root_ / "adapter"));
    return changes_ = match_adapter(*adapter_, *base_);
  }
  void refuse(const std::string& fragment) {
    const std::string message = testing::expect_input_error(
        [&] { match(); }, (root_ / "adapter/adapter_model.safetensors").string(), fragment);
  }
  std::string base_name() const { return (root_ / "base").string(); }

  testing::TemporaryDirectory root_;
  json configuration_ = adapter_configuration();
  std::optional<Checkpoint> base_;
  std::optional<Adapter> adapter_;
  std::vector<AdapterChange> changes_;
};

TEST_F(AdapterMatchTest, NamesWithAndWithoutPrefixes) {
  put_adapter(lora_pair("transformer.h.0.attn.c_attn", 2, 4, 6));
  for (const char* name : {"h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.weight",
                           "module.transformer.h.0.attn.c_attn.weight"}) {
    put_base({random_tensor(name, {4, 6})}, "gpt2");
    ASSERT_EQ(match().size(), 1U);
    EXPECT_EQ(changes_[0].base.info->name, name);
    EXPECT_EQ(changes_[0].low_rank->scale, 1.5);
    EXPECT_TRUE(changes_[0].low_rank->rows.is_a);
  }
}

TEST_F(AdapterMatchTest, ShapesSayWhichWayRound) {
  put_adapter(lora_pair(kQuery, 2, 4, 6));
  put_base({random_tensor(kQuery + ".weight", {6, 4})});
  EXPECT_TRUE(match()[0].low_rank->columns.is_a);
  EXPECT_TRUE(changes_[0].low_rank->norms_of_rows());
  put_base({random_tensor(kQuery + ".weight", {4, 6})});
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
  put_base({random_tensor(kQuery + ".weight", {4, 5})});
  refuse("tensor 'base_model.model." + kQuery +
         ".lora_A.weight': shape [2, 4] with lora_B [6, 2] "
         "does not fit '" +
         kQuery + ".weight' of the base " + base_name() + ", which is [4, 5]");
}

TEST_F(AdapterMatchTest, ModelTypeSaysWhichWayRoundASquareLies) {
  put_adapter(lora_pair(kQuery, 2, 4, 4), "fan_in_fan_out", true);
  const TinyWeights base = {random_tensor(kQuery + ".weight", {4, 4})};
  put_base(base, "gpt2");
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
  put_base(base, "llama");  // peft turns fan_in_fan_out off for a Linear
  EXPECT_TRUE(match()[0].low_rank->columns.is_a);
  put_base(base, "");  // nothing but what the adapter says
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
}

TEST_F(AdapterMatchTest, EmbeddingRunsAlongTheRows) {
  const std::string prefix = "base_model.model.model.embed_tokens.lora_embedding_";
  put_adapter({random_tensor(prefix + "A", {2, 4}), random_tensor(prefix + "B", {4, 2})});
  put_base({random_tensor("model.embed_tokens.weight", {4, 4})});
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
  put_base({random_tensor("model.embed_tokens.weight", {5, 4})});
  refuse("shape [2, 4] with lora_B [4, 2] does not fit");
}

TEST_F(AdapterMatchTest, WhatTheBaseLacksOrHasTwice) {
  put_adapter(lora_pair(kQuery, 2, 4, 6));
  put_base({random_tensor("model.norm.weight", {4})});
  refuse("tensor 'base_model.model." + kQuery + ".lora_A.weight': the base " + base_name() +
         " has no '" + kQuery + ".weight'");
  put_base({random_tensor("layers.0.self_attn.q_proj.weight", {6, 4}),
            random_tensor("transformer.layers.0.self_attn.q_proj.weight", {6, 4})});
  refuse(
      "it may belong to 'layers.0.self_attn.q_proj.weight' or "
      "'transformer.layers.0.self_attn.q_proj.weight' of the base");
  put_base({random_tensor("layers.0.self_attn.q_proj.weight", {6, 4}),
            random_tensor(kQuery + ".weight", {6, 4})});
  EXPECT_EQ(match()[0].base.info->name, kQuery + ".weight");  // the very name
}

TEST_F(AdapterMatchTest, WholeTensorsAndBiases) {
  configuration_["modules_to_save"] = {"norm"};
  configuration_["bias"] = "all";
  put_adapter(lora_pair(kQuery, 2, 4, 6) +
                  TinyWeights{random_tensor("base_model.model.model.norm.weight", {4}),
                              random_tensor("base_model.model." + kQuery + ".base_layer.bias", {6}),
                              random_tensor("base_model.model." + kQuery + ".lora_B.bias", {6})},
              "lora_bias", true);
  const TinyWeights weight = {random_tensor(kQuery + ".weight", {6, 4})};
  const TinyWeights bias = {random_tensor(kQuery + ".bias", {6})};
  const TinyWeights norm = {random_tensor("model.norm.weight", {4}, 7)};
  put_base(norm + weight + bias);
  ASSERT_EQ(match().size(), 3U);
  EXPECT_EQ(changes_[0].base.info->name, "model.norm.weight");  // the base's order
  EXPECT_TRUE(changes_[0].whole && !changes_[0].low_rank);
  EXPECT_TRUE(changes_[2].whole && changes_[2].bias);
  EXPECT_EQ(changes_[2].bias_scale, 1.5);
  put_base(norm + weight);
  refuse("lora_B.bias': the base " + base_name() + " has no '" + kQuery + ".bias'");
  put_base(norm + weight + TinyWeights{random_tensor(kQuery + ".bias", {5})});
  refuse("shape [6] does not fit '" + kQuery + ".bias'");
  put_base(weight + bias);
  refuse("has no 'model.norm.weight'");
}

TEST_F(AdapterMatchTest, CopiesOfTheBaseAreLeftOut) {
  const std::string embedding = "model.embed_tokens";
  auto copy = random_tensor(embedding + ".weight", {5, 4});
  put_base({copy});
  copy.name = "base_model.model." + embedding + ".base_layer.weight";
  const TinyWeights factors = {
      random_tensor("base_model.model." + embedding + ".lora_embedding_A", {2, 5}),
      random_tensor("base_model.model." + embedding + ".lora_embedding_B", {4, 2})};
  put_adapter(factors + TinyWeights{copy});
  EXPECT_FALSE(match()[0].whole);
  copy.values[3] += 1;
  put_adapter(factors + TinyWeights{copy});
  EXPECT_TRUE(match()[0].whole && changes_[0].low_rank);
  copy.name = "base_model.model." + embedding + ".weight";
  put_adapter(factors + TinyWeights{copy});
  refuse("'model.embed_tokens.weight' is both adapted and replaced");
}

TEST_F(AdapterMatchTest, RoutedModulesHaveOneUpdateOfAllRoutes) {
  const TinyWeights factors = routed_factors(kQuery, 3, 2, 4, 6);
  put_adapter(factors);
  put_base({random_tensor(kQuery + ".weight", {6, 4})});
  ASSERT_EQ(match().size(), 1U);
  const LowRankUpdate& update = *changes_[0].low_rank;
  ASSERT_EQ(update.routes.size(), 3U);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(update.routes[i].info->name, factors[1 + i].name);
  EXPECT_EQ(update.rows.stored.info, update.routes[0].info);
  EXPECT_EQ(update.rows.length, 6);
  EXPECT_EQ(update.columns.stored.info->name, factors[0].name);
  EXPECT_TRUE(update.columns.is_a);
  EXPECT_EQ(update.scale, 1.5);
  put_base({random_tensor(kQuery + ".weight", {5, 4})});
  refuse("shape [2, 4] with lora_B [6, 2] does not fit '" + kQuery + ".weight'");
}

TEST_F(AdapterMatchTest, RoutedModulesThatAreNoLinearLayers) {
  put_adapter(routed_factors(kQuery, 2, 2, 4, 6));
  put_base({random_tensor(kQuery + ".weight", {4, 6})}, "gpt2");
  refuse("module '" + kQuery +
         "' is routed at run time: only for linear layers whose weight is stored [out, in], not "
         "for '" +
         kQuery + ".weight' [4, 6]");
  put_adapter(routed_factors(kExperts, 2, 6, 5, 4), "target_parameters", {"experts.down_proj"});
  put_base({random_tensor(kExperts + ".down_proj", {3, 4, 5})});
  refuse("not for '" + kExperts + ".down_proj' [3, 4, 5]");
}

class ExpertsMatchTest : public AdapterMatchTest {
 protected:
  /// Three experts, hidden 4, intermediate 5: gate_up `[3, 10, 4]`, down `[3, 4, 5]`.
  void put_experts_adapter() {
    put_adapter(lora_pair(kExperts, 6, 5, 4) + lora_pair(kExperts + ".base_layer", 6, 4, 10),
                "target_parameters", {"experts.gate_up_proj", "experts.down_proj"});
  }
};

TEST_F(ExpertsMatchTest, NestedParametersAreToldApartByShape) {
  put_experts_adapter();
  put_base({random_tensor(kExperts + ".down_proj", {3, 4, 5}),
            random_tensor(kExperts + ".gate_up_proj", {3, 10, 4})});
  ASSERT_EQ(match().size(), 2U);
  const LowRankUpdate& down = *changes_[0].low_rank;
  EXPECT_EQ(down.columns.length, 5);
  EXPECT_TRUE(down.columns.is_a);
  EXPECT_EQ(down.columns.experts, 3);
  EXPECT_EQ(down.columns.slabs, 3);
  EXPECT_EQ(down.columns.rank, 2);
  EXPECT_TRUE(down.shares_a_with.empty());
  EXPECT_EQ(changes_[1].low_rank->rows.length, 10);
}

TEST_F(ExpertsMatchTest, ExpertsStoredOneByOneGetTheirParts) {
  put_experts_adapter();
  TinyWeights base = testing::single_experts(kExperts);
  put_base(base);
  ASSERT_EQ(match().size(), 9U);
  const LowRankUpdate& up = *changes_[4].low_rank;
  EXPECT_EQ(changes_[4].base.info->name, kExperts + ".1.up_proj.weight");
  EXPECT_EQ(up.columns.first_expert, 1);
  EXPECT_EQ(up.columns.slabs, 1);
  EXPECT_EQ(up.rows.start, 5);
  EXPECT_EQ(up.rows.length, 5);
  EXPECT_EQ(up.shares_a_with, std::vector<std::string>{kExperts + ".1.gate_proj.weight"});
  base.back() = random_tensor(base.back().name, {4, 6});
  put_base(base);
  testing::expect_input_error(
      [&] { match(); }, (root_ / "base/model.safetensors").string(),
      "'" + base.back().name + "': shape [4, 6]: the experts' shapes differ");
}

TEST_F(ExpertsMatchTest, WrongNumbersOfExpertsAndModules) {
  put_experts_adapter();
  put_base({random_tensor(kExperts + ".down_proj", {4, 4, 5}),
            random_tensor(kExperts + ".gate_up_proj", {4, 10, 4})});
  refuse("shape [6, 5] with lora_B [4, 6] does not fit");
  put_base({random_tensor(kExperts + ".down_proj", {3, 4, 5})});
  refuse("is adapted 2 times, but target_parameters names 1 parameters of it in the base");
  put_adapter(lora_pair(kExperts + ".base_layer", 6, 4, 10));
  refuse("lacks what is wrapped around it");
}

TEST_F(ExpertsMatchTest, ShapesThatDoNotTellParametersApart) {
  put_adapter(lora_pair(kExperts, 6, 4, 5) + lora_pair(kExperts + ".base_layer", 6, 4, 5),
              "target_parameters", {"experts.one", "experts.two"});
  put_base(
      {random_tensor(kExperts + ".one", {3, 5, 4}), random_tensor(kExperts + ".two", {3, 5, 4})});
  refuse("do not tell which parameter of '" + kExperts + "' it adapts");
}

TEST_F(ExpertsMatchTest, SquareExpertsNeedAVersionThatSaysHowTheyLie) {
  put_adapter(lora_pair(kExperts, 6, 4, 4), "target_parameters", {"experts.down_proj"});
  const TinyWeights base = {random_tensor(kExperts + ".down_proj", {3, 4, 4})};
  put_base(base, "qwen3_moe");
  EXPECT_TRUE(match()[0].low_rank->columns.is_a);
  put_base(base, "gpt_oss");
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
  put_base(base, "");
  refuse("has square matrices [3, 4, 4]");
  put_base(base, "qwen3_moe");
  put_adapter(lora_pair(kExperts, 6, 4, 4), "peft_version", "0.18.1");
  refuse("has square matrices [3, 4, 4]");
}

TEST_F(ExpertsMatchTest, AdaptersOfOldVersionsLieTheOtherWayRound) {
  put_adapter(lora_pair(kExperts, 6, 4, 5), "target_parameters", {"experts.down_proj"});
  put_base({random_tensor(kExperts + ".down_proj", {3, 4, 5})});
  EXPECT_TRUE(match()[0].low_rank->rows.is_a);
}

TEST_F(AdapterMatchTest, WhatWasNeverTrainedChangesNothing) {
  put_base({random_tensor(kQuery + ".weight", {6, 4})});
  const TinyWeights pair = lora_pair(kQuery, 2, 4, 6);
  for (const size_t zero : {0U, 1U}) {
    TinyWeights tensors = pair;
    for (double& value : tensors[zero].values) value = 0;
    put_adapter(tensors);
    EXPECT_TRUE(match().empty()) << zero;
    tensors[zero].values.back() = 1e-30;
    put_adapter(tensors);
    EXPECT_EQ(match().size(), 1U) << zero;
  }
  configuration_ = adapter_configuration(2, 0);
  put_adapter(pair);
  EXPECT_TRUE(match().empty());
}

TEST_F(AdapterMatchTest, AVectorIsNoLinearLayer) {
  put_base({random_tensor("model.norm.weight", {4})});
  put_adapter(lora_pair("model.norm", 2, 4, 4));
  refuse("shape [2, 4] does not fit 'model.norm.weight'");
}

}  // namespace
}  // namespace sagesan
