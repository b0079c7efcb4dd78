#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/text/chat_template.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// One text of a retain, forget or evaluation file.
struct Record {
  /// Ready ids, not empty, none negative. Then `text` and `prompt` are empty.
  std::optional<std::vector<int64_t>> input_ids;
  /// The rendered text.
  std::string text;
  /// The part before the answer; empty where the record has no answer of its own.
  std::string prompt;
  /// Whether the record is a question with an answer, or a prompt with a completion.
  bool has_answer = false;
  /// Whether the tokenizer adds its own special tokens, and the token that closes the ids unless
  /// they end with it (empty: none): as the template says.
  bool own_special_tokens = true;
  std::string end;
  /// The same question with other answers, of TOFU's perturbed sets: the right one in other words
  /// (`paraphrased_answer`, one or none) and wrong ones (`perturbed_answer`). Only on request.
  std::vector<Record> paraphrased, perturbed;
  /// Where it stands, for messages: "file:line" or "file[index]".
  std::string where;
};

struct RecordOptions {
  /// --retain-fields: the fields that make the text, in place of the rules below. One field is the
  /// text; two are question and answer, in the same template; more are joined by newlines.
  std::vector<std::string> fields;
  /// --retain-template and --chat-template: how questions with answers and conversations become
  /// text.
  std::optional<ChatTemplate> chat;
  /// --long-texts: whether texts beyond the maximum length go on in further pieces.
  bool split_long_texts = false;
  /// Whether a question's other answers are read, too.
  bool other_answers = false;
};

/// Reads a file of records; what it is, is decided by its content, never by its name:
/// * JSONL (one object a line; blank lines are passed over),
/// * JSON (an array of objects or of texts, or one object),
/// * otherwise plain text: one record for each stretch of lines between blank lines.
/// An object becomes text by the first rule whose field it has: `input_ids` as they are; `text`;
/// "Question: {question}\nAnswer: {answer}", whose prompt ends behind "Answer:";
/// "{prompt}{completion}"; "{prompt} {gt}", as MUSE publishes it. With a template: `input_ids`;
/// `messages` (a list of `role` and `content`); `question` and `answer`, or `prompt` and
/// `completion` (or `gt`), as one turn of user and assistant; whatever has no turns is refused.
/// Line ends may be CRLF. No record is ever dropped: one that cannot be used is an error.
///
/// Throws `InputError` that names the file and the line or index: an empty or blank file, invalid
/// UTF-8 (with the offset), a file of another format, broken or cut JSON, fields that are missing,
/// null, of another type or blank; `UsageError` for an empty or repeated name in `fields`.
std::vector<Record> read_records(const std::filesystem::path& file,
                                 const RecordOptions& options = {});
/// The two steps of it: the file's bytes, at most 1 GiB; and their records, where messages call the
/// file `name`.
std::string read_records_file(const std::filesystem::path& file);
std::vector<Record> parse_records(std::string_view bytes, const std::string& name,
                                  const RecordOptions& options = {});

/// The ids of one record.
struct EncodedText {
  std::vector<int64_t> ids;
  /// Index of the first answer token; 0 where the whole text counts, `ids.size()` where the answer
  /// was cut off.
  size_t answer_start = 0;
  /// Whether ids beyond the maximum length were left out.
  bool cut = false;

  /// Keeps the first `length` ids.
  void shorten(size_t length);
};

/// Encodes `record` with the special tokens that it asks for and keeps the first `max_length` ids
/// (at least 1). The answer begins behind the longest common prefix of the ids of the prompt alone
/// and of the whole text. `tokenizer` may be null where every record brings its `input_ids`; throws
/// `InputError` where it is needed.
EncodedText encode_record(const Tokenizer* tokenizer, const Record& record, size_t max_length);

/// The same, but with `split` without loss: a text longer than `max_length` ids becomes several,
/// each between the special tokens that the tokenizer adds to a text. A record with turns is cut as
/// ever: without its question an answer is another text. Throws `InputError` where `max_length`
/// leaves no room.
std::vector<EncodedText> encode_pieces(const Tokenizer* tokenizer, const Record& record,
                                       size_t max_length, bool split);

}  // namespace sagesan
