#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/hash.h"
#include "sagesan/support/json.h"
#include "sagesan/text/chat_template.h"
#include "sagesan/text/component.h"

namespace sagesan {
namespace {

constexpr uint64_t kMaxTemplateSourceBytes = uint64_t{64} << 20;

std::string join_names() {
  std::vector<std::string> names;
  for (const ChatTemplate& chat : named_templates()) names.push_back(chat.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// xxh3-128 of published chat templates without the white space around them.
struct Published {
  std::string_view hash;
  std::string_view name;
};
constexpr Published kPublished[] = {
    {"9ddcd6cd71f96dd76ca7779b7730196a", "llama3"},   // Llama-3.1-8B-Instruct
    {"573e1bcc8c56f178c3d57e38f5ff0756", "llama3"},   // Llama-3.2-1B- and 3B-Instruct
    {"e392aa06018503fd2469c9508f79506e", "qwen2.5"},  // Qwen2.5-Instruct
    {"98f63cc3d421d28f99ab995e9629dacd", "qwen2.5"},  // SmolLM2-Instruct: another default system
    {"ceaa31b1554ec3f5cd8aff863abd4554", "phi3"},     // Phi-3.5-mini-instruct
    {"5ae4edc1a6c08aa61db34e9fc60441d8", "zephyr"},   // zephyr-7b-beta
    {"8b30bb763d138e692c2e86beabccd2a4", "gemma"},    // gemma-7b-it, gemma-2-it
};

std::string hash_template(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  text = text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
  Hasher hasher;
  hasher.add(std::as_bytes(std::span(text)));
  return hasher.hex();
}

/// The text of the directory's template and where it stands.
std::pair<std::string, std::string> read_model_template(const std::filesystem::path& directory) {
  const std::filesystem::path own = directory / "chat_template.jinja";
  if (std::filesystem::exists(own))
    return {read_text_file(own, kMaxTemplateSourceBytes), own.string()};
  const std::filesystem::path file = directory / "tokenizer_config.json";
  const Json json = read_optional_json_file(file, kMaxTemplateSourceBytes);
  const JsonObject config(json, file.string());
  const Json* found = config.find("chat_template");
  if (found == nullptr) {
    throw InputError(directory.string(),
                     "has no chat template, neither chat_template.jinja nor 'chat_template' in "
                     "tokenizer_config.json; name one with --retain-template");
  }
  if (found->is_array()) {  // several by name, of which "default" is the one for conversations
    for (const Json& entry : *found) {
      const JsonObject named(entry, file.string() + ": chat_template");
      if (named.string("name") == "default") return {named.string("template"), file.string()};
    }
    config.fail("chat_template", "a list without a 'default'");
  }
  return {config.string("chat_template"), file.string()};
}

/// The eos_token of tokenizer_config.json, as `transformers` reads it.
std::string read_end_token(const ChatTemplate& chat, const std::filesystem::path& model) {
  const std::filesystem::path file = model / "tokenizer_config.json";
  const Json json = read_optional_json_file(file, kMaxTemplateSourceBytes);
  const JsonObject config(json, file.string());
  const Json* token = config.find("eos_token");
  if (token == nullptr) {
    throw InputError(file.string(), fmt::format("no 'eos_token', with which the template {} closes "
                                                "a text",
                                                chat.name));
  }
  return tokenization::token_content(*token, file.string() + ": eos_token");
}

void check_tokens(const ChatTemplate& chat, const Tokenizer& tokenizer,
                  const std::filesystem::path& model) {
  std::vector<std::string> tokens = chat.tokens;
  if (!chat.end.empty()) tokens.push_back(chat.end);
  for (const std::string& token : tokens) {
    if (tokenizer.encode_plain(token).size() == 1) continue;
    throw InputError((model / "tokenizer.json").string(),
                     fmt::format("has no token {}: the template {} is another model's",
                                 quote(token), chat.name));
  }
}

ChatTemplate choose(const Rendering& rendering, const std::filesystem::path& model) {
  if (rendering.of_model) return recognize_template(model);
  if (const ChatTemplate* named = find_named_template(rendering.chat_template)) return *named;
  if (std::filesystem::exists(rendering.chat_template))
    return read_template_file(rendering.chat_template);
  throw InputError(rendering.chat_template,
                   fmt::format("no such file, and no template of that name ({})", join_names()));
}

}  // namespace

void check_rendering(const Rendering& rendering) {
  if (rendering.of_model && !rendering.chat_template.empty()) {
    throw UsageError("--retain-template and --chat-template cannot be given together");
  }
  const bool chat = rendering.of_model || !rendering.chat_template.empty();
  if (chat && !rendering.fields.empty() && rendering.fields.size() != 2) {
    throw UsageError("--retain-fields: a template wants two, QUESTION,ANSWER");
  }
}

const ChatTemplate& recognize_template(const std::filesystem::path& directory) {
  const auto [text, where] = read_model_template(directory);
  const std::string hash = hash_template(text);
  for (const Published& known : kPublished) {
    if (known.hash == hash) return *find_named_template(known.name);
  }
  throw InputError(where, fmt::format("the chat template is none that is known (Jinja is not run); "
                                      "name a rendering with --retain-template: {} or a file",
                                      join_names()));
}

std::optional<ChatTemplate> find_template(const Rendering& rendering,
                                          const std::filesystem::path& model,
                                          const std::optional<Tokenizer>& tokenizer) {
  check_rendering(rendering);
  if (!rendering.of_model && rendering.chat_template.empty()) return std::nullopt;
  ChatTemplate chat = choose(rendering, model);
  if (chat.ends_as_tokenizer) chat.end = read_end_token(chat, model);
  if (tokenizer) check_tokens(chat, *tokenizer, model);
  return chat;
}

}  // namespace sagesan
