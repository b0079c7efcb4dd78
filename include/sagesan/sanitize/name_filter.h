#pragma once

#include <string>
#include <vector>

#include "sagesan/text/regex.h"

namespace sagesan {

/// `--include` and `--exclude`: which tensors are sanitized, by expressions searched for in their
/// names. A name is selected where one of `include` is found in it (all are where there is none)
/// and none of `exclude`.
class NameFilter {
 public:
  /// Throws `UsageError` where an expression is not understood.
  NameFilter(const std::vector<std::string>& include, const std::vector<std::string>& exclude);

  bool selects(const std::string& name) const;

 private:
  std::vector<tokenization::Regex> include_, exclude_;
};

}  // namespace sagesan
