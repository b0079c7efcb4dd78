// sagesan_decode_ids DIR: reads lists of ids, one JSON line each, from standard input and prints
// the text of each and that text with its spaces cleaned up: the parity tests' window into
// decoding.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "sagesan/text/detokenizer.h"
#include "sagesan/text/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const auto tokenizer = sagesan::find_tokenizer(argv[1]);
    if (!tokenizer) return 2;
    const sagesan::Detokenizer detokenizer = tokenizer->detokenizer();
    for (std::string line; std::getline(std::cin, line);) {
      const std::string text =
          detokenizer.decode(nlohmann::json::parse(line).get<std::vector<int64_t>>());
      std::cout << nlohmann::json({text, sagesan::clean_up_spaces(text)}).dump() << "\n";
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
