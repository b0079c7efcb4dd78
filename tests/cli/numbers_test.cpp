// Degenerate inputs and extreme options have a defined result: every number finite, no tensor's
// bias larger than before.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>

#include "cli/cli_fixture.h"
#include "cli/weights.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::TinyModel;
using testing::TinyTensor;
using testing::TinyWeights;

class Numbers : public testing::CliTest {
 protected:
  /// A pair whose base's tensors `change` has been at, and as many retained texts.
  void make(const std::function<void(TinyWeights&)>& change, int64_t records = 5,
            int64_t length = 20, const TinyModel& model = {}) {
    TinyWeights weights = testing::base_weights(model), update = testing::unlearned_weights(model);
    const TinyWeights original = weights;
    change(weights);
    for (size_t i = 0; i < weights.size(); ++i) {
      for (size_t j = 0; j < weights[i].values.size(); ++j)
        update[i].values[j] += weights[i].values[j] - original[i].values[j];
    }
    testing::write_checkpoint(base(), model, weights);
    testing::write_checkpoint(unlearned(), model, update);
    testing::write_file(retain(), testing::tiny_records(records, length, model.vocabulary));
  }
  /// The run must succeed with finite numbers.
  void expect_finite(const Arguments& more) {
    SCOPED_TRACE(::testing::PrintToString(more));
    const testing::RunResult run =
        testing::run_program(sanitize(joined({"-q", "--overwrite"}, more)));
    ASSERT_EQ(run.code, 0) << run.err;
    for (const auto& [name, values] : testing::read_weights(out() / "model.safetensors")) {
      for (const double value : values) ASSERT_TRUE(std::isfinite(value)) << name;
    }
  }
  /// And with no tensor worse than before.
  void expect_sound(const Arguments& more) {
    SCOPED_TRACE(::testing::PrintToString(more));
    expect_finite(more);
    if (HasFatalFailure()) return;
    const auto report = nlohmann::json::parse(testing::read_file(out() / "sagesan_report.json"));
    for (const auto& tensor : report["tensors"]) {
      if (!tensor["bias_after"].is_number() || !tensor["bias_before"].is_number()) continue;
      EXPECT_LE(tensor["bias_after"].get<double>(),
                tensor["bias_before"].get<double>() * (1 + 1e-6))
          << tensor["name"];
    }
  }
  void expect_sound_by_every_method() {
    for (const char* method : {"sage", "ridge", "nullspace"})
      expect_sound({"--method", method, "--carrier-gain", "1"});
    expect_sound({"--forget", retain(), "--carrier-gain", "1"});
    expect_sound({"--method", "scale"});
    expect_sound({"--method", "rollback"});
    expect_sound({"--target-bias", "0.1", "--carrier-gain", "1"});
    expect_finite({"--method", "random"});  // the control may make it worse
  }
  static TinyTensor& embedding(TinyWeights& weights) {
    return testing::tensor_named(weights, "model.embed_tokens.weight");
  }
};

TEST_F(Numbers, DeadChannels) {
  make([](TinyWeights& weights) {
    for (TinyTensor& tensor : weights) {
      if (!tensor.name.ends_with("layernorm.weight")) continue;
      for (size_t i = 0; i < tensor.values.size(); i += 3) tensor.values[i] = 0;
    }
  });
  expect_sound_by_every_method();
}

TEST_F(Numbers, OneChannelOfTenThousandTimesTheRest) {
  make([](TinyWeights& weights) {
    for (TinyTensor& tensor : weights) {
      if (tensor.name.ends_with("layernorm.weight")) tensor.values[7] *= 1e4;
    }
  });
  expect_sound_by_every_method();
}

TEST_F(Numbers, OneToken) {
  make([](TinyWeights&) {}, 1, 1);
  expect_sound_by_every_method();
}

TEST_F(Numbers, OneTokenAgainAndAgain) {  // more tokens than channels, and a moment of rank one
  make([](TinyWeights& weights) {
    std::vector<double>& values = embedding(weights).values;
    for (size_t i = 0; i < values.size(); ++i) values[i] = values[i % 32];
  });
  expect_sound_by_every_method();
}

TEST_F(Numbers, ExpertsThatNoTokenSees) {
  make([](TinyWeights&) {}, 1, 1, {.experts = 5});
  expect_sound_by_every_method();
  const testing::RunResult run = testing::run_program(sanitize({"--overwrite"}));
  EXPECT_EQ(run.code, 0);
  EXPECT_NE(run.err.find("8 experts saw no retain token and keep their updates (expert "),
            std::string::npos)
      << run.err;
  const auto base_values = testing::read_weights(base() / "model.safetensors");
  const auto unlearned_values = testing::read_weights(unlearned() / "model.safetensors");
  int kept = 0, solved = 0;
  for (const auto& [name, values] : testing::read_weights(out() / "model.safetensors")) {
    if (name.find(".experts.") == std::string::npos) continue;
    EXPECT_TRUE(values != base_values.at(name)) << name;
    ++(values == unlearned_values.at(name) ? kept : solved);
  }
  EXPECT_EQ(kept, 8 * 3);
  EXPECT_EQ(solved, 2 * 3);
}

TEST_F(Numbers, HugeAndTinyWeights) {
  for (const double scale : {1e-15, 1e12}) {
    make([&](TinyWeights& weights) {
      for (double& value : embedding(weights).values) value *= scale;
    });
    expect_sound_by_every_method();
  }
}

TEST_F(Numbers, ExtremeOptions) {
  make([](TinyWeights&) {});
  for (const char* strength : {"1e-300", "1e-12", "1e-6", "1e6", "1e12"}) {
    for (const char* energy : {"1e-9", "0.95", "1"})
      expect_sound({"--strength", strength, "--energy", energy});
    expect_sound({"--forget", retain(), "--strength", strength});
  }
  expect_sound({"--target-bias", "1e-12", "--carrier-gain", "1"});
  expect_sound({"--strength", "1", "--token-cap", "1e-6"});
}

TEST_F(Numbers, TheSameThreadsGiveTheSameBytes) {
  TinyModel model;
  model.hidden = 512;  // wide enough that products and decompositions are shared out
  model.intermediate = 768;
  make_pair(model);
  testing::write_file(retain(), testing::tiny_records(12, 60, model.vocabulary));
  for (const char* threads : {"1", "2", "4"}) {
    std::map<std::string, std::string> first;
    for (int i = 0; i < 2; ++i) {
      const Arguments run = {"sanitize", "--base",    base(),  "--unlearned", unlearned(),
                             "--retain", retain(),    "--out", out(),         "--device",
                             "cpu",      "--threads", threads, "-q",          "--overwrite"};
      succeed(run);
      const auto found = testing::snapshot(out());
      if (i == 0) first = found;
      EXPECT_TRUE(found == first) << threads << " threads";
    }
  }
}

TEST_F(Numbers, WhatFloat64CannotSolveNamesTheOptions) {
  make([](TinyWeights&) {}, 1, 20);
  testing::write_file(root_ / "forget.jsonl", testing::tiny_records(1, 5, 64, 3));
  refuse(sanitize({"--forget", root_ / "forget.jsonl", "--anchor-floor", "1e-18"}), 3,
         {"layers.0.attention_input: ", "a lower --strength or a larger --anchor-floor keeps"});
}

}  // namespace
}  // namespace sagesan
