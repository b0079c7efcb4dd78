#include "sagesan/checkpoint/companion_files.h"

#include <nlohmann/json.hpp>
#include <string>

#include "sagesan/checkpoint/adapter.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;

/// transformers' name.
std::string torch_name(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
    default:
      SAGESAN_ASSERT(dtype == DType::kF32);
      return "float32";
  }
}

void write_changed_config(const fs::path& from, const fs::path& to, const ConfigChanges& changes) {
  Json config = read_json_file(from, kMaxConfigBytes);  // sorted, as transformers writes it
  // Where a model has several parts, those of the language model stand in an object of their own.
  const auto part = [&](const char* key) -> Json& {
    const auto inner = config.find("text_config");
    return !config.contains(key) && inner != config.end() && inner->contains(key) ? *inner : config;
  };
  if (changes.dtype) {
    const char* key = part("dtype").contains("dtype") ? "dtype" : "torch_dtype";
    part(key)[key] = torch_name(*changes.dtype);
  }
  if (changes.vocabulary) part("vocab_size")["vocab_size"] = *changes.vocabulary;
  write_text_file(to, config.dump(2) + "\n");
}

}  // namespace

bool has_own_configuration(const fs::path& unlearned) {
  return fs::is_regular_file(unlearned / kConfig) && !Adapter::is_adapter(unlearned);
}

void copy_companion_files(const fs::path& unlearned, const fs::path& base,
                          const fs::path& directory, const ConfigChanges& changes) {
  const auto copy = [&](const fs::path& from, const std::string& name) {
    if (!fs::is_regular_file(from / name)) return false;
    if (name == kConfig && (changes.dtype || changes.vocabulary)) {
      write_changed_config(from / name, directory / name, changes);
    } else {
      copy_to_new_file(from / name, directory / name);
    }
    return true;
  };
  copy(has_own_configuration(unlearned) ? unlearned : base, kConfig);
  if (!copy(unlearned, "generation_config.json")) copy(base, "generation_config.json");
  // One tokenizer's files belong together.
  const auto has_tokenizer = [](const fs::path& model) {
    for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json"}) {
      if (fs::is_regular_file(model / name)) return true;
    }
    return false;
  };
  const auto copy_tokenizer = [&](const fs::path& from) {
    bool found = false;
    for (const char* name :
         {"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
          "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"})
      found = copy(from, name) || found;
    return found;
  };
  const bool only_the_base = has_tokenizer(base) && !has_tokenizer(unlearned);
  if (only_the_base || !copy_tokenizer(unlearned)) copy_tokenizer(base);
}

}  // namespace sagesan
