#include "sagesan/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/json.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/added_tokens.h"
#include "sagesan/text/component.h"
#include "sagesan/text/detokenizer.h"
#include "sagesan/text/model.h"
#include "sagesan/text/normalizer.h"
#include "sagesan/text/post_processor.h"
#include "sagesan/text/pre_tokenizer.h"
#include "sagesan/text/slow_tokenizer.h"

namespace sagesan {

using namespace tokenization;  // NOLINT(google-build-using-namespace): the parts put together here

namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;

Json read_file(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMaxTokenizerBytes);
  if (const std::string format = recognize_format(text); !format.empty()) {
    throw InputError(path.string(), "expected a tokenizer.json, found " + format);
  }
  return parse_json(text, path.string());
}

/// What decides on ids. A merge is written as "a b" or as ["a", "b"].
Json vocabulary_of(const std::filesystem::path& path) {
  const Json file = read_file(path);
  Json result = Json::object();
  const auto model = file.find("model");
  if (model == file.end() || !model->is_object()) return result;
  for (const char* key : {"vocab", "merges"}) {
    const auto found = model->find(key);
    if (found == model->end()) continue;
    result[key] = *found;
    if (!found->is_array()) continue;
    for (Json& entry : result[key]) {
      if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
        entry = entry[0].get<std::string>() + " " + entry[1].get<std::string>();
    }
  }
  return result;
}

}  // namespace

struct Tokenizer::State {
  State(const JsonObject& file, const std::string& path)
      : model(read_model(file.require("model"), path + ": model")),
        normalizer(read_normalizer(file.find("normalizer"), path + ": normalizer")),
        pre_tokenizer(
            read_pre_tokenizer(file.find("pre_tokenizer"), path + ": pre_tokenizer",
                               keeps_places(file.find("normalizer"), path + ": normalizer"))),
        post_processor(read_post_processor(file.find("post_processor"), path + ": post_processor")),
        added_tokens(file.find("added_tokens"), *model, normalizer, path + ": added_tokens"),
        where(path) {
    if (const Json* found = file.find("decoder")) decoder = *found;
    check(path);
  }

  State(SlowTokenizer parts, const std::string& path)
      : model(std::move(parts.model)),
        normalizer(std::move(parts.normalizer)),
        pre_tokenizer(read_pre_tokenizer(nullptr, path)),
        post_processor(std::move(parts.post_processor)),
        added_tokens(parts.added_tokens.get(), *model, normalizer, path + ": added tokens"),
        decoder(std::move(*parts.decoder)),
        where(path) {
    check(path);
  }

  void check(const std::string& path) {
    size = 1 + std::max(model->largest_id(), added_tokens.largest_id());
    for (const auto* side : {&post_processor.before, &post_processor.after}) {
      for (const int64_t id : *side) {
        if (id >= size) {
          throw InputError(path + ": post_processor",
                           fmt::format("the id {} belongs to no token", id));
        }
      }
    }
  }

  void encode(std::string_view text, std::vector<int64_t>& ids) const;

  std::unique_ptr<const Model> model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  AddedTokens added_tokens;
  Json decoder;       // null: none
  std::string where;  ///< the file
  int64_t size = 0;
};

void Tokenizer::State::encode(std::string_view text, std::vector<int64_t>& ids) const {
  if (const size_t invalid = find_invalid_utf8(text); invalid != std::string_view::npos) {
    throw InputError("text", fmt::format("invalid UTF-8 at byte {}", invalid));
  }
  std::vector<Segment> raw_segments;
  std::vector<Segment> segments;
  added_tokens.split_raw(text, raw_segments);
  for (const Segment& raw : raw_segments) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    std::string normalized(text.substr(raw.span.begin, raw.span.end - raw.span.begin));
    normalizer(normalized);
    segments.clear();
    added_tokens.split_normalized(normalized, segments);
    for (const Segment& segment : segments) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      const size_t length = segment.span.end - segment.span.begin;
      Pieces pieces{.text = normalized.substr(segment.span.begin, length),
                    .spans = {{0, length}},
                    .at_start = raw.span.begin == 0 && segment.span.begin == 0};
      pre_tokenizer(pieces);
      for (const Span& span : pieces.spans) model->encode(pieces.piece(span), ids);
    }
  }
}

Tokenizer::Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  const std::string path = tokenizer_json.string();
  const Json json = read_file(tokenizer_json);
  const JsonObject file(json, path);
  require_known_keys(json, path,
                     {"version", "truncation", "padding", "added_tokens", "normalizer",
                      "pre_tokenizer", "post_processor", "decoder", "model"});
  if (const std::string version = file.string_or("version", "1.0"); version != "1.0") {
    file.fail("version", fmt::format("expected '1.0', found {}", quote(version)));
  }
  return Tokenizer(std::make_shared<const State>(file, path));
}

Tokenizer Tokenizer::load_sentencepiece(const std::filesystem::path& directory) {
  return Tokenizer(
      std::make_shared<const State>(read_slow_tokenizer(directory), directory.string()));
}

std::vector<int64_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids = state_->post_processor.before;
  state_->encode(text, ids);
  ids.insert(ids.end(), state_->post_processor.after.begin(), state_->post_processor.after.end());
  return ids;
}

std::vector<int64_t> Tokenizer::encode_plain(std::string_view text) const {
  std::vector<int64_t> ids;
  state_->encode(text, ids);
  return ids;
}

Detokenizer Tokenizer::detokenizer() const {
  const Json* decoder = state_->decoder.is_null() ? nullptr : &state_->decoder;
  TextDecoder decode = read_text_decoder(decoder, state_->where + ": decoder");
  int64_t count = 0;
  state_->model->visit_tokens([&](std::string_view, int64_t) { ++count; });
  count += static_cast<int64_t>(state_->added_tokens.tokens().size());
  constexpr int64_t kGap = 1 << 20;  // ids that no token has
  if (state_->size > count + kGap) {
    throw InputError(state_->where, fmt::format("ids up to {} for {} tokens: too many without one",
                                                state_->size - 1, count));
  }
  std::vector<Detokenizer::Token> tokens(static_cast<size_t>(state_->size));
  state_->model->visit_tokens([&](std::string_view text, int64_t id) {
    tokens[static_cast<size_t>(id)] = {.text = std::string(text), .exists = true};
  });
  for (const AddedTokens::Token& token : state_->added_tokens.tokens()) {
    tokens[static_cast<size_t>(token.id)] = {
        .text = token.content, .exists = true, .special = token.special};
  }
  return {std::move(tokens), std::move(decode)};
}

int64_t Tokenizer::size() const { return state_->size; }

std::optional<std::filesystem::path> find_tokenizer_file(const std::filesystem::path& directory) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    if (std::filesystem::exists(directory / name)) return directory / name;
  }
  return std::nullopt;
}

std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& directory) {
  const auto file = find_tokenizer_file(directory);
  if (!file) return std::nullopt;
  if (file->extension() == ".model") return Tokenizer::load_sentencepiece(directory);
  return Tokenizer::load(*file);
}

bool has_other_vocabulary(const std::filesystem::path& one, const std::filesystem::path& other) {
  const std::filesystem::path first = one / "tokenizer.json";
  const std::filesystem::path second = other / "tokenizer.json";
  if (!std::filesystem::is_regular_file(first) || !std::filesystem::is_regular_file(second) ||
      read_text_file(first, kMaxTokenizerBytes) == read_text_file(second, kMaxTokenizerBytes))
    return false;
  return vocabulary_of(first) != vocabulary_of(second);
}

}  // namespace sagesan
