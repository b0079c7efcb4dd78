#include "sagesan/checkpoint/adapter_configuration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::adapter_configuration;

class AdapterConfigurationTest : public ::testing::Test {
 protected:
  AdapterConfiguration read(const std::string& text) {
    testing::write_file(path_, text);
    return read_adapter_configuration(path_);
  }
  AdapterConfiguration read(const json& config) { return read(config.dump()); }
  AdapterConfiguration read_with(const char* key, const json& value) {
    json config = adapter_configuration();
    config[key] = value;
    return read(config);
  }
  void refuse(const json& config, const std::string& fragment) {
    testing::expect_input_error([&] { read(config); }, path_.string(), fragment);
  }
  void refuse_with(const char* key, const json& value, const std::string& fragment) {
    const std::string message =
        testing::expect_input_error([&] { read_with(key, value); }, path_.string(), fragment);
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }

  testing::TemporaryDirectory root_;
  std::filesystem::path path_ = root_ / "adapter_config.json";
};

TEST_F(AdapterConfigurationTest, ScaleIsAlphaOverRank) {
  const AdapterConfiguration config = read(adapter_configuration(4, 6));
  EXPECT_EQ(config.rank("model.layers.0.q_proj"), 4);
  EXPECT_EQ(config.scaling("model.layers.0.q_proj"), 1.5);
  EXPECT_TRUE(config.notices.empty());
}

TEST_F(AdapterConfigurationTest, RankStabilizedScaleIsAlphaOverRoot) {
  EXPECT_DOUBLE_EQ(read_with("use_rslora", true).scaling("q"), 3 / std::sqrt(2.0));
}

TEST_F(AdapterConfigurationTest, PatternsMatchWholeTailsOfNames) {
  json config = adapter_configuration(2, 3);
  config["rank_pattern"] = {{"q_proj", 8}, {"^model.layers.1.v_proj", 5}, {"layers\\.\\d+\\.o", 7}};
  config["alpha_pattern"] = {{"q_proj", 16}, {"down", 1.5}};
  const AdapterConfiguration read_back = read(config);
  EXPECT_EQ(read_back.rank("model.layers.0.q_proj"), 8);
  EXPECT_EQ(read_back.rank("q_proj"), 8);
  EXPECT_EQ(read_back.rank("model.layers.0.my_q_proj"), 2);  // no dot before it
  EXPECT_EQ(read_back.rank("model.layers.0.q_proj.x"), 2);   // not at the end
  EXPECT_EQ(read_back.rank("model.layers.1.v_proj"), 5);
  EXPECT_EQ(read_back.rank("x.model.layers.1.v_proj"), 2);  // ^ is the start of all
  EXPECT_EQ(read_back.rank("model.layers.10.o"), 7);
  EXPECT_EQ(read_back.scaling("model.layers.0.q_proj"), 2);
  EXPECT_EQ(read_back.scaling("model.layers.0.down"), 0.75);
}

/// Names alone go a shorter way than other expressions; `()` makes the same one go the long way.
TEST_F(AdapterConfigurationTest, PlainNamesMatchAsTheirExpressionsDo) {
  const std::vector<std::string> keys = {"q_proj", "x.q_proj", "xq_proj", "x.qxproj", "q_projx",
                                         "",       "x",        "a.b.q",   "b.q",      "a.bxq",
                                         ".q",     "q",        "x.y.q",   "\u00e9.q", "\u00e9q"};
  for (const std::string expression : {"q_proj", "q.proj", "b.q", "q", "..q", "."}) {
    const AdapterConfiguration plain = read_with("rank_pattern", {{expression, 9}});
    const AdapterConfiguration other = read_with("rank_pattern", {{expression + "()", 9}});
    for (const std::string& key : keys)
      EXPECT_EQ(plain.rank(key), other.rank(key)) << expression << " and " << key;
  }
}

TEST_F(AdapterConfigurationTest, FirstPatternOfTheFileCounts) {
  const char* start = R"({"peft_type":"LORA","r":2,"lora_alpha":3,"rank_pattern":)";
  EXPECT_EQ(read(start + std::string(R"({"z.*":5,"a.*":7,"za":9}})")).rank("za"), 5);
  EXPECT_EQ(read(start + std::string(R"({"za":9,"z.*":5}})")).rank("za"), 9);
}

TEST_F(AdapterConfigurationTest, MissingOrWrongNumbers) {
  json config = adapter_configuration();
  config.erase("lora_alpha");
  refuse(config, "key 'lora_alpha': missing");
  config = adapter_configuration();
  config.erase("r");
  refuse(config, "key 'r': missing");
  refuse_with("r", -4, "expected 1 to 16777216, found -4");
  refuse_with("r", 0, "expected 1 to");
  refuse_with("r", "8", "expected an integer, found string");
  refuse_with("lora_alpha", "16", "expected a number");
  refuse_with("rank_pattern", {{"q", 0}}, "'q': expected 1 to");
  refuse_with("rank_pattern", {{"q", 2.5}}, "'q': expected 1 to");
  refuse_with("rank_pattern", {{"q", "8"}}, "'q': expected a number");
  refuse_with("rank_pattern", json::array({1}), "expected expressions and numbers, found array");
  refuse_with("alpha_pattern", {{"(q", 8}}, "the expression '(q': missing closing parenthesis");
  refuse_with("bias", "some", "'some': expected none, all or lora_only");
  refuse_with("modules_to_save", "lm_head", "expected a list of names, found string");
  refuse_with("target_parameters", json::array({1}), "'1' is no name");
  testing::expect_input_error([&] { read(std::string("{")); }, path_.string(), "not valid JSON");
}

// Keeping their order takes time by the square of their number.
TEST_F(AdapterConfigurationTest, TooManyKeysAreRefused) {
  json many = json::object();
  for (int i = 0; i < 16384; ++i) many[std::to_string(i)] = 1;
  EXPECT_EQ(read_with("rank_pattern", many).rank("x.16383"), 1);
  many["q"] = 1;
  json config = adapter_configuration();
  config["other"] = json::array({many});
  refuse(config, "an object of 16385 keys, expected at most 16384");
}

TEST_F(AdapterConfigurationTest, ExpressionThatNeverEndsIsGivenUp) {
  json config = adapter_configuration();
  config["rank_pattern"] = {{"(a|aa)+[bc]", 3}};
  const AdapterConfiguration read_back = read(config);
  testing::expect_input_error(
      [&] { read_back.rank(std::string(40, 'a')); }, path_.string(),
      "key 'rank_pattern': the expression '(a|aa)+[bc]': match limit exceeded");
}

TEST_F(AdapterConfigurationTest, OtherKindsOfAdaptersAreRefusedByName) {
  refuse_with("peft_type", "ADALORA", "'ADALORA': only LORA is supported");
  refuse_with("peft_type", "IA3", "'IA3': only LORA is supported");
  refuse({{"r", 2}, {"lora_alpha", 3}}, "key 'peft_type': missing");
}

TEST_F(AdapterConfigurationTest, OptionsThatChangeWhatIsMergedAreRefusedByName) {
  for (const char* kind : {"pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "new"})
    refuse_with("init_lora_weights", kind, "such training starts by changing the base weights");
  refuse_with("alora_invocation_tokens", {1, 2}, "aLoRA");
  refuse_with("megatron_config", {{"a", 1}}, "Megatron");
  refuse_with("layer_replication", {{0, 4}}, "replicated layers");
  refuse_with("trainable_token_indices", {1}, "trainable tokens");
  refuse_with("ensure_weight_tying", true, "tied weights");
  for (const char* key : {"arrow_config", "kasa_config", "monteclora_config", "use_bdlora"})
    refuse_with(key, {{"a", 1}}, "");
  refuse_with("use_qalora", true, "QALoRA");
}

TEST_F(AdapterConfigurationTest, OptionsThatChangeNothingPass) {
  for (const json& kind : {json(true), json(false), json(nullptr), json("gaussian"), json("eva"),
                           json("orthogonal"), json("mica")})
    EXPECT_TRUE(read_with("init_lora_weights", kind).notices.empty());
  for (const json& nothing :
       {json(nullptr), json(false), json(""), json::object(), json::array()}) {
    EXPECT_TRUE(read_with("kasa_config", nothing).notices.empty());
    EXPECT_TRUE(read_with("something_new", nothing).notices.empty());
  }
  EXPECT_TRUE(read_with("lora_dropout", 0.1).notices.empty());
}

TEST_F(AdapterConfigurationTest, UnknownKeysAreListed) {
  const AdapterConfiguration config = read_with("lora_stacks", 4);
  ASSERT_EQ(config.notices.size(), 1U);
  EXPECT_EQ(config.notices[0],
            path_.string() + ": key 'lora_stacks' = '4' is not known and was passed over");
}

}  // namespace
}  // namespace sagesan
