#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan::demo {

/// The token that ends a text.
inline constexpr const char* kEndOfText = "<|endoftext|>";
inline constexpr int64_t kEndOfTextId = 0;

/// Trains a byte-level BPE (Sennrich et al., arXiv:1508.07909; GPT-2's pre-tokenizer and alphabet)
/// on `texts` (UTF-8): the most frequent pair is merged, of equally frequent ones the first by its
/// ids, until there are `merges` merges or no pair occurs twice. Returns the content of a Hugging
/// Face `tokenizer.json`: ids are `kEndOfText`, the 256 bytes, the merges in order.
Json train_tokenizer(const std::vector<std::string>& texts, size_t merges);

/// The content of `tokenizer_config.json`, for `transformers`.
Json tokenizer_configuration();

}  // namespace sagesan::demo
