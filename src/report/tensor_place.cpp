#include "tensor_place.h"

#include <algorithm>
#include <charconv>

namespace sagesan {
namespace {

std::optional<int64_t> number(const std::string& word) {
  int64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  if (word.empty() || error != std::errc() || rest != end || value < 0) return std::nullopt;
  return value;
}

std::string last_part(const std::string& module) {
  return module.substr(module.rfind('.') + 1);  // npos + 1 is 0
}

}  // namespace

TensorPlace tensor_place(const std::string& name) {
  TensorPlace place;
  // An expert's part of a tensor of all experts is "name[3]".
  const size_t length = name.ends_with(']') ? name.rfind('[') : std::string::npos;
  const std::string whole = name.substr(0, length);
  for (size_t start = 0; start <= whole.size();) {
    const size_t dot = std::min(whole.find('.', start), whole.size());
    const std::string word = whole.substr(start, dot - start);
    const bool last = dot == whole.size();
    start = dot + 1;
    const std::optional<int64_t> index = number(word);
    if (index && !place.layer) {
      place.layer = index;
      place.module.clear();
    } else if (!(last && word == "weight" && !place.module.empty())) {
      place.module += (place.module.empty() ? "" : ".") + (index ? "*" : word);
    }
  }
  return place;
}

std::vector<std::string> short_names(const std::vector<std::string>& modules) {
  std::vector<std::string> result;
  for (const std::string& module : modules) {
    const std::string part = last_part(module);
    const auto same = std::count_if(modules.begin(), modules.end(), [&](const std::string& other) {
      return last_part(other) == part;
    });
    result.push_back(same == 1 ? part : module);
  }
  return result;
}

}  // namespace sagesan
