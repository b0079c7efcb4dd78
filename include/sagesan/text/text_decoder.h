#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan::tokenization {

/// Turns the texts of tokens, in place, into pieces of the text that they stand for.
using TextDecoder = std::function<void(std::vector<std::string>&)>;

/// The "decoder" of tokenizer.json: ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip and
/// Sequence, as `tokenizers` runs them (tokenizers/src/decoders). Null: the tokens with a space
/// between. Throws `InputError` for every other type and for options that are not known.
TextDecoder read_text_decoder(const Json* decoder, const std::string& where);

/// `text` with every `from` in it, from the left, turned into `to`.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace sagesan::tokenization
