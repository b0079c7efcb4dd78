#include "sagesan/text/tokenizer.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/detokenizer.h"
#include "sagesan/text/regex.h"

// tokenizer.json, texts for the tokenizers of its corpus, and the expressions that such files
// bring.

namespace sagesan::fuzz {
namespace {

constexpr std::string_view kText =
    "Hello  world's\tend,\r\n 12345 \xC3\xA9\xE4\xB8\x96 <s>\xF0\x9F\x98\x80 don't \xEF\xBC\xA1";

void check_ids(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  for (const int64_t id : ids)
    require(id >= 0 && id < tokenizer.size(), "an id outside the vocabulary");
}

}  // namespace

FUZZ_TARGET(tokenizer_json) {
  const auto path = put("tokenizer.json", bytes);
  loads_or_refuses([&] {
    const Tokenizer tokenizer = Tokenizer::load(path);
    const std::vector<int64_t> ids = tokenizer.encode(kText);
    check_ids(tokenizer, ids);
    require(find_invalid_utf8(tokenizer.detokenizer().decode(ids)) == std::string::npos,
            "a text that is no UTF-8");
  });
}

FUZZ_TARGET(tokenizer_text) {
  static const std::vector<Tokenizer> tokenizers = [] {
    std::vector<Tokenizer> all;
    for (const auto& seed : valid_seeds("tokenizer_json")) all.push_back(Tokenizer::load(seed));
    return all;
  }();
  if (bytes.empty()) return;
  const Tokenizer& tokenizer = tokenizers[static_cast<uint8_t>(bytes[0]) % tokenizers.size()];
  loads_or_refuses(
      [&] {
        const std::vector<int64_t> ids = tokenizer.encode(bytes.substr(1));
        check_ids(tokenizer, ids);
        require(find_invalid_utf8(tokenizer.detokenizer().decode(ids)) == std::string::npos,
                "a text that is no UTF-8");
      },
      "UTF-8");
}

FUZZ_TARGET(pattern) {
  loads_or_refuses([&] {
    const auto regex = tokenization::Regex::compile(bytes, "/file");
    std::vector<tokenization::Span> matches;
    regex.find_all(kText, matches);
    size_t end = 0;
    for (const auto& match : matches) {
      require(match.begin >= end && match.begin <= match.end && match.end <= kText.size(),
              "matches that overlap");
      end = match.end;
    }
  });
}

}  // namespace sagesan::fuzz
