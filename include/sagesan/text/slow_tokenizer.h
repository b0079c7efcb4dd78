#pragma once

#include <filesystem>
#include <memory>

#include "sagesan/support/json.h"
#include "sagesan/text/model.h"
#include "sagesan/text/normalizer.h"
#include "sagesan/text/post_processor.h"

namespace sagesan::tokenization {

/// The parts of a tokenizer that has no tokenizer.json, as the slow `LlamaTokenizer` of
/// `transformers` (legacy behaviour) puts them together.
struct SlowTokenizer {
  std::unique_ptr<const Model> model;
  Normalizer normalizer;
  PostProcessor post_processor;
  std::shared_ptr<const Json> added_tokens;  ///< as the block of tokenizer.json
  std::shared_ptr<Json> decoder;             ///< likewise
};

/// Reads `tokenizer.model`, and where they exist `tokenizer_config.json`, `special_tokens_map.json`
/// and `added_tokens.json`, of a directory. The special and added tokens are cut out of a text;
/// what is left between is encoded stretch by stretch, each with SentencePiece's space in front.
/// The beginning-of-text token comes first, an end-of-text token only with `add_eos_token`. Throws
/// `InputError` for other tokenizer classes, `legacy` false, and tokens without an id.
SlowTokenizer read_slow_tokenizer(const std::filesystem::path& directory);

}  // namespace sagesan::tokenization
