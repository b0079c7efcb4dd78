#include <fstream>

#include "text_testing.h"

namespace sagesan {
namespace {

// Ids of Hugging Face's tokenizers 0.23, written by make_golden.py beside this file.
TEST(TokenizerGolden, EqualsHuggingFace) {
  const auto path = std::filesystem::path(__FILE__).parent_path() / "golden_tokenizer.json";
  std::ifstream stream(path);
  ASSERT_TRUE(stream) << path;
  const auto golden = nlohmann::json::parse(stream);
  const Tokenizer tokenizer = load(golden.at("tokenizer"));
  ASSERT_GT(golden.at("cases").size(), 10u);
  for (const auto& item : golden.at("cases")) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), item.at("ids").get<Ids>()) << item.at("text").dump();
  }
}

}  // namespace
}  // namespace sagesan
