#include "sagesan/checkpoint/adapter.h"

#include <gtest/gtest.h>

#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::adapter_configuration;
using testing::lora_pair;
using testing::random_tensor;
using testing::TinyWeights;
using testing::operator+;

const std::string kLayer = "base_model.model.model.layers.0.";
const std::string kQueryModule = "model.layers.0.self_attn.q_proj";

class AdapterTest : public ::testing::Test {
 protected:
  Adapter open(const json& configuration, const TinyWeights& tensors) {
    testing::write_adapter_files(root_.path(), configuration, tensors);
    return Adapter::open(root_.path());
  }
  Adapter open_with(const char* key, const json& value, const TinyWeights& tensors) {
    json configuration = adapter_configuration();
    configuration[key] = value;
    return open(configuration, tensors);
  }
  void refuse(const TinyWeights& tensors, const std::string& fragment, const char* key = "bias",
              const json& value = "none") {
    testing::expect_input_error([&] { open_with(key, value, tensors); },
                                (root_ / "adapter_model.safetensors").string(), fragment);
  }

  testing::TemporaryDirectory root_;
  TinyWeights query_ = lora_pair(kQueryModule, 2, 4, 6);
};

TEST_F(AdapterTest, LinearLayersAndEmbeddings) {
  const Adapter adapter = open(
      adapter_configuration(),
      query_ + TinyWeights{
                   random_tensor("base_model.model.model.embed_tokens.lora_embedding_A", {2, 9}),
                   random_tensor("base_model.model.model.embed_tokens.lora_embedding_B", {4, 2})});
  ASSERT_EQ(adapter.modules().size(), 2U);
  const AdapterModule& query = adapter.modules()[0];
  EXPECT_EQ(query.key, kQueryModule);
  EXPECT_FALSE(query.embedding || query.routed() || query.bias || query.magnitude);
  EXPECT_EQ(query.a.info->name, query_[0].name);
  EXPECT_EQ(query.b.info->name, query_[1].name);
  EXPECT_EQ(adapter.modules()[1].key, "model.embed_tokens");
  EXPECT_TRUE(adapter.modules()[1].embedding);
  EXPECT_EQ(adapter.modules()[1].b.info->shape, (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(adapter.metadata().at("format"), "pt");
  EXPECT_TRUE(Adapter::is_adapter(root_.path()));
  EXPECT_FALSE(adapter.routed());
}

TEST_F(AdapterTest, DoraAndBias) {
  EXPECT_TRUE(open_with("use_dora", true,
                        query_ + TinyWeights{random_tensor(
                                     kLayer + "self_attn.q_proj.lora_magnitude_vector", {6})})
                  .modules()[0]
                  .magnitude);
  EXPECT_TRUE(
      open_with("lora_bias", true,
                query_ + TinyWeights{random_tensor(kLayer + "self_attn.q_proj.lora_B.bias", {6})})
          .modules()[0]
          .bias);
}

TEST_F(AdapterTest, WholeTensors) {
  json configuration = adapter_configuration();
  configuration["bias"] = "all";
  configuration["modules_to_save"] = {"norm", "head2", "mlp"};
  const Adapter adapter = open(
      configuration,
      query_ + TinyWeights{
                   random_tensor("base_model.model.model.norm.weight", {4}),
                   random_tensor("base_model.model.head2.modules_to_save.weight", {4}),
                   random_tensor(kLayer + "mlp.up_proj.weight", {4, 4}),
                   random_tensor(kLayer + "self_attn.q_proj.base_layer.bias", {6}),
                   random_tensor("base_model.model.lm_head.weight", {3, 4}),
                   random_tensor("base_model.model.model.embed_tokens.base_layer.weight", {3, 4})});
  std::vector<std::string> names;
  for (const WholeTensor& whole : adapter.whole_tensors()) names.push_back(whole.name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "model.norm.weight", "head2.weight", "model.layers.0.mlp.up_proj.weight",
                       kQueryModule + ".bias", "lm_head.weight", "model.embed_tokens.weight"}));
  EXPECT_TRUE(adapter.whole_tensors()[5].beside_lora);
  EXPECT_FALSE(adapter.whole_tensors()[4].beside_lora);
}

TEST_F(AdapterTest, NestedParameters) {
  const std::string experts = "model.layers.0.mlp.experts";
  const Adapter adapter =
      open_with("target_parameters", {"experts.gate_up_proj", "experts.down_proj"},
                lora_pair(experts, 6, 4, 8) + lora_pair(experts + ".base_layer", 6, 8, 4));
  ASSERT_EQ(adapter.modules().size(), 2U);
  EXPECT_EQ(adapter.modules()[1].key, experts);
  EXPECT_EQ(adapter.modules()[0].nesting, 0);
  EXPECT_EQ(adapter.modules()[1].nesting, 1);
}

TEST_F(AdapterTest, RoutedModulesAreRecognized) {
  const std::string module = kLayer + "mlp.down_proj.";
  for (const char* format : {"lora_B{}.weight", "lora_B.{}.weight"}) {
    const Adapter adapter =
        open(adapter_configuration(),
             {random_tensor(module + "lora_A.weight", {2, 4}),
              random_tensor(module + fmt::format(fmt::runtime(format), 0), {6, 2}),
              random_tensor(module + fmt::format(fmt::runtime(format), 1), {6, 2}),
              random_tensor(module + "lora_route.weight", {2, 4})});
    ASSERT_TRUE(adapter.routed());
    EXPECT_EQ(adapter.modules()[0].routed_b.size(), 2U);
    EXPECT_EQ(adapter.modules()[0].a.info->name, module + "lora_A.weight");
    EXPECT_EQ(adapter.router_names(), std::vector<std::string>{module + "lora_route.weight"});
  }
  refuse({random_tensor(module + "lora_A.weight", {2, 4}),
          random_tensor(module + "lora_B1.weight", {6, 2})},
         "has no lora_B0");
  refuse({random_tensor(module + "lora_A.weight", {2, 4}),
          random_tensor(module + "lora_router.weight", {6, 2})},
         "has a router and no numbered lora_B");
}

TEST_F(AdapterTest, RoutedModulesAreOfPlainLora) {
  const std::string name = "model.layers.0.mlp.down_proj";
  const TinyWeights factors = testing::routed_factors(name, 2, 2, 4, 6);
  EXPECT_EQ(open_with("lora_nums", 2, factors).modules()[0].routed_b.size(), 2U);
  refuse(factors,
         "module '" + name + "': has 2 factors B, but adapter_config.json says lora_nums 3",
         "lora_nums", 3);
  const std::string dora = "is routed at run time and has DoRA's magnitudes";
  refuse(factors, dora, "use_dora", true);
  refuse(factors + TinyWeights{random_tensor(kLayer + "mlp.down_proj.lora_magnitude_vector", {6})},
         dora);
  refuse(factors + TinyWeights{random_tensor(kLayer + "mlp.down_proj.lora_B.bias", {6})},
         "is routed at run time and has lora_B.bias");
  refuse(factors + TinyWeights{random_tensor(kLayer + "mlp.down_proj.lora_B.weight", {6, 2})},
         "stands beside numbered ones");
}

TEST_F(AdapterTest, EveryTensorHasARole) {
  const std::string module = kLayer + "self_attn.q_proj.";
  refuse(query_ + TinyWeights{random_tensor(module + "lora_E", {2, 2})},
         "tensor '" + module + "lora_E': 'lora_E' is no role that is known");
  refuse(query_ + TinyWeights{random_tensor(module + "lora_A.default.weight", {2, 2})},
         "'lora_A.default.weight' is no role");
  refuse(query_ + TinyWeights{random_tensor("base_model.model.model.norm.weight", {4})},
         "tensor 'base_model.model.model.norm.weight': is no tensor of LoRA");
  refuse(query_ + TinyWeights{random_tensor(module + "base_layer.bias", {6})},
         "no bias that 'bias' allows");
  refuse(query_ + TinyWeights{random_tensor("prompt_embeddings", {4})}, "is no tensor of LoRA");
}

TEST_F(AdapterTest, FactorsThatDoNotFit) {
  const std::string a = query_[0].name;
  const std::string b = query_[1].name;
  refuse({query_[0]}, "module '" + kQueryModule + "': has no lora_B.weight");
  refuse({query_[1]}, "module '" + kQueryModule + "': has no lora_A.weight");
  refuse({random_tensor(a, {3, 4}), random_tensor(b, {6, 3})},
         "tensor '" + a + "': shape [3, 4], but adapter_config.json gives it rank 2");
  refuse({query_[0], random_tensor(b, {6, 3})},
         "tensor '" + b + "': shape [6, 3], expected [6, 2]: '" + a + "' is [2, 4]");
  refuse({random_tensor(a, {2, 4, 3}), query_[1]}, "shape [2, 4, 3], expected a matrix");
  refuse({random_tensor(a, {2, 0}), query_[1]}, "shape [2, 0]: empty");
  refuse(query_ + TinyWeights{random_tensor(kLayer + "self_attn.q_proj.lora_embedding_A", {2, 4})},
         "factors of a linear layer and of an embedding");
  refuse(lora_pair(kQueryModule + ".base_layer", 2, 4, 6), "and no target_parameters");
  refuse(query_, "has no lora_magnitude_vector although use_dora is true", "use_dora", true);
  refuse(query_, "has no lora_B.bias although lora_bias is true", "lora_bias", true);
  const auto magnitude = random_tensor(kLayer + "self_attn.q_proj.lora_magnitude_vector", {5});
  refuse(query_ + TinyWeights{magnitude}, "although use_dora is false");
  refuse(query_ + TinyWeights{magnitude}, "shape [5], expected [6]", "use_dora", true);
  refuse({}, "holds no tensors");
}

TEST_F(AdapterTest, DirectoriesThatAreNone) {
  testing::expect_input_error([&] { Adapter::open(root_ / "missing"); },
                              (root_ / "missing").string(), "no such directory");
  testing::expect_input_error([&] { Adapter::open(root_.path()); }, root_.path().string(),
                              "no adapter_config.json: no PEFT adapter");
  testing::write_file(root_ / "adapter_config.json", adapter_configuration().dump());
  testing::expect_input_error([&] { Adapter::open(root_.path()); }, root_.path().string(),
                              "no adapter_model.safetensors");
  testing::write_file(root_ / "adapter_model.bin", "");
  testing::expect_input_error([&] { Adapter::open(root_.path()); },
                              (root_ / "adapter_model.bin").string(), "is no zip archive");
}

TEST_F(AdapterTest, WriterChangesOnlyWhatItIsTold) {
  const Adapter adapter = open(adapter_configuration(), query_);
  const std::string changed(adapter.file().tensors()[0].bytes, 'x');
  const testing::TemporaryDirectory out;
  write_adapter(adapter, out.path(), {{query_[0].name, std::as_bytes(std::span(changed))}});
  const auto before = testing::snapshot(root_.path());
  const auto after = testing::snapshot(out.path());
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(after.at("adapter_config.json"), before.at("adapter_config.json"));
  std::string expected = before.at("adapter_model.safetensors");
  expected.replace(adapter.file().tensors()[0].offset, changed.size(), changed);
  EXPECT_EQ(after.at("adapter_model.safetensors"), expected);
  EXPECT_EQ(Adapter::open(out.path()).metadata(), adapter.metadata());
}

}  // namespace
}  // namespace sagesan
