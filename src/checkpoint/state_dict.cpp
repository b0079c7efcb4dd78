#include "state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "pickle_remedy.h"
#include "sagesan/checkpoint/tensor_file.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr std::string_view kModelKeys[] = {"state_dict", "model_state_dict", "model", "module"};

const char* kind_of(const PickleValue& value) {
  if (std::holds_alternative<PickleDict*>(value)) return "a dictionary";
  if (std::holds_alternative<PickleList*>(value)) return "a list";
  if (std::holds_alternative<PickleTuple*>(value)) return "a tuple";
  if (std::holds_alternative<PickleStorage*>(value)) return "a storage";
  if (std::holds_alternative<PickleTensor*>(value)) return "a tensor";
  if (std::holds_alternative<std::string_view>(value)) return "a text";
  if (std::holds_alternative<PickleNone>(value)) return "None";
  return "a number or the like";
}

bool holds_tensors(const PickleDict& dict) {
  return std::any_of(dict.items.begin(), dict.items.end(), [](const auto& item) {
    return std::holds_alternative<PickleTensor*>(item.second);
  });
}

bool is_plain(const PickleValue& value) {
  return !std::holds_alternative<PickleDict*>(value) &&
         !std::holds_alternative<PickleList*>(value) &&
         !std::holds_alternative<PickleTuple*>(value) &&
         !std::holds_alternative<PickleStorage*>(value);
}

/// The dictionary whose values are the model's tensors.
const PickleDict& find_state_dict(const PickleValue& top, const std::string& where) {
  const auto* dict = std::get_if<PickleDict*>(&top);
  if (dict == nullptr) {
    throw InputError(where, fmt::format("holds {}, expected a dictionary of names and tensors: {}",
                                        kind_of(top), kConvertPickle));
  }
  if (holds_tensors(**dict)) return **dict;
  const PickleDict* found = nullptr;
  std::set<std::string_view> seen;
  std::string names;
  for (const auto& [key, value] : (*dict)->items) {
    const auto* name = std::get_if<std::string_view>(&key);
    const auto* member = std::get_if<PickleDict*>(&value);
    if (name == nullptr ||
        std::find(std::begin(kModelKeys), std::end(kModelKeys), *name) == std::end(kModelKeys)) {
      continue;
    }
    // At once: a member that stands there a million times is not searched a million times.
    if (!seen.insert(*name).second)
      throw InputError(where, fmt::format("the member {} stands twice", quote(*name)));
    if (member == nullptr || !holds_tensors(**member)) continue;
    names += fmt::format("{}{}", names.empty() ? "" : " and ", quote(*name));
    if (found != nullptr) {
      throw InputError(where, fmt::format("holds several models, {}: save the one that is meant by "
                                          "itself",
                                          names));
    }
    found = *member;
  }
  if (found == nullptr) {
    throw InputError(
        where,
        fmt::format("holds no tensors, at the top or under 'state_dict', 'model_state_dict', "
                    "'model' or 'module': {}",
                    kConvertPickle));
  }
  return *found;
}

}  // namespace

std::vector<std::pair<std::string, const PickleTensor*>> tensors_of_state_dict(
    const PickleValue& top, const std::string& where) {
  std::vector<std::pair<std::string, const PickleTensor*>> tensors;
  std::set<std::string> names;
  for (const auto& [key, value] : find_state_dict(top, where).items) {
    const auto* text = std::get_if<std::string_view>(&key);
    if (text == nullptr) {
      throw InputError(where, fmt::format("{} is the name of {} among the tensors, expected text",
                                          kind_of(key), kind_of(value)));
    }
    const std::string name(*text);
    check_tensor_name(name, where);
    if (!names.insert(name).second)
      throw InputError(where, fmt::format("tensor {} stands twice", quote(name)));
    if (!is_plain(value)) {
      throw InputError(where, fmt::format("{} is {}, expected a tensor: {}", quote(name),
                                          kind_of(value), kConvertPickle));
    }
    if (const auto* tensor = std::get_if<PickleTensor*>(&value))
      tensors.emplace_back(name, *tensor);
  }
  return tensors;
}

}  // namespace sagesan
