#pragma once

#include <functional>
#include <string>

#include "sagesan/support/json.h"

namespace sagesan::tokenization {

/// Rewrites a text (valid UTF-8) before it is split.
using Normalizer = std::function<void(std::string& text)>;

/// The "normalizer" of tokenizer.json: null, NFC, NFD, NFKC, NFKD (with Hugging Face's Unicode
/// version, 9.0), Prepend, Replace, those of `read_character_normalizer`, and a Sequence of them.
/// Throws `InputError` for every other type.
Normalizer read_normalizer(const Json* normalizer, const std::string& where);

/// Whether a sound "normalizer" leaves every character in its place: null, and Replace of one
/// character by one other.
bool keeps_places(const Json* normalizer, const std::string& where);

}  // namespace sagesan::tokenization
