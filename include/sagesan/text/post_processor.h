#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan::tokenization {

/// The ids that a post-processor writes around those of a single text.
struct PostProcessor {
  std::vector<int64_t> before;
  std::vector<int64_t> after;
};

/// The "post_processor" of tokenizer.json: null, ByteLevel (no ids), TemplateProcessing (its
/// `single` template), RobertaProcessing, BertProcessing and a Sequence of them. Throws
/// `InputError` for every other type.
PostProcessor read_post_processor(const Json* post_processor, const std::string& where);

}  // namespace sagesan::tokenization
