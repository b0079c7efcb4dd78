#include <fstream>
#include <iterator>

#include "fuzz/fuzz.h"
#include "sagesan/support/error.h"
#include "sagesan/text/chat_template.h"
#include "sagesan/text/tokenizer.h"

// SentencePiece's tokenizer.model, and the configuration beside it.

namespace sagesan::fuzz {
namespace {

constexpr const char* kWords = "Hello  world, 12 \xC3\xA9\xE4\xB8\x96";

void encode_in(const std::filesystem::path& directory) {
  const Tokenizer tokenizer = Tokenizer::load_sentencepiece(directory);
  for (const int64_t id : tokenizer.encode(kWords))
    require(id >= 0 && id < tokenizer.size(), "an id outside the vocabulary");
}

void put_sound_model() {
  static const std::string model = [] {
    std::ifstream file(valid_seeds("sentencepiece").front(), std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  }();
  std::filesystem::create_directory(scratch() / "slow");
  put("slow/tokenizer.model", model);
}

}  // namespace

FUZZ_TARGET(special_tokens) {
  put_sound_model();
  std::filesystem::remove(scratch() / "slow/tokenizer_config.json");
  for (const char* name : {"slow/special_tokens_map.json", "slow/added_tokens.json"}) {
    const auto path = put(name, bytes);
    loads_or_refuses([] { encode_in(scratch() / "slow"); });
    std::filesystem::remove(path);
  }
}

FUZZ_TARGET(sentencepiece, mutate_protobuf) {
  std::filesystem::create_directory(scratch() / "slow");
  put("slow/tokenizer.model", bytes);
  std::filesystem::remove(scratch() / "slow/tokenizer_config.json");
  loads_or_refuses([] { encode_in(scratch() / "slow"); });
}

FUZZ_TARGET(tokenizer_config) {
  put_sound_model();
  put("slow/tokenizer_config.json", bytes);
  loads_or_refuses([] { encode_in(scratch() / "slow"); });
  try {
    recognize_template(scratch() / "slow");
  } catch (const InputError&) {  // hardly any is known
  }
}

}  // namespace sagesan::fuzz
