// `inspect --moments`, through the program: the activation bias of several models of one base.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::read_file;
using testing::TinyModel;

class Inspect : public testing::CliTest {
 protected:
  std::filesystem::path collect(const std::string& name, const std::filesystem::path& texts) {
    succeed({"collect", "--base", base(), "--retain", texts, "--out", root_ / name, "-q",
             "--device", "cpu", "--threads", "1", "--overwrite"});
    return root_ / name;
  }
  Arguments inspect(const Arguments& more = {}) const {
    return joined({"inspect", "--base", base(), "--unlearned", unlearned()}, more);
  }
  static void expect_close(const json& found, const json& expected, const std::string& what) {
    ASSERT_EQ(found.is_null(), expected.is_null()) << what;
    if (found.is_null()) return;
    const double value = expected;
    EXPECT_NEAR(found.get<double>(), value, 1e-5 * value) << what;
  }
  /// What `inspect` measures before and after must be what the report of `sanitize` says.
  void expect_as_reported(const TinyModel& model) {
    make_pair(model);
    const auto moments = collect("m.safetensors", retain());
    succeed({"sanitize", "--base", base(), "--unlearned", unlearned(), "--moments", moments,
             "--out", out(), "--device", "cpu", "-q", "--overwrite"});
    const json report = json::parse(read_file(out() / "sagesan_report.json"));
    const json all =
        json::parse(succeed(inspect({"--moments", "kept=" + moments.string(), "--sanitized",
                                     "clean=" + out().string(), "--json"})));
    const json& kept = all["moments"]["kept"];
    EXPECT_EQ(kept["tokens"], 100);
    std::map<std::string, json> biases;
    for (const json& tensor : kept["tensors"]) biases[tensor["name"]] = tensor["bias"];
    size_t compared = 0;
    const auto compare = [&](const std::string& name, const json& before, const json& after) {
      ASSERT_TRUE(biases.contains(name)) << name;
      expect_close(biases[name]["unlearned"], before, name);
      expect_close(biases[name]["clean"], after, name);
      ++compared;
    };
    for (const json& tensor : report["tensors"]) {
      const std::string name = tensor["name"];
      compare(name, tensor["bias_before"], tensor["bias_after"]);
      if (tensor.contains("head_bias_before"))
        compare(name + " (head)", tensor["head_bias_before"], tensor["head_bias_after"]);
    }
    EXPECT_EQ(compared, biases.size());
    EXPECT_EQ(compared, testing::tiny_layout(model).size() + (model.tied ? 1 : 0));
    const json& summary = report["summary"];
    expect_close(kept["linear_mean_bias"]["unlearned"], summary["linear_mean_bias_before"], "mean");
    expect_close(kept["linear_mean_bias"]["clean"], summary["linear_mean_bias_after"], "mean");
  }
};

TEST_F(Inspect, AgreesWithTheReportOfSanitize) {
  expect_as_reported({});
  TinyModel tied;
  tied.tied = true;
  tied.attention_bias = true;
  tied.dtype = DType::kBF16;
  expect_as_reported(tied);
}

TEST_F(Inspect, SeesAHeadThatTheBaseTies) {
  TinyModel model;
  model.tied = true;
  make_pair(model);
  testing::TinyWeights weights = testing::unlearned_weights(model);
  testing::TinyTensor head = testing::tensor_named(weights, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  head.values[0] += 1;
  weights.push_back(head);
  testing::write_checkpoint(unlearned(), model, weights);
  refuse(inspect(), 3, {"'lm_head.weight': differs from the embedding although tie_word"});
  model.tied = false;
  testing::write_checkpoint(unlearned(), model, weights);
  const json all = json::parse(succeed(
      inspect({"--moments", "m=" + collect("m.safetensors", retain()).string(), "--json"})));
  std::set<std::string> changed, measured;
  for (const json& tensor : all["changed"]) changed.insert(tensor["name"]);
  for (const json& tensor : all["moments"]["m"]["tensors"]) measured.insert(tensor["name"]);
  EXPECT_EQ(changed, measured);
  EXPECT_TRUE(measured.contains("lm_head.weight"));
}

TEST_F(Inspect, PrintsATableForEachMomentsFile) {
  make_pair();
  testing::write_file(root_ / "gone.jsonl", testing::tiny_records(3, 20, 64, 7));
  const Arguments both = {"--moments", collect("kept.safetensors", retain()), "--moments",
                          "gone=" + collect("gone.safetensors", root_ / "gone.jsonl").string()};
  const std::string plain = succeed(inspect());
  const std::string printed = succeed(inspect(both));
  EXPECT_TRUE(printed.starts_with(plain));
  EXPECT_NE(printed.find("\nactivation bias on kept.safetensors (100 tokens), linear modules\n"
                         "layer   unlearned\n0        0.0"),
            std::string::npos)
      << printed;
  EXPECT_NE(printed.find("\nactivation bias on gone (60 tokens), linear modules\n"),
            std::string::npos)
      << printed;
  EXPECT_EQ(printed.find("layers.0.mlp_input"), std::string::npos) << printed;
  const std::string verbose = succeed(inspect(joined(both, {"-v"})));
  EXPECT_NE(verbose.find("\nlayers.0.mlp_input        "), std::string::npos) << verbose;
  EXPECT_NE(verbose.find("\nmodel.layers.1.mlp.up_proj.weight  "), std::string::npos) << verbose;
}

TEST_F(Inspect, AnUnchangedModelHasNoBias) {
  make_pair();
  const json all =
      json::parse(succeed(inspect({"--moments", "m=" + collect("m.safetensors", retain()).string(),
                                   "--sanitized", "same=" + base().string(), "--json"})));
  const json& moments = all["moments"]["m"];
  ASSERT_EQ(moments["layers"].size(), 2U);
  for (const char* list : {"layers", "sites", "tensors"}) {
    for (const json& row : moments[list]) {
      EXPECT_EQ(row["bias"]["same"], 0) << row;
      EXPECT_GT(row["bias"]["unlearned"], 0) << row;
    }
  }
  EXPECT_FALSE(json::parse(succeed(inspect({"--json"}))).contains("moments"));
}

TEST_F(Inspect, WhatDoesNotBelongTogetherIsRefused) {
  make_pair();
  const auto moments = collect("m.safetensors", retain());
  refuse(inspect({"--moments", "\xff=" + moments.string(), "--json"}), 2,
         {"--moments '\\xff': the name is no UTF-8"});
  refuse(inspect({"--sanitized", base()}), 2, {"--sanitized", "give --moments, too"});
  refuse(inspect({"--moments", moments, "--sanitized", unlearned()}), 2,
         {"--sanitized: the name 'unlearned' is given twice"});
  refuse(inspect({"--moments", "a=" + moments.string(), "--moments", "a=" + moments.string()}), 2,
         {"--moments: the name 'a' is given twice"});
  refuse(inspect({"--moments", retain()}), 3, {"retain.jsonl"});
  refuse_lines(inspect({"--moments", root_ / "none", "--sanitized", root_ / "none"}), 3, 2);
  testing::make_base(root_ / "other", {.seed = 7});
  succeed({"collect", "--base", root_ / "other", "--retain", retain(), "--out",
           root_ / "other.safetensors", "-q"});
  refuse(inspect({"--moments", root_ / "other.safetensors"}), 3,
         {"other.safetensors", "collected on another model than the base"});
  testing::make_base(root_ / "wider", {.hidden = 64});
  refuse(inspect({"--moments", moments, "--sanitized", root_ / "wider"}), 3, {"wider"});
  // Without moments a family that is not known will do; with them it must be.
  edit_config(base(), [](json& config) { config["architectures"] = {"OtherForCausalLM"}; });
  succeed(inspect());
  refuse(inspect({"--moments", moments}), 3, {"config.json", "OtherForCausalLM"});
}

}  // namespace
}  // namespace sagesan
