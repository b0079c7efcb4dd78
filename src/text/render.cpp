#include "sagesan/text/render.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/text/unicode.h"

namespace sagesan {
namespace {

constexpr size_t kMaxFieldsShown = 12;

std::string describe_fields(const Json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) {
    if (names.size() == kMaxFieldsShown) {
      names.emplace_back("...");
      break;
    }
    names.push_back(quote(item.key()));
  }
  return names.empty() ? "no field" : fmt::format("{}", fmt::join(names, ", "));
}

[[noreturn]] void fail(const Json& object, const std::string& where, const std::string& reason) {
  throw InputError(where,
                   fmt::format("{}; it has {}; understood are 'input_ids', 'text', 'question' with "
                               "'answer', 'prompt' with 'completion'; name others with "
                               "--retain-fields",
                               reason, describe_fields(object)));
}

std::string text_field(const Json& object, const std::string& name, const std::string& where) {
  const auto found = object.find(name);
  if (found == object.end()) fail(object, where, fmt::format("no field {}", quote(name)));
  if (!found->is_string()) {
    fail(object, where,
         fmt::format("field {}: expected text, found {}", quote(name), found->type_name()));
  }
  return found->get<std::string>();
}

std::vector<int64_t> read_ids(const Json& object, const std::string& where) {
  const Json& list = object["input_ids"];
  const std::string place = where + ": field 'input_ids'";
  if (!list.is_array()) {
    throw InputError(place,
                     fmt::format("expected an array of token ids, found {}", list.type_name()));
  }
  if (list.empty()) throw InputError(place, "empty");
  std::vector<int64_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      throw InputError(place, fmt::format("element {}: expected an integer, found {}", ids.size(),
                                          id.type_name()));
    }
    ids.push_back(id.get<int64_t>());
    if (ids.back() < 0) {
      throw InputError(place,
                       fmt::format("element {} is negative: {}", ids.size() - 1, ids.back()));
    }
  }
  return ids;
}

Record question_and_answer(const std::string& question, const std::string& answer) {
  Record record;
  record.prompt = fmt::format("Question: {}\nAnswer:", question);
  record.text = fmt::format("{} {}", record.prompt, answer);
  record.has_answer = true;
  return record;
}

Record by_fields(const Json& object, const std::vector<std::string>& fields,
                 const std::string& where) {
  std::vector<std::string> values;
  values.reserve(fields.size());
  for (const std::string& field : fields) values.push_back(text_field(object, field, where));
  if (values.size() == 2) return question_and_answer(values[0], values[1]);
  Record record;
  record.text = fmt::format("{}", fmt::join(values, "\n"));
  return record;
}

Record by_rules(const Json& object, const std::string& where) {
  Record record;
  if (object.contains("input_ids")) {
    record.input_ids = read_ids(object, where);
  } else if (object.contains("text")) {
    record.text = text_field(object, "text", where);
  } else if (object.contains("question")) {
    record = question_and_answer(text_field(object, "question", where),
                                 text_field(object, "answer", where));
  } else if (object.contains("prompt")) {
    record.prompt = text_field(object, "prompt", where);
    record.text = record.prompt + text_field(object, "completion", where);
    record.has_answer = true;
  } else {
    fail(object, where, "no field that is understood");
  }
  return record;
}

}  // namespace

Record render_record(const Json& object, const RecordOptions& options, const std::string& where) {
  if (!object.is_object()) {
    throw InputError(where, fmt::format("expected a JSON object, found {}", object.type_name()));
  }
  Record record =
      options.fields.empty() ? by_rules(object, where) : by_fields(object, options.fields, where);
  const bool blank = tokenization::leading_space(record.text) == record.text.size();
  if (!record.input_ids && blank) fail(object, where, "the text is blank");
  record.where = where;
  return record;
}

}  // namespace sagesan
