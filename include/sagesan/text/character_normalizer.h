#pragma once

#include "sagesan/support/json.h"
#include "sagesan/text/normalizer.h"

namespace sagesan::tokenization {

/// The normalizers that look at one character at a time: Lowercase (Unicode's full lower case,
/// without context: a final sigma is no different), StripAccents (removes what was a mark in
/// Unicode 9.0, the version used there), Nmt, Strip and ByteLevel. An empty function for every
/// other type.
Normalizer read_character_normalizer(const std::string& type, const Json& component,
                                     const std::string& where);

}  // namespace sagesan::tokenization
