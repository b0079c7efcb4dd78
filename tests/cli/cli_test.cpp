// Runs that succeed, through the real binary.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "cli/cli_fixture.h"
#include "sagesan/checkpoint/safetensors.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::read_file;
using testing::snapshot;
using testing::TinyModel;
using testing::write_file;

class Cli : public testing::CliTest {
 protected:
  static std::set<std::string> names(const fs::path& directory) {
    std::set<std::string> result;
    for (const auto& [name, content] : snapshot(directory)) result.insert(name);
    return result;
  }
};

TEST_F(Cli, SanitizeWritesACompleteCheckpoint) {
  make_pair();
  write_file(unlearned() / "generation_config.json", "{}");
  write_file(unlearned() / "tokenizer_config.json", "{}");
  const auto inputs = std::pair(snapshot(base()), snapshot(unlearned()));
  const std::string printed = succeed(sanitize());
  EXPECT_NE(printed.find("written to " + out().string()), std::string::npos) << printed;
  EXPECT_EQ(names(out()), (std::set<std::string>{"README.md", "config.json",
                                                 "generation_config.json", "model.safetensors",
                                                 "sagesan_report.json", "tokenizer_config.json"}));
  EXPECT_EQ(read_file(out() / "config.json"), read_file(unlearned() / "config.json"));
  const std::string weights = read_file(out() / "model.safetensors");
  const std::string before = read_file(unlearned() / "model.safetensors");
  EXPECT_EQ(weights.size(), before.size());
  EXPECT_NE(weights, before);
  EXPECT_NE(weights, read_file(base() / "model.safetensors"));
  EXPECT_TRUE((std::pair(snapshot(base()), snapshot(unlearned())) == inputs));
  EXPECT_EQ(names(root_.path()).count(".out.partial"), 0U);
}

TEST_F(Cli, ReportSaysWhatWasDone) {
  make_pair();
  succeed(sanitize({"--strength", "1", "--report", root_ / "copy.json", "-q"}));
  EXPECT_EQ(read_file(root_ / "copy.json"), read_file(out() / "sagesan_report.json"));
  const json report = json::parse(read_file(out() / "sagesan_report.json"));
  EXPECT_EQ(report["tokens"], 100);
  EXPECT_EQ(report["tool"]["version"], SAGESAN_VERSION);
  EXPECT_EQ(report["options"]["strength"], 1.0);
  EXPECT_NE(report["inputs"]["base"]["identity"], report["inputs"]["unlearned"]["identity"]);
  EXPECT_EQ(report["tensors"].size(), testing::tiny_layout({}).size());
  for (const json& tensor : report["tensors"]) {
    EXPECT_EQ(tensor["treatment"], "solved") << tensor;
    EXPECT_LT(tensor["bias_after"], tensor["bias_before"]) << tensor;
    EXPECT_LT(tensor["norm_after"], tensor["norm_before"]) << tensor;
  }
}

TEST_F(Cli, ShardedBf16TiedModelKeepsItsLayout) {
  TinyModel model;
  model.dtype = DType::kBF16;
  model.shards = 2;
  model.tied = true;
  make_pair(model);
  succeed(sanitize());
  EXPECT_EQ(names(out()),
            (std::set<std::string>{"README.md", "config.json", "model-00001-of-00002.safetensors",
                                   "model-00002-of-00002.safetensors",
                                   "model.safetensors.index.json", "sagesan_report.json"}));
  EXPECT_EQ(read_file(out() / "model.safetensors.index.json"),
            read_file(unlearned() / "model.safetensors.index.json"));
  for (const char* shard :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    const SafetensorsFile before(unlearned() / shard);
    const SafetensorsFile after(out() / shard);
    ASSERT_EQ(after.tensors().size(), before.tensors().size());
    EXPECT_EQ(read_file(out() / shard).substr(0, after.header_bytes()),
              read_file(unlearned() / shard).substr(0, before.header_bytes()));
  }
}

TEST_F(Cli, UnchangedTensorsAreCopiedByteForByte) {
  make_pair();
  const std::string changed = "model.layers.0.mlp.down_proj.weight";
  testing::make_unlearned(unlearned(), {}, changed);
  succeed(sanitize());
  const SafetensorsFile header(base() / "model.safetensors");
  const std::string before = read_file(base() / "model.safetensors");
  const std::string after = read_file(out() / "model.safetensors");
  for (const TensorInfo& tensor : header.tensors()) {
    EXPECT_EQ(
        after.substr(tensor.offset, tensor.bytes) == before.substr(tensor.offset, tensor.bytes),
        tensor.name != changed)
        << tensor.name;
  }
}

TEST_F(Cli, StrengthZeroGivesTheUnlearnedWeightsBack) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    TinyModel model;
    model.dtype = dtype;
    model.tied = dtype == DType::kBF16;
    make_pair(model);
    succeed(sanitize({"--strength", "0"}));
    EXPECT_TRUE(read_file(out() / "model.safetensors") ==
                read_file(unlearned() / "model.safetensors"));
    fs::remove_all(out());
  }
}

TEST_F(Cli, DryRunWritesNothing) {
  make_pair();
  const auto before = snapshot(root_.path());
  const std::string printed = succeed(sanitize({"--dry-run"}));
  EXPECT_NE(printed.find("nothing was written"), std::string::npos) << printed;
  EXPECT_TRUE(snapshot(root_.path()) == before);
}

TEST_F(Cli, DryRunStillRefuses) {
  make_pair();
  fs::create_directory(out());
  refuse(sanitize({"--dry-run"}), 3, {out().string() + ": exists already"});
}

TEST_F(Cli, ProfileShowsEachStage) {
  make_pair();
  const testing::RunResult run = testing::run_program(sanitize({"-q", "--profile"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  for (const char* stage : {"compare", "read", "linear", "attention", "moments", "decompose",
                            "solve", "measure", "write"}) {
    EXPECT_NE(run.err.find(std::string("\n") + stage + " "), std::string::npos) << run.err;
  }
}

TEST_F(Cli, OverwriteReplaces) {
  make_pair();
  succeed(sanitize({"-q"}));
  const auto first = snapshot(out());
  write_file(out() / "stale.txt", "");
  succeed(sanitize({"-q", "--overwrite", "--strength", "5"}));
  EXPECT_EQ(names(out()), (std::set<std::string>{"README.md", "config.json", "model.safetensors",
                                                 "sagesan_report.json"}));
  EXPECT_TRUE(snapshot(out()) != first);
  EXPECT_EQ(names(root_.path()).count(".out.partial"), 0U);
}

TEST_F(Cli, TwoRunsGiveTheSameBytes) {
  make_pair();
  succeed(sanitize());
  const auto first = snapshot(out());
  fs::remove_all(out());
  succeed(sanitize());
  EXPECT_TRUE(snapshot(out()) == first);
}

TEST_F(Cli, LeftoverOfAKilledRunIsRemovedWithANotice) {
  make_pair();
  fs::create_directory(root_ / ".out.partial");
  write_file(root_ / ".out.partial/model.safetensors", "half");
  const testing::RunResult run = testing::run_program(sanitize());
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "sagesan: warning: removing what a killed run left: " +
                         (root_ / ".out.partial").string() + "\n");
  EXPECT_EQ(names(out()), (std::set<std::string>{"README.md", "config.json", "model.safetensors",
                                                 "sagesan_report.json"}));
}

TEST_F(Cli, InspectPrintsJsonAlone) {
  make_pair();
  const std::string changed = "model.layers.1.mlp.up_proj.weight";
  testing::make_unlearned(unlearned(), {}, changed);
  const json result =
      json::parse(succeed({"inspect", "--base", base(), "--unlearned", unlearned(), "--json"}));
  EXPECT_EQ(result["architecture"], "LlamaForCausalLM");
  EXPECT_EQ(result["tensors"], testing::tiny_layout({}).size());
  ASSERT_EQ(result["changed"].size(), 1U);
  EXPECT_EQ(result["changed"][0]["name"], changed);
  EXPECT_EQ(result["changed"][0]["kind"], "linear");
  EXPECT_EQ(result["changed"][0]["layer"], 1);
  EXPECT_NEAR(result["changed"][0]["relative_norm"].get<double>(), 0.05, 0.01);
}

TEST_F(Cli, InspectTakesIdenticalCheckpointsAndUnknownFamilies) {
  make_pair();
  edit_config(base(), [](auto& c) { c["architectures"] = {"MambaForCausalLM"}; });
  EXPECT_EQ(json::parse(
                succeed({"inspect", "--base", base(), "--unlearned", base(), "--json"}))["changed"]
                .size(),
            0U);
}

TEST_F(Cli, EvaluatePrintsJsonAlone) {
  make_pair();
  const json result = json::parse(
      succeed({"evaluate", "--model", base(), "--data", "kept=" + retain().string(), "--data",
               "again=" + retain().string(), "--device", "cpu", "--json", "-"}));
  const json& kept = result["data"]["kept"];
  EXPECT_EQ(kept["records"], 5);
  EXPECT_EQ(kept["tokens"], 95);  // the first token of a text has no prediction
  const double loss = kept["mean_negative_log_likelihood"];
  EXPECT_GT(loss, 0);
  EXPECT_LT(std::abs(loss - std::log(64)), 3);  // random weights, 64 tokens
  EXPECT_NEAR(kept["perplexity"].get<double>(), std::exp(loss), 1e-9 * std::exp(loss));
  // Not bit for bit: BLAS may take the last rows of a product through another kernel than the rest.
  EXPECT_NEAR(result["data"]["again"]["mean_negative_log_likelihood"].get<double>(), loss, 1e-6);
}

TEST_F(Cli, EvaluateWritesJsonToAFile) {
  make_pair();
  const fs::path file = root_ / "scores.json";
  succeed({"evaluate", "--model", base(), "--data", "kept=" + retain().string(), "--device", "cpu",
           "--json", file, "-q"});
  EXPECT_EQ(json::parse(read_file(file))["data"]["kept"]["records"], 5);
}

TEST_F(Cli, FamiliesAreListedWithWhatWasVerified) {
  const std::string table = succeed({"families"});
  const json rows = json::parse(succeed({"families", "--json"}));
  ASSERT_EQ(rows.size(), 15u);
  for (const json& row : rows) {
    for (const char* key : {"family", "architecture"}) {
      const std::string word = row.at(key);
      EXPECT_NE(table.find(word + " "), std::string::npos) << word << " is not in: " << table;
    }
    ASSERT_GT(row.at("models").size(), 0u) << row;
    for (const std::string model : row.at("models"))
      EXPECT_NE(table.find(model), std::string::npos) << model << " is not in: " << table;
    EXPECT_EQ(row.at("verified").size(), 3u) << row;
    for (const auto& [name, meaning] : row.at("verified").items())
      EXPECT_NE(table.find(meaning), std::string::npos) << name << " is not told in: " << table;
    // The one model whose own weights were run.
    const bool llama = row.at("family") == "llama";
    EXPECT_EQ(row.at("real_weights"), llama ? json{"SmolLM2-135M"} : json::array()) << row;
  }
  EXPECT_NE(table.find("Real weights were run of SmolLM2-135M (llama) alone"), std::string::npos);
}

}  // namespace
}  // namespace sagesan
