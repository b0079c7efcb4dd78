#include "sagesan/text/slow_tokenizer.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/text/bpe.h"
#include "sagesan/text/component.h"
#include "sagesan/text/sentencepiece.h"

namespace sagesan::tokenization {
namespace {

constexpr std::string_view kMark = "▁";

class Reader {
 public:
  explicit Reader(std::filesystem::path directory)
      : directory_(std::move(directory)),
        path_((directory_ / "tokenizer.model").string()),
        pieces_(read_sentencepiece(path_)),
        config_(read("tokenizer_config.json")),
        model_(std::make_unique<const Bpe>(pieces_, path_)) {}

  SlowTokenizer run() {
    const JsonObject config(config_, where("tokenizer_config.json"));
    refuse_what_is_not_run(config);
    read_added_tokens(config);
    const Json map = read("special_tokens_map.json");
    read_special_tokens(JsonObject(map, where("special_tokens_map.json")));
    read_special_tokens(config);
    PostProcessor post_processor;
    const int64_t begin = id_of(special(config, "bos_token", "<s>"), config.where());
    const int64_t end = id_of(special(config, "eos_token", "</s>"), config.where());
    id_of(special(config, "unk_token", "<unk>"), config.where());
    if (config.boolean_or("add_bos_token", true)) post_processor.before.push_back(begin);
    if (config.boolean_or("add_eos_token", false)) post_processor.after.push_back(end);
    Json list = Json::array();
    for (auto& [id, token] : tokens_) list.push_back(std::move(token));
    return {.model = std::move(model_),
            .normalizer = normalizer(),
            .post_processor = std::move(post_processor),
            .added_tokens = std::make_shared<const Json>(std::move(list)),
            .decoder = std::make_shared<Json>(decoder())};
  }

 private:
  std::string where(const char* name) const { return (directory_ / name).string(); }

  Json read(const char* name) const { return read_optional_json_file(directory_ / name); }

  static void refuse_what_is_not_run(const JsonObject& config) {
    const std::string name = config.string_or("tokenizer_class", "LlamaTokenizer");
    if (name != "LlamaTokenizer" && name != "LlamaTokenizerFast") {
      config.fail("tokenizer_class", quote(name) + " is not supported without a tokenizer.json");
    }
    for (const std::string_view key : {"legacy", "add_prefix_space"}) {
      if (!config.boolean_or(key, true)) {
        config.fail(key, "false is not supported without a tokenizer.json");
      }
    }
    if (const Json* options = config.find("sp_model_kwargs"); options && !options->empty()) {
      config.fail("sp_model_kwargs", "is not supported");
    }
  }

  void add(int64_t id, const std::string& content, const Json& flags) {
    Json token = {{"id", id}, {"content", content}, {"normalized", false}};
    for (const char* flag : {"lstrip", "rstrip", "single_word", "special"}) {
      if (flags.contains(flag)) token[flag] = flags[flag];
    }
    ids_.emplace(content, id);
    tokens_.emplace(id, std::move(token));
  }

  void read_added_tokens(const JsonObject& config) {
    if (const Json* decoder = config.find("added_tokens_decoder")) {
      const std::string place = config.where() + ": added_tokens_decoder";
      const JsonObject list(*decoder, place);
      for (const auto& item : decoder->items()) {
        const std::string& key = item.key();
        if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != key.npos) {
          list.fail(key, "expected a token id");
        }
        add(std::stol(key), token_content(item.value(), place), item.value());
      }
    }
    const Json more = read("added_tokens.json");
    const JsonObject added(more, where("added_tokens.json"));
    for (const auto& item : more.items()) {
      const int64_t id = added.integer(item.key(), 0, kMaxTokenId);
      if (!ids_.contains(item.key())) add(id, item.key(), Json::object());
    }
  }

  /// Every "..._token" must have an id; "additional_special_tokens" is a list of them.
  void read_special_tokens(const JsonObject& file) {
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                            "cls_token", "mask_token"}) {
      if (const Json* token = file.find(key)) id_of(*token, file.where());
    }
    if (const Json* list = file.find("additional_special_tokens")) {
      for (const Json& token : *list) id_of(token, file.where());
    }
  }

  static Json special(const JsonObject& config, std::string_view key, const char* otherwise) {
    const Json* token = config.find(key);
    return token != nullptr ? *token : Json(otherwise);
  }

  /// The id of a special token, which from here on is cut out of texts.
  int64_t id_of(const Json& token, const std::string& place) {
    const std::string content = token_content(token, place);
    const auto found = ids_.find(content);
    if (found == ids_.end()) {
      const auto id = model_->find(content);
      if (!id) throw InputError(place, fmt::format("the token {} has no id", quote(content)));
      add(*id, content, token.is_object() ? token : Json::object());
    }
    const int64_t id = ids_.at(content);
    tokens_.at(id)["special"] = true;
    return id;
  }

  Normalizer normalizer() const {
    return [prepend = pieces_.add_dummy_prefix](std::string& text) {
      std::string result;
      if (prepend && !text.empty()) result += kMark;
      for (const char byte : text) byte == ' ' ? result += kMark : result += byte;
      text = std::move(result);
    };
  }

  /// What the published conversions of such a file to tokenizer.json have.
  Json decoder() const {
    const int start = pieces_.add_dummy_prefix ? 1 : 0;
    return {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", kMark}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", 0}}}}};
  }

  std::filesystem::path directory_;
  std::string path_;
  SentencePieceModel pieces_;
  Json config_;
  std::unique_ptr<const Model> model_;
  std::map<std::string, int64_t> ids_;
  std::map<int64_t, Json> tokens_;  // by id
};

}  // namespace

SlowTokenizer read_slow_tokenizer(const std::filesystem::path& directory) {
  return Reader(directory).run();
}

}  // namespace sagesan::tokenization
