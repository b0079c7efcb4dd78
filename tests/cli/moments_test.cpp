// `collect`, `merge` and `sanitize --moments`, through the program.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
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
using testing::Weights;
using testing::write_file;

class Moments : public testing::CliTest {
 protected:
  void SetUp() override {
    make_pair();
    // 12 texts of 20 tokens: a quarter of them are fewer than the channels of every site.
    std::istringstream lines(testing::tiny_records(12, 20, TinyModel().vocabulary));
    for (std::string line; std::getline(lines, line);) texts_.push_back(line + "\n");
    write_texts("retain.jsonl", 0, 12);
  }
  std::filesystem::path write_texts(const std::string& name, size_t from, size_t to) {
    std::string text;
    for (size_t i = from; i < to; ++i) text += texts_[i];
    write_file(root_ / name, text);
    return root_ / name;
  }
  std::filesystem::path collect(const std::string& name, const std::filesystem::path& texts,
                                const Arguments& more = {}) {
    succeed(joined({"collect", "--base", base(), "--retain", texts, "--out", root_ / name, "-q",
                    "--device", "cpu", "--threads", "1"},
                   more));
    return root_ / name;
  }
  Arguments with_moments(const std::filesystem::path& moments, const Arguments& more = {}) {
    return joined({"sanitize", "--base", base(), "--unlearned", unlearned(), "--moments", moments,
                   "--out", out(), "--device", "cpu", "--threads", "1"},
                  more);
  }
  std::vector<std::string> texts_;
};

TEST_F(Moments, SanitizeWithThemGivesTheSameBytes) {
  const auto moments = collect("m.safetensors", retain());
  for (const Arguments& more :
       {Arguments{}, {"--method", "ridge", "--strength", "5"}, {"--target-bias", "0.2"}}) {
    succeed(joined(sanitize(more), {"--overwrite", "-q"}));
    const std::string direct = read_file(out() / "model.safetensors");
    json report = json::parse(read_file(out() / "sagesan_report.json"));
    succeed(with_moments(moments, joined(more, {"--overwrite", "-q"})));
    EXPECT_TRUE(read_file(out() / "model.safetensors") == direct);
    report["layers_run"] = 0;
    EXPECT_EQ(json::parse(read_file(out() / "sagesan_report.json")), report);
  }
}

TEST_F(Moments, TwoHalvesMergeToTheWhole) {
  const Weights whole = testing::read_weights(collect("whole.safetensors", retain()));
  for (const size_t cut : {6, 1, 2}) {  // sums, rows that become sums
    const auto first = collect("a.safetensors", write_texts("a.jsonl", 0, cut), {"--overwrite"});
    const auto second = collect("b.safetensors", write_texts("b.jsonl", cut, 12), {"--overwrite"});
    succeed({"merge", first, second, "--out", root_ / "both.safetensors", "--overwrite", "-q"});
    const Weights both = testing::read_weights(root_ / "both.safetensors");
    ASSERT_EQ(both.size(), whole.size());
    EXPECT_LT(largest_difference(both, whole, whole), 1e-6) << cut;
  }
  // Rows that stay rows.
  const Weights few =
      testing::read_weights(collect("few.safetensors", write_texts("few.jsonl", 0, 1)));
  EXPECT_EQ(few.count("layers.0.attention_input.rows"), 1U);
  EXPECT_EQ(few.count("layers.0.attention_input.sum"), 0U);
  EXPECT_EQ(few.at("layers.0.attention_input.rows").size(), 20U * 32);
}

TEST_F(Moments, HalvesCutAtABlockBoundaryMergeExactly) {
  // Blocks hold at most 2048 tokens, five texts of 400 each: cut after two of them.
  const TinyModel model;
  std::istringstream lines(testing::tiny_records(20, 400, model.vocabulary));
  texts_.clear();
  for (std::string line; std::getline(lines, line);) texts_.push_back(line + "\n");
  const Weights whole =
      testing::read_weights(collect("whole.safetensors", write_texts("all.jsonl", 0, 20)));
  const auto first = collect("a.safetensors", write_texts("a.jsonl", 0, 10));
  const auto second = collect("b.safetensors", write_texts("b.jsonl", 10, 20));
  succeed({"merge", first, second, "--out", root_ / "both.safetensors", "-q"});
  EXPECT_LT(largest_difference(testing::read_weights(root_ / "both.safetensors"), whole, whole),
            1e-12);
}

TEST_F(Moments, TokenCapMergesToo) {
  const Arguments cap = {"--token-cap", "1.1"};
  const Weights whole = testing::read_weights(collect("whole.safetensors", retain(), cap));
  const auto first = collect("a.safetensors", write_texts("a.jsonl", 0, 6), cap);
  const auto second = collect("b.safetensors", write_texts("b.jsonl", 6, 12), cap);
  succeed({"merge", first, second, "--out", root_ / "both.safetensors", "-q"});
  EXPECT_LT(largest_difference(testing::read_weights(root_ / "both.safetensors"), whole, whole),
            1e-6);
  const double weight = whole.at("layers.0.mlp_hidden.weight")[0];
  EXPECT_LT(weight, 239);
  EXPECT_GT(weight, 120);
}

TEST_F(Moments, WhatDoesNotBelongTogetherIsRefused) {
  const auto moments = collect("m.safetensors", retain());
  const auto shorter = collect("short.safetensors", retain(), {"--max-length", "10"});
  const Arguments out_file = {"--out", root_ / "both.safetensors"};
  refuse(joined({"merge", moments, shorter}, out_file), 3,
         {shorter.string(), "the maximum length is another"});
  TinyModel other;
  other.seed = 7;
  testing::make_base(root_ / "other", other);
  succeed({"collect", "--base", root_ / "other", "--retain", retain(), "--out",
           root_ / "other.safetensors", "-q"});
  refuse(joined({"merge", moments, root_ / "other.safetensors"}, out_file), 3,
         {"other.safetensors", "the base model is another"});
  refuse(with_moments(root_ / "other.safetensors"), 3,
         {"other.safetensors", "collected on another model"});
  refuse(joined({"merge", moments}, out_file), 2, {"at least two files"});
  refuse(joined({"merge", moments, base() / "model.safetensors"}, out_file), 3,
         {"model.safetensors", "is no moments file"});
  refuse(with_moments(moments, {"--retain", retain()}), 2,
         {"--moments and --retain cannot be given together"});
  refuse(with_moments(moments, {"--max-length", "10"}), 2,
         {"--moments and --max-length cannot be given together"});
  refuse({"sanitize", "--base", base(), "--unlearned", unlearned(), "--out", out()}, 2,
         {"--retain is required (or --moments"});
}

TEST_F(Moments, ExistingFilesAreReplacedOnlyWhenAskedAndOnlyMomentsFiles) {
  const auto moments = collect("m.safetensors", retain());
  const Arguments again = {"collect", "--base", base(), "--retain", retain(), "--out"};
  refuse(joined(again, {moments}), 3, {moments.string(), "exists already"});
  collect("m.safetensors", retain(), {"--overwrite"});
  write_file(root_ / "precious.txt", "mine");
  refuse(joined(again, {root_ / "precious.txt", "--overwrite"}), 3,
         {"precious.txt", "is no moments file of sagesan, so it is not replaced"});
  refuse(joined(again, {base() / "model.safetensors", "--overwrite"}), 3,
         {"model.safetensors", "must lie outside "});
  refuse(joined(again, {root_ / "missing" / "m.safetensors"}), 4, {"no such directory"});
}

TEST_F(Moments, NumbersThatCannotBeAreRefusedByName) {
  const auto moments = collect("m.safetensors", retain());
  const std::string whole = read_file(moments);
  const SafetensorsFile file(moments);
  const auto spoil = [&](const std::string& name, double value) {
    std::string content = whole;
    for (const TensorInfo& tensor : file.tensors()) {
      if (tensor.name != name) continue;
      for (uint64_t i = 0; i < tensor.bytes; i += sizeof value)
        std::memcpy(content.data() + tensor.offset + i, &value, sizeof value);
    }
    write_file(root_ / "spoilt.safetensors", content);
    const std::vector<std::string> named = {"spoilt.safetensors", name.substr(0, name.rfind('.'))};
    refuse(with_moments(root_ / "spoilt.safetensors"), 3, named);
    refuse({"inspect", "--base", base(), "--unlearned", unlearned(), "--moments",
            root_ / "spoilt.safetensors"},
           3, named);
  };
  spoil("embedding.sum", 0);
  spoil("embedding.sum", -1);
  spoil("final_norm.sum", 1e308);
  spoil("layers.0.mlp_input.sum", -1);
  spoil("head_input.weight", 1e-320);
  spoil("head_input.weight", -1);
}

TEST_F(Moments, ForgetTextsAreReadAsTheyWereCollected) {
  const auto forget = write_texts("forget.jsonl", 0, 2);
  const auto moments = collect("m.safetensors", retain());
  succeed(with_moments(moments, {"--forget", forget, "-q"}));
  std::filesystem::remove_all(out());
  const auto shorter = collect("short.safetensors", retain(), {"--max-length", "10"});
  refuse(with_moments(shorter, {"--forget", forget}), 3,
         {"short.safetensors", "was collected with other text options than the --forget texts"});
}

TEST_F(Moments, DryRunNamesTheMomentsFile) {
  const auto moments = collect("m.safetensors", retain());
  const std::string printed = succeed(with_moments(moments, {"--dry-run"}));
  EXPECT_NE(
      printed.find("would use the moments of 15 sites over 240 tokens in " + moments.string()),
      std::string::npos)
      << printed;
}

TEST_F(Moments, DamagedFilesAreRefusedByName) {
  const auto moments = collect("m.safetensors", retain());
  const std::string whole = read_file(moments);
  write_file(root_ / "cut.safetensors", whole.substr(0, whole.size() - 8));
  refuse(with_moments(root_ / "cut.safetensors"), 3, {"cut.safetensors", "truncated"});
  std::string header = whole;
  header.replace(header.find("\"format_version\":\"1\""), 20, "\"format_version\":\"9\"");
  write_file(root_ / "new.safetensors", header);
  refuse(with_moments(root_ / "new.safetensors"), 3,
         {"new.safetensors", "'9': this sagesan reads version 1"});
  std::string renamed = whole;
  renamed.replace(renamed.find("final_norm.sum"), 14, "final_norm.sun");
  write_file(root_ / "renamed.safetensors", renamed);
  refuse(with_moments(root_ / "renamed.safetensors"), 3, {"renamed.safetensors", "final_norm"});
}

}  // namespace
}  // namespace sagesan
