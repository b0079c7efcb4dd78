#include <fmt/format.h>

#include <algorithm>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/chat_template.h"
#include "sagesan/text/unicode.h"

namespace sagesan {
namespace {

/// What Python's str.strip takes away, which is what a template's `trim` does: White_Space and the
/// four separators of ASCII.
bool is_stripped(char32_t code_point) {
  return tokenization::is_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

std::string_view trim(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character first = decode_utf8(text, 0);
    if (!is_stripped(first.code_point)) break;
    text.remove_prefix(first.length);
  }
  while (!text.empty() && is_stripped(tokenization::last_character(text))) {
    while ((static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.remove_suffix(1);
    text.remove_suffix(1);
  }
  return text;
}

void check_turns(const std::vector<Message>& messages, const ChatTemplate& chat,
                 const std::string& where) {
  const bool has_system = chat.system.has_value();
  std::string before;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    const std::string place = fmt::format("{}: message {}", where, i + 1);
    if (role != "user" && role != "assistant" && !(role == "system" && has_system)) {
      throw InputError(
          place, fmt::format("the template {} has no role {}, only {}user and assistant", chat.name,
                             quote(role), has_system ? "system, " : ""));
    }
    if (role == "system" && i > 0) {
      throw InputError(place, "a system message stands first or not at all");
    }
    const bool opens = i == 0 || before == "system";
    const std::string expected = opens || before == "assistant" ? "user" : "assistant";
    if (chat.alternates && role != "system" && role != expected) {
      throw InputError(place, fmt::format("the template {} wants {} here, found {}: user and "
                                          "assistant take turns",
                                          chat.name, expected, role));
    }
    before = role;
  }
  if (chat.single_turn && (messages.size() != 2 || before != "assistant")) {
    throw InputError(where,
                     "the template file renders one question with one answer, found another "
                     "conversation");
  }
}

bool is_blank(const Message& message) { return trim(message.content).empty(); }

}  // namespace

Conversation render_conversation(const std::vector<Message>& messages, const ChatTemplate& chat,
                                 const std::string& where) {
  check_turns(messages, chat, where);
  const auto first = messages.begin() + (!messages.empty() && messages[0].role == "system" ? 1 : 0);
  if (std::all_of(first, messages.end(), is_blank))
    throw InputError(where, "the text is blank; remove the record");

  const auto content = [&](const std::string& text) {
    return chat.trims ? trim(text) : std::string_view(text);
  };
  Conversation result{.text = chat.begin};
  const auto add = [&](const Frame& frame, std::string_view text) {
    result.text.append(frame.before).append(text).append(frame.after);
  };
  if (first != messages.begin()) {
    if (chat.keeps_empty_system || !messages[0].content.empty())
      add(*chat.system, content(messages[0].content));
  } else if (!chat.system_message.empty()) {
    add(*chat.system, chat.system_message);
  }
  for (auto message = first; message != messages.end(); ++message) {
    const bool last = message + 1 == messages.end();
    if (message->role == "user") {
      add(chat.user, content(message->content));
    } else if (!last) {
      add(chat.assistant, content(message->content));
    } else {
      result.prompt = result.text + chat.assistant.before;
      add({chat.assistant.before, chat.closes_last ? chat.assistant.after : ""},
          content(message->content));
    }
  }
  return result;
}

}  // namespace sagesan
