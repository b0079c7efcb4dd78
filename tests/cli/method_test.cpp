// The options of `sanitize` that decide the result, through the program.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <tuple>

#include "cli/cli_fixture.h"
#include "cli/weights.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::combine;
using testing::joined;
using testing::largest_difference;
using testing::TinyModel;
using testing::Weights;
using testing::write_file;

class Methods : public testing::CliTest {
 protected:
  void SetUp() override { make_pair(); }

  /// Runs with `more` and returns the weights; the report is in `report_`.
  Weights run(const Arguments& more) {
    succeed(joined(sanitize(more), {"--overwrite", "-q"}));
    report_ = json::parse(testing::read_file(out() / "sagesan_report.json"));
    return testing::read_weights(out() / "model.safetensors");
  }
  Weights before() const { return testing::read_weights(base() / "model.safetensors"); }
  Weights after() const { return testing::read_weights(unlearned() / "model.safetensors"); }
  Weights update() const { return combine(1, after(), -1, before()); }

  json report_;
};

TEST_F(Methods, RidgeIsEnergyOne) {
  EXPECT_EQ(run({"--method", "ridge"}), run({"--energy", "1"}));
  EXPECT_NE(run({"--method", "ridge"}), run({}));
}

TEST_F(Methods, NullspaceIsTheLimitOfTheStrength) {
  const Weights hard = run({"--method", "nullspace"});
  EXPECT_TRUE(report_["options"]["strength"].is_null());
  for (const json& tensor : report_["tensors"]) EXPECT_TRUE(tensor["strength"].is_null());
  EXPECT_LT(largest_difference(hard, run({"--strength", "1e9"}), update()), 1e-5);
  EXPECT_GT(largest_difference(hard, run({"--strength", "10"}), update()), 1e-3);
}

TEST_F(Methods, ScaleDividesTheWholeUpdate) {
  // Float32 rounds weights of size 1, not updates of a twentieth of that.
  EXPECT_LT(largest_difference(run({"--method", "scale", "--strength", "3"}),
                               combine(0.75, before(), 0.25, after()), update()),
            1e-5);
  EXPECT_LT(largest_difference(run({"--method", "scale", "--carrier-gain", "0.6"}),
                               combine(0.4, before(), 0.6, after()), update()),
            1e-5);
  for (const json& tensor : report_["tensors"]) {
    EXPECT_NEAR(tensor["bias_after"].get<double>() / tensor["bias_before"].get<double>(), 0.36,
                1e-4);
  }
}

TEST_F(Methods, RandomIsAControlOfTheSameSpectrum) {
  const Weights random = run({"--method", "random", "--strength", "1"});
  const json control = report_;
  EXPECT_EQ(random, run({"--method", "random", "--strength", "1"}));
  const Weights sage = run({"--strength", "1"});
  ASSERT_EQ(control["tensors"].size(), report_["tensors"].size());
  int64_t linear = 0;
  for (size_t i = 0; i < control["tensors"].size(); ++i) {
    const json& theirs = control["tensors"][i];
    const json& ours = report_["tensors"][i];
    EXPECT_EQ(theirs["rank"], ours["rank"]);
    const std::string name = ours["name"];
    if (ours["kind"] == "linear") {
      ++linear;
      EXPECT_GT(theirs["bias_after"], ours["bias_after"]) << name;
      EXPECT_LT(theirs["norm_after"], theirs["norm_before"]) << name;
    } else {
      EXPECT_EQ(random.at(name), sage.at(name)) << name;
    }
  }
  EXPECT_EQ(linear, 15);
}

TEST_F(Methods, CarrierGainMultipliesTheSanitizedUpdate) {
  const Weights plain = run({"--strength", "2"});
  EXPECT_LT(largest_difference(run({"--strength", "2", "--carrier-gain", "1.5"}),
                               combine(-0.5, before(), 1.5, plain), update()),
            2e-5);
}

TEST_F(Methods, AStrengthThatIsLeftToSagesanComesWithAGain) {
  const std::string forget = root_ / "forget.jsonl";
  write_file(forget, R"({"input_ids": [5, 6, 7, 8]})");
  const auto expect = [&](const Arguments& more, double strength, double gain) {
    run(more);
    EXPECT_EQ(report_["options"]["strength"], strength) << ::testing::PrintToString(more);
    EXPECT_EQ(report_["options"]["carrier_gain"], gain) << ::testing::PrintToString(more);
  };
  expect({}, 1, 1.5);
  expect({"--method", "ridge"}, 1, 1.5);
  expect({"--forget", forget}, 3, 1.5);
  expect({"--method", "scale"}, 1, 1);
  expect({"--carrier-gain", "2"}, 1, 2);
  // One's own strength is the formula and nothing more: 0 gives the unlearned model.
  expect({"--strength", "1"}, 1, 1);
  expect({"--forget", forget, "--strength", "0.5"}, 0.5, 1);
  EXPECT_EQ(run({"--strength", "0"}), after());
  run({"--target-bias", "0.5"});
  EXPECT_EQ(report_["options"]["carrier_gain"], 1);
  run({"--method", "nullspace"});
  EXPECT_EQ(report_["options"]["carrier_gain"], 1);
  EXPECT_EQ(run({}), run({"--strength", "1", "--carrier-gain", "1.5"}));
}

TEST_F(Methods, EveryTensorKeepsTheTargetBias) {
  for (const bool tied : {false, true}) {
    TinyModel model;
    model.tied = tied;
    model.attention_bias = true;
    make_pair(model);
    for (const Arguments& gain : {Arguments{}, {"--carrier-gain", "2"}}) {
      run(joined({"--target-bias", "0.1", "--energy", "1"}, gain));
      EXPECT_EQ(report_["summary"]["target_missed"], 0);
      EXPECT_TRUE(report_["options"]["strength"].is_null());
      for (const json& tensor : report_["tensors"]) {
        const double kept =
            tensor["bias_after"].get<double>() / tensor["bias_before"].get<double>();
        if (tensor["kind"] == "tied_embedding") {
          // Two biases, one strength: neither keeps more, one keeps just that.
          const double head =
              tensor["head_bias_after"].get<double>() / tensor["head_bias_before"].get<double>();
          EXPECT_NEAR(std::max(kept, head), 0.1, 1e-4);
        } else {
          EXPECT_NEAR(kept, 0.1, 1e-4) << tensor;
        }
        EXPECT_EQ(tensor["target_reached"], true) << tensor;
      }
    }
  }
}

TEST_F(Methods, TargetBeyondReachIsReported) {
  const testing::RunResult ended = testing::run_program(
      sanitize({"--target-bias", "0.001", "--energy", "0.5", "--exclude", "norm|embed"}));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_NE(ended.err.find("keep more than the target bias"), std::string::npos) << ended.err;
  const json report = json::parse(testing::read_file(out() / "sagesan_report.json"));
  int64_t missed = 0;
  for (const json& tensor : report["tensors"]) {
    if (tensor["treatment"] != "solved") continue;
    EXPECT_TRUE(tensor["strength"].is_null()) << tensor;  // as far as it goes: projected out
    EXPECT_GT(tensor["bias_after"].get<double>(), 0.001 * tensor["bias_before"].get<double>());
    missed += tensor["target_reached"] == false ? 1 : 0;
  }
  EXPECT_EQ(missed, 15);
  EXPECT_EQ(report["summary"]["target_missed"], missed);
}

TEST_F(Methods, RoundingFloorOfBf16IsReported) {
  TinyModel model;
  model.dtype = DType::kBF16;
  model.noise = 0.01;
  make_pair(model);
  // Fewer tokens than channels: most of the update stays, and its rounding with it.
  write_file(retain(), testing::tiny_records(1, 20, model.vocabulary));
  testing::run_program(sanitize({"--target-bias", "1e-4", "--energy", "1", "--overwrite"}));
  const json report = json::parse(testing::read_file(out() / "sagesan_report.json"));
  for (const json& tensor : report["tensors"]) {
    if (tensor["kind"] != "linear") continue;
    EXPECT_EQ(tensor["target_reached"], false) << tensor;
    const double floor = tensor["rounding_bias"];
    EXPECT_NEAR(tensor["bias_after"].get<double>() / floor, 1, 0.3) << tensor;
  }
}

TEST_F(Methods, TargetLeavesAloneWhatDoesNoDamage) {
  // Only rows of tokens that the retain texts never use: as an embedding no bias at all, and the
  // head's decides.
  TinyModel model;
  model.tied = true;
  make_pair(model);
  const std::string name = "model.embed_tokens.weight";
  testing::make_unlearned(unlearned(), model, name);
  write_file(retain(), "{\"input_ids\": [1, 2, 3, 4, 5, 6, 7, 8]}\n");
  Weights weights = before();
  const Weights changed = after();
  // Keep the update of the last row alone.
  std::vector<float> bytes(weights.at(name).begin(), weights.at(name).end());
  for (size_t i = bytes.size() - 32; i < bytes.size(); ++i)
    bytes[i] = static_cast<float>(changed.at(name)[i]);
  const SafetensorsFile file(unlearned() / "model.safetensors");
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name != name) continue;
    std::string content = testing::read_file(unlearned() / "model.safetensors");
    std::memcpy(content.data() + tensor.offset, bytes.data(), tensor.bytes);
    write_file(unlearned() / "model.safetensors", content);
  }
  run({"--target-bias", "0.5", "--energy", "1"});
  ASSERT_EQ(report_["tensors"].size(), 1U);
  const json& tensor = report_["tensors"][0];
  EXPECT_EQ(tensor["bias_before"], 0.0);
  EXPECT_NEAR(tensor["head_bias_after"].get<double>() / tensor["head_bias_before"].get<double>(),
              0.5, 1e-4);
}

TEST_F(Methods, OtherBaseGivesTheBasesBytes) {
  const Weights weights = run({"--other", "base"});
  const Weights base_weights = before();
  for (const json& tensor : report_["tensors"]) {
    const std::string name = tensor["name"];
    if (tensor["treatment"] != "base") continue;
    EXPECT_EQ(weights.at(name), base_weights.at(name)) << name;
    EXPECT_EQ(tensor["norm_after"], 0.0);
    EXPECT_GT(tensor["norm_before"], 0.0);
  }
  EXPECT_EQ(report_["summary"]["treatments"]["base"], 6);
}

TEST_F(Methods, ReportMustNotLieInTheOutput) {
  const std::string reason =
      "must lie outside " + out().string() + ", which this run reads or writes";
  refuse(sanitize({"--report", out() / "model.safetensors"}), 3,
         {(out() / "model.safetensors").string(), reason});
  refuse(sanitize({"--report", out()}), 3, {reason});
}

TEST_F(Methods, RetainFileWhoseNameIsNoText) {
  std::filesystem::copy_file(retain(), root_ / "ret\xff.jsonl");
  succeed({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain",
           root_ / "ret\xff.jsonl", "--out", out(), "-q", "--device", "cpu", "--threads", "1"});
  const json report = json::parse(testing::read_file(out() / "sagesan_report.json"));
  EXPECT_EQ(report["inputs"]["retain"][0]["name"], "ret\\xff.jsonl");
}

TEST_F(Methods, IncludeAndExcludeSelectByName) {
  const Weights unlearned_weights = after();
  const auto touched = [&](const Arguments& more) {
    std::set<std::string> names;
    for (const auto& [name, values] : run(more)) {
      if (values != unlearned_weights.at(name)) names.insert(name);
    }
    return names;
  };
  EXPECT_EQ(touched({"--include", "layers\\.1\\.mlp\\.(up|gate)"}),
            (std::set<std::string>{"model.layers.1.mlp.gate_proj.weight",
                                   "model.layers.1.mlp.up_proj.weight"}));
  EXPECT_EQ(report_["sites"].size(), 1U);
  EXPECT_EQ(touched({"--include", "down_proj", "--include", "^model.norm", "--exclude", "s\\.0"}),
            (std::set<std::string>{"model.layers.1.mlp.down_proj.weight", "model.norm.weight"}));
  EXPECT_EQ(report_["summary"]["treatments"]["solved"], 2);
  std::filesystem::remove_all(out());
  refuse(sanitize({"--include", "nothing_like_this"}), 3,
         {unlearned().string(), "--include and --exclude leave no changed tensor"});
  refuse(sanitize({"--exclude", "(unclosed"}), 2, {"--exclude"});
}

TEST_F(Methods, UnlearnedActivationsAreThoseOfTheOtherModel) {
  // With the models swapped, D is -D and what is removed from it too: both results add up.
  const Weights forward = run({"--activations", "unlearned"});
  EXPECT_EQ(report_["options"]["activations"], "unlearned");
  succeed({"sanitize", "--base", unlearned(), "--unlearned", base(), "--retain", retain(), "--out",
           root_ / "swapped", "-q", "--device", "cpu", "--threads", "1"});
  const Weights swapped = testing::read_weights(root_ / "swapped" / "model.safetensors");
  EXPECT_LT(largest_difference(combine(1, forward, 1, swapped), combine(1, before(), 1, after()),
                               update()),
            1e-5);
  EXPECT_GT(largest_difference(forward, run({}), update()), 1e-4);
}

TEST_F(Methods, TokenCapChangesTheMomentsOnlyWhereItBinds) {
  const Weights plain = run({});
  EXPECT_LT(largest_difference(run({"--token-cap", "1e9"}), plain, update()), 1e-6);
  const double share = report_["sites"]["layers.0.mlp_hidden"]["largest_token_share"];
  EXPECT_GT(largest_difference(run({"--token-cap", "1"}), plain, update()), 1e-4);
  EXPECT_LT(report_["sites"]["layers.0.mlp_hidden"]["largest_token_share"], share);
  EXPECT_EQ(report_["options"]["token_cap"], 1.0);
}

/// Every tensor's bytes, cut into its elements.
std::map<std::string, std::vector<std::string>> read_elements(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::map<std::string, std::vector<std::string>> result;
  for (const TensorInfo& tensor : file.tensors()) {
    std::string bytes(tensor.bytes, 0);
    file.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    const size_t size = bytes.size() / static_cast<size_t>(tensor.elements());
    for (size_t i = 0; i < bytes.size(); i += size)
      result[tensor.name].push_back(bytes.substr(i, size));
  }
  return result;
}

class Rollback : public Methods {
 protected:
  void roll_back(const Arguments& more) {
    run(joined({"--method", "rollback"}, more));
    base_ = read_elements(base() / "model.safetensors");
    unlearned_ = read_elements(unlearned() / "model.safetensors");
    out_ = read_elements(out() / "model.safetensors");
  }

  /// How many channels of a reported tensor are the base's. Every other one must be the unlearned
  /// one, bit for bit.
  int64_t channels_back(const json& tensor) const {
    const std::string name = tensor["name"];
    const std::vector<int64_t> shape = tensor["shape"];
    const auto columns = static_cast<size_t>(shape.back());
    const std::string kind = tensor["kind"];
    const bool rows = kind == "embedding" || kind == "tied_embedding";
    std::map<size_t, std::pair<bool, bool>> of;  // whether a channel is the base's, the unlearned's
    for (size_t i = 0; i < out_.at(name).size(); ++i) {
      auto& [old, kept] =
          of.try_emplace(rows ? i / columns : i % columns, true, true).first->second;
      old = old && out_.at(name)[i] == base_.at(name)[i];
      kept = kept && out_.at(name)[i] == unlearned_.at(name)[i];
    }
    int64_t count = 0;
    for (const auto& [channel, is] : of) {
      EXPECT_TRUE(is.first || is.second) << name << " " << channel;
      count += is.second ? 0 : 1;
    }
    return count;
  }

  std::map<std::string, std::vector<std::string>> base_, unlearned_, out_;
};

TEST_F(Rollback, IntoAWiderDtypeIsTheBaseBitForBit) {
  TinyModel model;
  testing::make_base(base(), model);
  model.dtype = DType::kBF16;
  testing::make_unlearned(unlearned(), model);
  testing::write_file(retain(), testing::tiny_records(5, 20, model.vocabulary));
  roll_back({"--share", "1", "--dtype", "f32"});
  int64_t linear = 0;
  for (const json& tensor : report_["tensors"]) {
    if (tensor["kind"] != "linear") continue;
    const std::string name = tensor["name"];
    EXPECT_EQ(out_.at(name), base_.at(name)) << name;
    ++linear;
  }
  EXPECT_EQ(linear, 15);
}

/// Not what is left of it after a subtraction: here it is a millionth of the update.
TEST_F(Methods, OtherBaseOfAnotherDtypeIsTheBaseRounded) {
  TinyModel model;
  testing::TinyWeights weights = testing::base_weights(model);
  testing::TinyTensor& embedding = testing::tensor_named(weights, "model.embed_tokens.weight");
  for (double& value : embedding.values) value *= 1e-6;
  testing::write_checkpoint(base(), model, weights);
  const std::string expected = testing::encode_values(embedding.values, DType::kBF16);
  model.dtype = DType::kBF16;
  testing::make_unlearned(unlearned(), model);
  testing::write_file(retain(), testing::tiny_records(5, 20, model.vocabulary));
  run({"--other", "base"});
  const auto elements = read_elements(out() / "model.safetensors");
  std::string bytes;
  for (const std::string& element : elements.at("model.embed_tokens.weight")) bytes += element;
  EXPECT_EQ(bytes, expected);
}

TEST_F(Rollback, ShareOneIsTheBaseBitForBit) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool tied : {false, true}) {
      TinyModel model;
      model.dtype = dtype;
      model.tied = tied;
      model.attention_bias = true;
      make_pair(model);
      roll_back({"--share", "1"});
      for (const json& tensor : report_["tensors"]) {
        const std::string name = tensor["name"];
        if (tensor["kind"] == "bias") {
          EXPECT_EQ(tensor["treatment"], "kept");
          EXPECT_FALSE(tensor.contains("channels_rolled_back"));
          EXPECT_EQ(out_.at(name), unlearned_.at(name)) << name;
        } else if (tensor["kind"] == "embedding") {
          // 100 tokens of 64: a row that none of them is stays.
          EXPECT_EQ(channels_back(tensor), tensor["channels_eligible"]);
          EXPECT_LT(tensor["channels_eligible"], 64);
          EXPECT_GT(tensor["channels_eligible"], 40);
          EXPECT_EQ(tensor["bias_after"], 0.0);
          EXPECT_GT(tensor["norm_after"], 0.0);
        } else {
          EXPECT_EQ(out_.at(name), base_.at(name)) << name;
          EXPECT_EQ(tensor["bias_after"], 0.0);
          EXPECT_EQ(tensor["norm_after"], 0.0);
        }
      }
      EXPECT_EQ(report_["summary"]["treatments"]["kept"], 8);
      EXPECT_EQ(report_["summary"]["linear_kept_bias"], 0.0);
    }
  }
}

TEST_F(Rollback, AShareOfTheChannelsGoesBackAndTheOthersStay) {
  for (const bool tied : {false, true}) {
    TinyModel model;
    model.tied = tied;
    make_pair(model);
    double last = 1;
    for (const auto& [share, of_32, of_48] : std::vector<std::tuple<std::string, int, int>>{
             {"1e-9", 1, 1}, {"0.1", 3, 5}, {"0.5", 16, 24}, {"0.9", 29, 43}}) {
      roll_back({"--share", share});
      for (const json& tensor : report_["tensors"]) {
        EXPECT_EQ(tensor["treatment"], "solved");
        EXPECT_EQ(channels_back(tensor), tensor["channels_rolled_back"]) << tensor;
        const auto eligible = tensor["channels_eligible"].get<int64_t>();
        if (tensor["kind"] == "linear" || tensor["kind"] == "norm") {
          EXPECT_EQ(eligible, tensor["shape"].get<std::vector<int64_t>>().back());
          EXPECT_EQ(tensor["channels_rolled_back"], eligible == 48 ? of_48 : of_32);
        } else if (tied) {
          EXPECT_EQ(eligible, 64);
          EXPECT_LT(tensor["head_bias_after"], tensor["head_bias_before"]);
        }
        EXPECT_LT(tensor["bias_after"], tensor["bias_before"]) << tensor;
        // Of a tied embedding all rows that were read may be back, as a head some are not.
        const bool rows = tensor["kind"] == "tied_embedding";
        EXPECT_GT(tensor[rows ? "head_bias_after" : "bias_after"], 0.0) << tensor;
        EXPECT_TRUE(tensor["strength"].is_null());
        EXPECT_TRUE(tensor["rank"].is_null());
      }
      EXPECT_LT(report_["summary"]["linear_kept_bias"], last);
      last = report_["summary"]["linear_kept_bias"];
      EXPECT_EQ(report_["options"]["share"], std::stod(share));
      EXPECT_TRUE(report_["options"]["energy"].is_null());
      EXPECT_TRUE(report_["options"]["strength"].is_null());
      for (const json& site : report_["sites"]) EXPECT_TRUE(site["rank"].is_null());
    }
  }
}

TEST_F(Rollback, ATenthIsTheDefaultAndCollectedMomentsGiveTheSameBytes) {
  roll_back({"--share", "0.1"});
  const auto direct = out_;
  const json report = report_;
  roll_back({});
  EXPECT_EQ(out_, direct);
  EXPECT_EQ(report_, report);
  succeed({"collect", "--base", base(), "--retain", retain(), "--out", root_ / "m.safetensors",
           "-q", "--device", "cpu", "--threads", "1"});
  succeed({"sanitize", "--base", base(), "--unlearned", unlearned(), "--moments",
           root_ / "m.safetensors", "--method", "rollback", "--out", root_ / "again", "-q",
           "--device", "cpu", "--threads", "1"});
  EXPECT_EQ(read_elements(root_ / "again" / "model.safetensors"), direct);
  run({});
  EXPECT_FALSE(report_["options"].contains("share"));
  EXPECT_FALSE(report_["tensors"][0].contains("channels_rolled_back"));
  const std::string lines =
      succeed(joined(sanitize({"--method", "rollback", "--overwrite", "-v"}), {}));
  EXPECT_NE(lines.find("down_proj.weight linear solved: 5 of 48 channels, bias "),
            std::string::npos)
      << lines;
}

TEST_F(Rollback, BiasesHaveNothingToChooseAmong) {
  TinyModel model;
  model.attention_bias = true;
  make_pair(model);
  EXPECT_NE(succeed(sanitize({"--method", "rollback", "--dry-run"}))
                .find("would sanitize 21 of 29 changed tensors"),
            std::string::npos);
  roll_back({"--other", "base"});
  EXPECT_EQ(report_["summary"]["treatments"]["base"], 14);
  refuse(sanitize({"--method", "rollback", "--include", "bias$", "--overwrite"}), 3,
         {"--include and --exclude leave no changed tensor"});
}

TEST_F(Rollback, WordsThatDoNotGoTogether) {
  for (const char* option : {"--strength", "--target-bias", "--carrier-gain", "--energy"}) {
    refuse(sanitize({"--method", "rollback", option, "0.5"}), 2,
           {std::string("--method rollback takes no ") + option});
  }
  for (const char* method : {"sage", "ridge", "nullspace", "scale", "random"}) {
    refuse(sanitize({"--method", method, "--share", "0.5"}), 2,
           {std::string("--method ") + method + " takes no --share"});
  }
  refuse(sanitize({"--share", "0.5"}), 2, {"--share goes with --method rollback alone"});
  refuse(sanitize({"--method", "rollback", "--share", "0"}), 2,
         {"--share 0: expected a number above 0, at most 1"});
  refuse(sanitize({"--method", "rollback", "--share", "1.5"}), 2, {"--share 1.5: expected 0 to 1"});
  refuse(sanitize({"--method", "rollback", "--share", "-1"}), 2, {"--share -1: expected 0 to 1"});
}

TEST_F(Methods, WordsThatDoNotGoTogether) {
  refuse(sanitize({"--method", "sagee"}), 2,
         {"--method 'sagee': expected one of sage, ridge, nullspace, scale, random, rollback"});
  refuse(sanitize({"--method", "ridge", "--energy", "0.9"}), 2,
         {"--method ridge takes no --energy"});
  refuse(sanitize({"--method", "nullspace", "--strength", "1"}), 2,
         {"--method nullspace takes no --strength"});
  refuse(sanitize({"--method", "nullspace", "--target-bias", "0.1"}), 2,
         {"--method nullspace takes no --target-bias"});
  refuse(sanitize({"--method", "random", "--target-bias", "0.1"}), 2,
         {"--method random takes no --target-bias"});
  refuse(sanitize({"--strength", "1", "--target-bias", "0.1"}), 2,
         {"--target-bias and --strength cannot be given together"});
  refuse(sanitize({"--target-bias", "0"}), 2, {"--target-bias 0: expected a number above 0"});
  refuse(sanitize({"--target-bias", "1.5"}), 2, {"--target-bias 1.5: expected 0 to 1"});
  refuse(sanitize({"--carrier-gain", "0"}), 2, {"--carrier-gain 0: expected a number above 0"});
  refuse(sanitize({"--activations", "both"}), 2,
         {"--activations 'both': expected one of base, unlearned"});
  refuse(sanitize({"--token-cap", "-1"}), 2, {"--token-cap -1: expected 0 to"});
}

}  // namespace
}  // namespace sagesan
