#pragma once

#include <functional>
#include <string>

#include "sagesan/support/json.h"
#include "sagesan/text/split.h"

namespace sagesan::tokenization {

/// Cuts every piece further, and may rewrite the text (ByteLevel does).
using PreTokenizer = std::function<void(Pieces& pieces)>;

/// The "pre_tokenizer" of tokenizer.json: null, ByteLevel, Metaspace, Split, Digits, Punctuation,
/// Whitespace, WhitespaceSplit, and a Sequence of them. Each runs on every piece by itself, so an
/// expression never looks past the piece's ends. `placed`: what ran before kept every character in
/// its place (`read_metaspace`). Throws `InputError` for every other type.
PreTokenizer read_pre_tokenizer(const Json* pre_tokenizer, const std::string& where,
                                bool placed = true);

}  // namespace sagesan::tokenization
