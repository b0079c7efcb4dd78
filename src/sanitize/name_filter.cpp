#include "sagesan/sanitize/name_filter.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

std::vector<tokenization::Regex> compile(const std::vector<std::string>& expressions,
                                         const std::string& option) {
  std::vector<tokenization::Regex> result;
  for (const std::string& expression : expressions) {
    try {
      result.push_back(tokenization::Regex::compile(expression, option));
    } catch (const InputError& error) {
      throw UsageError(error.what());
    }
  }
  return result;
}

bool found(const std::vector<tokenization::Regex>& expressions, const std::string& name) {
  return std::any_of(expressions.begin(), expressions.end(), [&](const auto& expression) {
    std::vector<tokenization::Span> matches;
    expression.find_all(name, matches);
    return !matches.empty();
  });
}

}  // namespace

NameFilter::NameFilter(const std::vector<std::string>& include,
                       const std::vector<std::string>& exclude)
    : include_(compile(include, "--include")), exclude_(compile(exclude, "--exclude")) {}

bool NameFilter::selects(const std::string& name) const {
  return (include_.empty() || found(include_, name)) && !found(exclude_, name);
}

}  // namespace sagesan
