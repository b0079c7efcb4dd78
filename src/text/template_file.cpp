#include <fmt/format.h>

#include <algorithm>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/hash.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/chat_template.h"

namespace sagesan {
namespace {

constexpr uint64_t kMaxTemplateBytes = 1 << 20;

/// `{name}` in the file.
struct Placeholder {
  std::string name;
  size_t begin, end;
};

std::vector<Placeholder> find_placeholders(const std::string& text) {
  std::vector<Placeholder> found;
  for (size_t open = text.find('{'); open != std::string::npos; open = text.find('{', open + 1)) {
    const size_t close = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", open + 1);
    if (close == std::string::npos || text[close] != '}' || close == open + 1) continue;
    found.push_back({text.substr(open + 1, close - open - 1), open, close + 1});
  }
  return found;
}

}  // namespace

ChatTemplate read_template_file(const std::filesystem::path& file) {
  const std::string name = file.string();
  std::string text = read_text_file(file, kMaxTemplateBytes);
  const auto fail = [&](size_t position, const std::string& message) {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(position);
    throw InputError(fmt::format("{}:{}", name, 1 + std::count(text.begin(), end, '\n')), message);
  };
  if (const size_t invalid = find_invalid_utf8(text); invalid != std::string::npos) {
    fail(invalid, fmt::format("invalid UTF-8 at byte {} of the file", invalid));
  }
  if (text.find("{%") != std::string::npos || text.find("{{") != std::string::npos) {
    fail(std::min(text.find("{%"), text.find("{{")),
         "Jinja is not run; write the text out, with {question} and {answer}");
  }
  const std::string hash = hash_bytes(text);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();

  const std::vector<Placeholder> places = find_placeholders(text);
  for (size_t i = 0; i < places.size(); ++i) {
    const std::string& found = places[i].name;
    if (found != "question" && found != "answer") {
      fail(places[i].begin,
           fmt::format("unknown placeholder {}, expected {{question}} and {{answer}}",
                       quote("{" + found + "}")));
    }
    if (i > 0 && found == places[0].name)
      fail(places[i].begin, fmt::format("{{{}}} stands twice", found));
    if (i == 0 && found == "answer") fail(places[i].begin, "{answer} stands before {question}");
    if (i > 1) fail(places[i].begin, fmt::format("{{{}}} stands twice", found));
  }
  if (places.size() < 2)
    fail(text.size(), places.empty() ? "no {question} and no {answer}" : "no {answer}");
  return {.name = printable(file.filename().string()),
          .hash = hash,
          .begin = text.substr(0, places[0].begin),
          .assistant = {text.substr(places[0].end, places[1].begin - places[0].end),
                        text.substr(places[1].end)},
          .single_turn = true};
}

}  // namespace sagesan
