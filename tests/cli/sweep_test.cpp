// `sagesan sweep`, and forget-aware solving, through the program.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "cli/cli_fixture.h"
#include "cli/weights.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::largest_difference;
using testing::read_file;
using testing::TinyModel;
using testing::write_file;

class Sweep : public testing::CliTest {
 protected:
  void SetUp() override { make_texts({}); }

  void make_texts(const TinyModel& model) {
    make_pair(model);
    write_file(forget(), testing::tiny_records(4, 16, model.vocabulary, 7));
    write_file(other(), testing::tiny_records(4, 16, model.vocabulary, 9));
    // What the unlearned model forgot: texts that it likes less than the base does.
    const json scores =
        json::parse(succeed({"evaluate", "--model", "base=" + base().string(), "--model",
                             "unlearned=" + unlearned().string(), "--data",
                             "forget=" + forget().string(), "--json", "-"}));
    ASSERT_GT(loss(scores["models"]["unlearned"]), loss(scores["models"]["base"]));
  }
  static double loss(const json& model) {
    return model["data"]["forget"]["mean_negative_log_likelihood"];
  }
  std::filesystem::path forget() const { return root_ / "forget.jsonl"; }
  std::filesystem::path other() const { return root_ / "other.jsonl"; }

  Arguments sweep(const Arguments& more = {}) const {
    return joined(
        {"sweep", "--base", base(), "--unlearned", unlearned(), "--retain", retain(), "--forget",
         forget(), "--retain-eval", other(), "--device", "cpu", "--threads", "1"},
        more);
  }
  json run(const Arguments& more) {
    return json::parse(succeed(sweep(joined({"--json", "-"}, more))));
  }
  /// Losses of a checkpoint that was written.
  json evaluate(const std::filesystem::path& model) {
    return json::parse(
        succeed({"evaluate", "--model", model, "--data", "forget=" + forget().string(), "--data",
                 "retain=" + other().string(), "--threads", "1", "--device", "cpu", "--json",
                 "-"}))["data"];
  }
  /// Sweeping and sanitizing solve by different products, equal to float32's rounding: a value
  /// midway between two of bfloat16 may go the other way (2e-5 of a loss was seen).
  static void expect_same(const json& candidate, const json& written, const std::string& what) {
    for (const char* set : {"forget", "retain"}) {
      const double found = candidate[set]["mean_negative_log_likelihood"];
      const double expected = written[set]["mean_negative_log_likelihood"];
      EXPECT_NEAR(found, expected, 1e-4) << what << " " << set;
      const json& records = written[set]["probability"]["value_by_index"];
      const json& losses = candidate[set]["loss_by_index"];
      ASSERT_EQ(losses.size(), records.size());
      for (size_t i = 0; i < losses.size(); ++i)
        EXPECT_NEAR(losses[i].get<double>(), records[std::to_string(i)]["avg_loss"].get<double>(),
                    1e-4)
            << what << " " << set << " " << i;
    }
  }
};

/// Every candidate's losses are those of the checkpoint that `sanitize` writes with its options.
TEST_F(Sweep, EvaluatesWhatSanitizeWouldWrite) {
  for (const bool tied : {false, true}) {
    TinyModel model;
    model.tied = tied;
    model.attention_bias = true;
    model.dtype = DType::kBF16;
    model.noise = 0.3;
    make_texts(model);
    const json found = run({"--methods", "sage,ridge,random,rollback,forget-aware", "--strengths",
                            "1,10", "--energies", "0.8,0.95", "--gains", "1,1.3", "--shares",
                            "0.2,0.6", "--others", "shrink,keep,base"});
    expect_same(found["base"], evaluate(base()), "base");
    expect_same(found["unlearned"], evaluate(unlearned()), "unlearned");
    std::set<std::string> methods;
    size_t index = 0;
    for (const json& candidate : found["candidates"]) {
      const std::string method = candidate["method"];
      // Some of each, for time.
      if (++index % 7 != 0 && methods.contains(method)) continue;
      methods.insert(method);
      Arguments options = {"--method", method, "--other", candidate["other"], "--overwrite", "-q"};
      const bool strength = method != "nullspace" && method != "rollback";
      const auto number = [](const json& value) { return value.dump(); };
      if (strength) options = joined(options, {"--strength", number(candidate["strength"])});
      if (method == "sage" || method == "random" || method == "nullspace")
        options = joined(options, {"--energy", number(candidate["energy"])});
      if (method != "rollback" && method != "scale")
        options = joined(options, {"--carrier-gain", number(candidate["carrier_gain"])});
      if (method == "rollback") options = joined(options, {"--share", number(candidate["share"])});
      if (method == "forget-aware") options = joined(options, {"--forget", forget()});
      succeed(sanitize(options));
      expect_same(candidate, evaluate(out()), candidate["name"]);
    }
    EXPECT_EQ(methods, (std::set<std::string>{"scale", "nullspace", "sage", "ridge", "random",
                                              "rollback", "forget-aware"}));
  }
}

TEST_F(Sweep, JudgesAHeadThatTheBaseTies) {
  TinyModel model;
  model.tied = true;
  model.noise = 0.3;
  make_texts(model);
  testing::TinyWeights weights = testing::unlearned_weights(model);
  testing::TinyTensor head = testing::tensor_named(weights, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  for (size_t i = 0; i < head.values.size(); i += 3) head.values[i] += 0.05;
  weights.push_back(head);
  model.tied = false;
  testing::write_checkpoint(unlearned(), model, weights);
  const json found = run({"--strengths", "1,10", "--keep-forgetting", "0.5", "--out", out()});
  expect_same(found["base"], evaluate(base()), "base");
  expect_same(found["unlearned"], evaluate(unlearned()), "unlearned");
  ASSERT_NE(found["written"], "unlearned");
  for (const json& candidate : found["candidates"]) {
    if (candidate["name"] == found["written"])
      expect_same(candidate, evaluate(out()), candidate["name"]);
  }
  succeed(sanitize({"--auto", "--forget", forget(), "--overwrite", "-q"}));
}

TEST_F(Sweep, JudgesAVocabularyThatTheUnlearnedModelCut) {
  for (const bool tied : {false, true}) {
    TinyModel model;
    model.tied = tied;
    model.noise = 0.5;
    make_texts(model);
    TinyModel smaller = model;
    smaller.vocabulary -= 4;
    testing::TinyWeights weights = testing::unlearned_weights(model);
    for (testing::TinyTensor& tensor : weights) {
      if (tensor.shape[0] != model.vocabulary || tensor.shape.size() < 2) continue;
      tensor.shape[0] = smaller.vocabulary;
      tensor.values.resize(static_cast<size_t>(smaller.vocabulary * smaller.hidden));
    }
    testing::write_checkpoint(unlearned(), smaller, weights);
    for (const auto& path : {retain(), forget()})
      write_file(path, testing::tiny_records(4, 16, smaller.vocabulary, 7));
    const std::string outside =
        "other.jsonl:1: token id 61 is outside the model's vocabulary of 60";
    write_file(other(), "{\"input_ids\": [1, 2, 61]}\n");
    refuse(sweep(), 3, {outside});
    refuse(sanitize({"--retain", other(), "--activations", "unlearned"}), 3, {outside});
    refuse(sanitize({"--auto", "--forget", other()}), 3, {outside});
    write_file(other(), testing::tiny_records(4, 16, smaller.vocabulary, 9));
    const json found = run({"--strengths", "1"});
    expect_same(found["unlearned"], evaluate(unlearned()), "unlearned");
  }
}

TEST_F(Sweep, WritesTheBest) {
  const json found = run({"--strengths", "0.3,1", "--keep-forgetting", "0.5", "--out", out()});
  ASSERT_FALSE(found["best"].is_null());
  ASSERT_NE(found["best"], "unlearned");
  EXPECT_EQ(found["written"], found["best"]);
  for (const json& candidate : found["candidates"]) {
    if (candidate["name"] == found["best"]) expect_same(candidate, evaluate(out()), found["best"]);
  }
  // The best is never worse than a scaling that forgets enough.
  double best = 0;
  for (const json& candidate : found["candidates"]) {
    if (candidate["name"] == found["best"])
      best = candidate["retain"]["mean_negative_log_likelihood"];
  }
  for (const json& candidate : found["candidates"]) {
    if (candidate["method"] == "scale" && candidate["kept_forgetting"] >= 0.5) {
      EXPECT_LE(best, candidate["retain"]["mean_negative_log_likelihood"].get<double>());
    }
  }
}

TEST_F(Sweep, WritesNothingUnlessAsked) {
  const auto before = testing::snapshot(root_.path());
  const std::string table = succeed(sweep());
  EXPECT_EQ(testing::snapshot(root_.path()), before);
  EXPECT_NE(table.find("forget-aware strength=10"), std::string::npos) << table;
  EXPECT_NE(table.find("best that keeps at least 95 % of the forgetting: "), std::string::npos);
}

TEST_F(Sweep, ShowsTheFrontierOnAPage) {
  const std::filesystem::path strange = root_ / "<b>keep.jsonl";
  std::filesystem::copy(other(), strange);
  const std::filesystem::path page = root_ / "sweep.html";
  const std::filesystem::path scores = root_ / "sweep.json";
  succeed(sweep(
      {"--strengths", "1", "--retain-eval", strange, "--html", page, "--json", scores, "-q"}));
  succeed({"check", scores, "--rule", "best.kept_forgetting >= 0.95", "--against", scores});
  EXPECT_EQ(testing::run_program({"check", scores, "--rule", "best.kept_forgetting <= 0"}).code, 5);
  const std::string html = read_file(page);
  for (const char* part : {"Forgetting and retention", "<svg", "scale factor=0.9", "(best)",
                           "At equal forgetting", "&lt;b&gt;keep.jsonl"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  EXPECT_EQ(html.find("<b>keep"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  refuse(sweep({"--html", forget()}), 3, {"forget.jsonl"});
}

TEST_F(Sweep, GivesTheSameFromCollectedMoments) {
  const std::filesystem::path moments = root_ / "moments.safetensors";
  succeed({"collect", "--base", base(), "--retain", retain(), "--out", moments, "--threads", "1",
           "--device", "cpu", "-q"});
  const json direct = run({"--strengths", "1"});
  const json collected =
      json::parse(succeed({"sweep", "--base", base(), "--unlearned", unlearned(), "--moments",
                           moments, "--forget", forget(), "--retain-eval", other(), "--device",
                           "cpu", "--threads", "1", "--strengths", "1", "--json", "-"}));
  EXPECT_EQ(direct, collected);
}

TEST_F(Sweep, JudgesForgettingByOtherTexts) {
  const json found = run({"--strengths", "1", "--forget-eval", retain()});
  EXPECT_EQ(found["inputs"]["forget"][0]["name"], "retain.jsonl");
  const json scores =
      json::parse(succeed({"evaluate", "--model", unlearned(), "--data",
                           "forget=" + retain().string(), "--device", "cpu", "--json", "-"}));
  EXPECT_NEAR(found["unlearned"]["forget"]["mean_negative_log_likelihood"].get<double>(),
              loss(scores), 1e-4);
}

TEST_F(Sweep, RefusesTextsThatAreNotForgotten) {
  // The other way round the base is the one that forgot.
  refuse({"sweep", "--base", unlearned(), "--unlearned", base(), "--retain", retain(), "--forget",
          forget(), "--retain-eval", other(), "--device", "cpu", "--strengths", "1"},
         3, {"not forgotten"});
}

TEST_F(Sweep, RefusesWhatCannotBeMeant) {
  refuse(sweep({"--shares", "0.5"}), 2, {"--shares", "rollback"});
  refuse({"sweep", "--base", base(), "--unlearned", unlearned(), "--retain", retain(),
          "--retain-eval", other()},
         2, {"--forget"});
  refuse(sweep({"--strengths", "1,x"}), 2, {"--strengths", "x"});
  refuse(sweep({"--energies", "0"}), 2, {"--energies", "above 0"});
  refuse(sweep({"--methods", "sage,best"}), 2, {"--methods", "best", "forget-aware"});
  refuse(sweep({"--keep-forgetting", "1.5"}), 2, {"--keep-forgetting"});
  refuse(sweep({"--json", forget()}), 3, {"forget.jsonl"});
  refuse(sweep({"--json", root_ / "s", "--html", root_ / "s"}), 3, {"must lie outside"});
  refuse(sweep({"--methods", ""}), 2, {"--methods: expected at least one method"});
  refuse({"sweep", "--base", base(), "--unlearned", unlearned(), "--retain", retain(), "--forget",
          forget(), "--retain-eval", base() / ".." / "retain.jsonl"},
         2, {"--retain-eval", "--retain has it, too"});
}

class ForgetAwareCommand : public Sweep {};

TEST_F(ForgetAwareCommand, IsWhatForgetTextsAskFor) {
  succeed(sanitize({"--forget", forget(), "-q"}));
  const json report = json::parse(read_file(out() / "sagesan_report.json"));
  EXPECT_EQ(report["options"]["method"], "forget-aware");
  EXPECT_EQ(report["options"]["anchor_floor"], 1.0);
  EXPECT_EQ(report["options"]["energy"], 1.0);
  EXPECT_EQ(report["inputs"]["forget"][0]["name"], "forget.jsonl");
  for (const json& tensor : report["tensors"]) {
    if (tensor["kind"] == "linear") {
      EXPECT_LT(tensor["bias_after"], tensor["bias_before"]);
    }
  }
}

TEST_F(ForgetAwareCommand, ComesToTheRidgeSolutionWithAHeavyFloor) {
  // g = 1e5 drowns the forget texts: (g I)(g I + s S)^-1 is ridge at strength s / g.
  succeed(sanitize({"--forget", forget(), "--anchor-floor", "1e5", "--strength", "2e5", "-q"}));
  const auto heavy = testing::read_weights(out() / "model.safetensors");
  succeed(sanitize({"--method", "ridge", "--strength", "2", "--overwrite", "-q"}));
  const auto ridge = testing::read_weights(out() / "model.safetensors");
  const auto update = testing::combine(1, testing::read_weights(unlearned() / "model.safetensors"),
                                       -1, testing::read_weights(base() / "model.safetensors"));
  for (const auto& [name, values] : ridge) {
    if (name.find("_proj") == std::string::npos) continue;
    EXPECT_LT(largest_difference({{name, values}}, {{name, heavy.at(name)}}, update), 1e-3) << name;
  }
}

TEST_F(ForgetAwareCommand, GivesTheUnlearnedModelAtStrengthZero) {
  succeed(sanitize({"--forget", forget(), "--strength", "0", "-q"}));
  EXPECT_EQ(read_file(out() / "model.safetensors"), read_file(unlearned() / "model.safetensors"));
}

TEST_F(ForgetAwareCommand, RefusesWhatItDoesNotHave) {
  refuse(sanitize({"--method", "forget-aware"}), 2, {"--forget"});
  refuse(sanitize({"--forget", forget(), "--method", "ridge"}), 2, {"--forget", "forget-aware"});
  refuse(sanitize({"--forget", forget(), "--energy", "0.9"}), 2, {"--energy"});
  refuse(sanitize({"--forget", forget(), "--target-bias", "0.1"}), 2, {"--target-bias"});
  refuse(sanitize({"--forget", forget(), "--anchor-floor", "0"}), 2, {"--anchor-floor"});
  refuse(sanitize({"--anchor-floor", "2"}), 2, {"--anchor-floor"});
  refuse(sanitize({"--forget", root_ / "missing.jsonl"}), 3, {"missing.jsonl"});
}

class Auto : public Sweep {
 protected:
  std::filesystem::path page() const { return root_ / "auto.html"; }
  json search() {
    succeed(sanitize({"--auto", "--forget", forget(), "--overwrite", "-q", "--html", page()}));
    return json::parse(read_file(out() / "sagesan_report.json"));
  }
};

TEST_F(Auto, TakesTheBestStepOfItsPath) {
  const json report = search();
  const json& path = report["search"];
  EXPECT_EQ(path["keep_forgetting"], 0.95);
  EXPECT_EQ(path["steps"][0]["candidate"], "base");
  EXPECT_EQ(path["steps"][1]["candidate"], "unlearned");
  const json* best = nullptr;
  std::set<std::string> names;
  for (const json& step : path["steps"]) {
    EXPECT_TRUE(names.insert(step["candidate"]).second) << step["candidate"];
    if (step["candidate"] == path["best"]) best = &step;
  }
  ASSERT_NE(best, nullptr);
  EXPECT_GE((*best)["kept_forgetting"], 0.95);
  for (const json& step : path["steps"]) {
    if (step["kept_forgetting"] >= 0.95) {
      EXPECT_LE((*best)["retain_loss"], step["retain_loss"]) << step["candidate"];
    }
  }
  // Two rounds: the second goes beyond the strengths and gains of the first.
  EXPECT_GT(path["steps"].size(), 25);
  // What was found is what was done.
  const std::string name = path["best"];
  const std::string method = report["options"]["method"];
  EXPECT_TRUE(name.starts_with(method) || (name == "unlearned" && method == "scale")) << name;
  EXPECT_EQ(report["options"]["keep_forgetting"], 0.95);
  EXPECT_EQ(report["inputs"]["forget"][0]["name"], "forget.jsonl");
  const std::string html = read_file(page());
  EXPECT_NE(html.find("it asked for 95 % of the forgetting"), std::string::npos);
  EXPECT_NE(html.find(name), std::string::npos);
}

TEST_F(Auto, FindsTheSameAgain) {
  const json first = search();
  const std::string weights = read_file(out() / "model.safetensors");
  EXPECT_EQ(search(), first);
  EXPECT_EQ(read_file(out() / "model.safetensors"), weights);
}

TEST_F(Auto, RefusesWhatItCannotSearchWith) {
  refuse(sanitize({"--auto"}), 2, {"--auto", "--forget"});
  refuse(sanitize({"--auto", "--forget", forget(), "--strength", "2"}), 2,
         {"--auto", "--strength"});
  refuse(sanitize({"--auto", "--forget", forget(), "--method", "ridge"}), 2, {"--method"});
  refuse(sanitize({"--keep-forgetting", "0.9"}), 2, {"--keep-forgetting", "--auto"});
  write_file(root_ / "one.jsonl", testing::tiny_records(1, 10, 64));
  refuse(sanitize({"--auto", "--forget", root_ / "one.jsonl"}), 3, {"one.jsonl", "2 texts"});
  write_file(root_ / "half.jsonl",
             "{\"input_ids\": [5, 6, 7]}\n{\"input_ids\": [5]}\n{\"input_ids\": [6, 7, 8]}\n");
  for (const Arguments& more : {Arguments{}, Arguments{"--dry-run"}}) {
    refuse(sanitize(joined({"--auto", "--forget", root_ / "half.jsonl"}, more)), 3,
           {"half.jsonl", "no record has a token to score"});
  }
  const std::string planned = succeed(sanitize({"--auto", "--forget", forget(), "--dry-run"}));
  EXPECT_NE(planned.find("would sanitize"), std::string::npos) << planned;
  EXPECT_FALSE(std::filesystem::exists(out()));
}

class RoundingCommand : public testing::CliTest {
 protected:
  void SetUp() override {
    TinyModel model;
    model.dtype = DType::kBF16;
    make_pair(model);
  }
  json run(const Arguments& more) {
    succeed(sanitize(joined(more, {"--overwrite", "-q"})));
    return json::parse(read_file(out() / "sagesan_report.json"));
  }
};

TEST_F(RoundingCommand, FeedbackLowersTheFloor) {
  const json nearest = run({"--strength", "10"});
  const json feedback = run({"--strength", "10", "--rounding", "feedback"});
  EXPECT_EQ(nearest["options"]["rounding"], "nearest");
  EXPECT_EQ(feedback["options"]["rounding"], "feedback");
  const auto floor = [](const json& report) {
    return report["summary"]["linear_mean_rounding_bias"].get<double>();
  };
  EXPECT_GT(floor(nearest), 0);
  EXPECT_LT(floor(feedback), 0.7 * floor(nearest));
  EXPECT_LT(feedback["summary"]["linear_mean_bias_after"].get<double>(),
            nearest["summary"]["linear_mean_bias_after"].get<double>());
}

TEST_F(RoundingCommand, KeepsTheUnlearnedBitsAtStrengthZero) {
  run({"--strength", "0", "--rounding", "feedback"});
  EXPECT_EQ(read_file(out() / "model.safetensors"), read_file(unlearned() / "model.safetensors"));
}

TEST_F(RoundingCommand, SuggestsAWiderTypeWhereItMatters) {
  const std::string narrow = succeed(sanitize({"--method", "ridge", "--strength", "1e6"}));
  EXPECT_NE(narrow.find("--dtype f32"), std::string::npos) << narrow;
  const std::string wide = succeed(
      sanitize({"--method", "ridge", "--strength", "1e6", "--dtype", "f32", "--overwrite"}));
  EXPECT_EQ(wide.find("--dtype f32"), std::string::npos) << wide;
}

TEST_F(RoundingCommand, RefusesWhereNothingIsRounded) {
  refuse(sanitize({"--rounding", "up"}), 2, {"--rounding", "nearest, feedback"});
  refuse(sanitize({"--method", "rollback", "--rounding", "feedback"}), 2, {"--rounding"});
  refuse(sanitize({"--out-format", "adapter", "--rounding", "feedback"}), 2, {"--rounding"});
}

}  // namespace
}  // namespace sagesan
