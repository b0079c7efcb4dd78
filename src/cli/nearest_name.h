#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sagesan::cli {

/// "; did you mean NAME?" with the one of `names` that a slip of the fingers makes `word` of; empty
/// where none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names);

}  // namespace sagesan::cli
