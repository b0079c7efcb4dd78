#pragma once

#include <string>

#include "sagesan/support/json.h"
#include "sagesan/text/pre_tokenizer.h"

namespace sagesan::tokenization {

/// The "Metaspace" pre-tokenizer: spaces become `replacement`, one more may be written in front
/// (`prepend_scheme`: always, never, or first: only at the very start of the input;
/// `add_prefix_space` false is never), and with `split` every replacement begins a piece. `placed`
/// says whether a piece's place still tells that it stands at the start of the input; without it
/// "first" is refused.
PreTokenizer read_metaspace(const Json& component, const std::string& where, bool placed);

}  // namespace sagesan::tokenization
