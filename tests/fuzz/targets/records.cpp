#include "sagesan/text/records.h"

#include "fuzz/fuzz.h"
#include "sagesan/support/utf8.h"

// Files of texts, under every way to render them, and one's own template.

namespace sagesan::fuzz {
namespace {

RecordOptions options_of(uint8_t choice) {
  RecordOptions options;
  if (choice & 1) options.other_answers = true;
  if (choice & 2) options.split_long_texts = true;
  const auto& templates = named_templates();
  if (choice & 4) options.chat = templates[choice / 8 % templates.size()];
  if (!options.chat && choice & 8) options.fields = {"text"};
  if (!options.chat && choice & 16) options.fields.emplace_back("answer");
  return options;
}

}  // namespace

FUZZ_TARGET(records) {
  const RecordOptions options = options_of(bytes.empty() ? 0 : static_cast<uint8_t>(bytes[0]));
  const auto path = put("texts.jsonl", bytes.empty() ? bytes : bytes.substr(1));
  loads_or_refuses([&] {
    const std::vector<Record> records = read_records(path, options);
    require(!records.empty(), "no record, and no error");
    for (const Record& record : records) {
      require(!record.where.empty(), "a record from nowhere");
      require(record.input_ids.has_value() != !record.text.empty(),
              "a record without a text, or with two");
      require(find_invalid_utf8(record.text) == std::string::npos, "a text that is no UTF-8");
      require(!record.has_answer || record.text.starts_with(record.prompt),
              "a prompt that does not open its text");
    }
  });
}

FUZZ_TARGET(template_file) {
  const auto path = put("template.txt", bytes);
  loads_or_refuses([&] {
    const ChatTemplate chat = read_template_file(path);
    const Conversation text =
        render_conversation({{"user", "Who?"}, {"assistant", "Me."}}, chat, "/texts");
    require(text.prompt && text.text.starts_with(*text.prompt),
            "a prompt that does not open its text");
  });
}

}  // namespace sagesan::fuzz
