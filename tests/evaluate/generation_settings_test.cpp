#include "sagesan/evaluate/generation_settings.h"

#include <gtest/gtest.h>

#include <optional>

#include "helpers/files.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

class GenerationSettingsFile : public ::testing::Test {
 protected:
  GenerationSettings read(const std::optional<std::string>& generation,
                          const std::string& config) const {
    if (generation) testing::write_file(directory_.path() / "generation_config.json", *generation);
    testing::write_file(directory_.path() / "config.json", config);
    return read_generation_settings(directory_.path());
  }
  std::string refused(const std::string& generation) const {
    try {
      read(generation, "{}");
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
  testing::TemporaryDirectory directory_;
};

using Ids = std::vector<int64_t>;

TEST_F(GenerationSettingsFile, ConfigurationOfTheModelIsTheFallback) {
  EXPECT_EQ(read(std::nullopt, R"({"eos_token_id": 3})").end_ids, Ids{3});
  EXPECT_EQ(read("{}", R"({"eos_token_id": [3, 4]})").end_ids, (Ids{3, 4}));
  EXPECT_EQ(read(R"({"eos_token_id": null})", R"({"eos_token_id": 3})").end_ids, Ids{3});
  EXPECT_EQ(read(R"({"eos_token_id": 5})", R"({"eos_token_id": 3})").end_ids, Ids{5});
  EXPECT_EQ(read(R"({"eos_token_id": []})", R"({"eos_token_id": 3})").end_ids, Ids{});
  EXPECT_EQ(read("{}", "{}").end_ids, Ids{});
}

TEST_F(GenerationSettingsFile, RepetitionPenalty) {
  EXPECT_EQ(read("{}", R"({"repetition_penalty": 2})").repetition_penalty, 1);
  EXPECT_EQ(read(R"({"repetition_penalty": 1.1})", "{}").repetition_penalty, 1.1);
}

TEST_F(GenerationSettingsFile, WhatIsMalformedIsRefused) {
  const std::string name = (directory_.path() / "generation_config.json").string();
  for (const char* ids : {"-1", "\"</s>\"", "[1, \"2\"]", "1.5", "{\"id\": 1}"}) {
    EXPECT_EQ(refused("{\"eos_token_id\": " + std::string(ids) + "}")
                  .find(name + ": key 'eos_token_id': expected a token id or a list of them"),
              0U)
        << ids;
  }
  EXPECT_EQ(refused(R"({"repetition_penalty": 0})")
                .find(name + ": key 'repetition_penalty': expected a positive number"),
            0U);
  EXPECT_FALSE(refused("[1]").empty());
}

}  // namespace
}  // namespace sagesan
