#pragma once

#include <string>

#include "sagesan/support/json.h"
#include "sagesan/text/regex.h"

namespace sagesan::tokenization {

/// A pattern of tokenizer.json: `{"Regex": "..."}` or `{"String": "..."}`. Throws `InputError`.
Regex read_pattern(const Json& pattern, const std::string& where);

}  // namespace sagesan::tokenization
