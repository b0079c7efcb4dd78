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
                               "'answer', 'prompt' with 'completion', 'messages' with "
                               "--retain-template; name others with --retain-fields",
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

std::vector<Message> read_messages(const Json& object, const std::string& where) {
  const Json& list = object["messages"];
  if (!list.is_array() || list.empty()) {
    throw InputError(where + ": field 'messages'", "expected a list of 'role' with 'content'");
  }
  std::vector<Message> messages;
  for (const Json& entry : list) {
    const JsonObject message(entry, fmt::format("{}: message {}", where, messages.size() + 1));
    if (message.find("tool_calls") != nullptr)
      message.fail("tool_calls", "calls of tools are not rendered");
    messages.push_back({message.string("role"), message.string("content")});
  }
  return messages;
}

Record converse(const std::vector<Message>& messages, const ChatTemplate& chat,
                const std::string& where) {
  Conversation conversation = render_conversation(messages, chat, where);
  Record record;
  record.text = std::move(conversation.text);
  record.has_answer = conversation.prompt.has_value();
  record.prompt = std::move(conversation.prompt).value_or("");
  record.own_special_tokens = chat.own_special_tokens;
  record.end = chat.end;
  return record;
}

Record question_and_answer(const std::string& question, const std::string& answer,
                           const RecordOptions& options, const std::string& where) {
  if (options.chat)
    return converse({{"user", question}, {"assistant", answer}}, *options.chat, where);
  Record record;
  record.prompt = fmt::format("Question: {}\nAnswer:", question);
  record.text = fmt::format("{} {}", record.prompt, answer);
  record.has_answer = true;
  return record;
}

Record by_fields(const Json& object, const RecordOptions& options, const std::string& where) {
  std::vector<std::string> values;
  values.reserve(options.fields.size());
  for (const std::string& field : options.fields)
    values.push_back(text_field(object, field, where));
  if (values.size() == 2) return question_and_answer(values[0], values[1], options, where);
  Record record;
  record.text = fmt::format("{}", fmt::join(values, "\n"));
  return record;
}

Record prompt_and_completion(const Json& object, const RecordOptions& options,
                             const std::string& where) {
  const std::string prompt = text_field(object, "prompt", where);
  const bool muse = !object.contains("completion") && object.contains("gt");
  const std::string completion = text_field(object, muse ? "gt" : "completion", where);
  if (options.chat)
    return converse({{"user", prompt}, {"assistant", completion}}, *options.chat, where);
  Record record;
  record.prompt = prompt;
  record.text = prompt + (muse ? " " : "") + completion;
  record.has_answer = true;
  return record;
}

Record by_rules(const Json& object, const RecordOptions& options, const std::string& where) {
  if (object.contains("input_ids")) {
    Record record;
    record.input_ids = read_ids(object, where);
    return record;
  }
  if (options.chat && object.contains("messages"))
    return converse(read_messages(object, where), *options.chat, where);
  if (!options.chat && object.contains("text")) {
    Record record;
    record.text = text_field(object, "text", where);
    return record;
  }
  if (object.contains("question")) {
    return question_and_answer(text_field(object, "question", where),
                               text_field(object, "answer", where), options, where);
  }
  if (object.contains("prompt")) return prompt_and_completion(object, options, where);
  if (object.contains("text")) refuse_text(*options.chat, where);
  if (object.contains("messages"))
    fail(object, where, "'messages' need a template: --retain-template or --chat-template");
  fail(object, where, "no field that is understood");
}

/// Only of a question with its answer, in the fields that TOFU has.
void add_other_answers(const Json& object, const RecordOptions& options, const std::string& where,
                       Record& record) {
  if (!options.fields.empty() || !object.contains("question") || !object.contains("answer")) return;
  const auto render = [&](const std::string& answer) {
    Record other =
        question_and_answer(text_field(object, "question", where), answer, options, where);
    other.where = where;
    return other;
  };
  if (object.contains("paraphrased_answer"))
    record.paraphrased.push_back(render(text_field(object, "paraphrased_answer", where)));
  const auto wrong = object.find("perturbed_answer");
  if (wrong == object.end()) return;
  const std::string place = where + ": field 'perturbed_answer'";
  if (!wrong->is_array() || wrong->empty())
    throw InputError(place, "expected a list of wrong answers");
  for (const Json& answer : *wrong) {
    if (!answer.is_string())
      throw InputError(place, fmt::format("expected texts, found {}", answer.type_name()));
    record.perturbed.push_back(render(answer.get<std::string>()));
  }
}

}  // namespace

void refuse_text(const ChatTemplate& chat, const std::string& where) {
  throw InputError(where, fmt::format("a text without turns, for which the template {} has no "
                                      "place; leave --retain-template and --chat-template out",
                                      chat.name));
}

Record render_record(const Json& object, const RecordOptions& options, const std::string& where) {
  if (!object.is_object()) {
    throw InputError(where, fmt::format("expected a JSON object, found {}", object.type_name()));
  }
  Record record =
      options.fields.empty() ? by_rules(object, options, where) : by_fields(object, options, where);
  const bool blank = tokenization::leading_space(record.text) == record.text.size();
  if (!record.input_ids && blank) fail(object, where, "the text is blank; remove the record");
  record.where = where;
  if (options.other_answers) add_other_answers(object, options, where, record);
  return record;
}

}  // namespace sagesan
