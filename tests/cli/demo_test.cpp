// `sagesan demo`. What it computes is checked in tests/tools and by scripts/check_demo.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::write_file;

using Demo = testing::CliTest;

TEST_F(Demo, ReplacesAnEarlierOneAndWritesTheSameJsonTwice) {
  fs::create_directory(out());
  write_file(out() / "sagesan_demo.json", "{}");
  write_file(out() / "stale.txt", "");
  const fs::path copy = root_ / "demo.json";
  EXPECT_EQ(succeed({"demo", "--out", out(), "--overwrite", "--json", copy, "--seed", "7",
                     "--seeds", "1", "--device", "cpu", "--threads", "1", "--quiet"}),
            "");
  EXPECT_EQ(read_file(copy), read_file(out() / "sagesan_demo.json"));
  EXPECT_FALSE(fs::exists(out() / "stale.txt"));
  const auto result = nlohmann::json::parse(read_file(copy));
  ASSERT_EQ(result["methods"].size(), 3U);
  for (const auto& method : result["methods"]) EXPECT_EQ(method["seed"], 7) << method;
  // The models are there to work with.
  succeed({"inspect", "--base", out() / "seed_7/base", "--unlearned", out() / "seed_7/npo"});
}

TEST_F(Demo, PlacesThatAreRefused) {
  fs::create_directory(out());
  refuse({"demo", "--out", out()}, 3,
         {out().string() + ": exists already", "choose another --out"});
  write_file(out() / "thesis.tex", "years of work");
  refuse({"demo", "--out", out(), "--overwrite"}, 3,
         {out().string() + ": exists already and is not replaced: it holds no sagesan_demo.json"});
  refuse({"demo", "--out", root_ / "none/out"}, 4, {(root_ / "none").string() + ": no such dir"});
  refuse({"demo", "--out", root_ / "new", "--json", root_ / "new/demo.json"}, 3,
         {(root_ / "new/demo.json").string() + ": must lie outside " + (root_ / "new").string()});
  refuse({"demo", "--json", root_ / "none/demo.json"}, 4, {(root_ / "none").string()});
  refuse({"demo", "--json", out()}, 4, {out().string() + ": is a directory"});
}

TEST_F(Demo, NumbersThatAreRefused) {
  refuse({"demo", "--seeds", "0"}, 2, {"--seeds 0: expected 1 to 1000"});
  refuse({"demo", "--seed", "-1"}, 2, {"--seed -1: expected 0 to"});
  refuse({"demo", "--seed", "one"}, 2, {"--seed: 'one' is no whole number"});
}

}  // namespace
}  // namespace sagesan
