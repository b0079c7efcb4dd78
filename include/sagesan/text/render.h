#pragma once

#include <string>

#include "sagesan/support/json.h"
#include "sagesan/text/records.h"

namespace sagesan {

/// Makes a record of one JSON object by the rules of `read_records`. `where` names its place.
Record render_record(const Json& object, const RecordOptions& options, const std::string& where);

/// Throws the `InputError` for a text that has no turns for a template.
[[noreturn]] void refuse_text(const ChatTemplate& chat, const std::string& where);

}  // namespace sagesan
