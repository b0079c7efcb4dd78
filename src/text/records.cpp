#include "sagesan/text/records.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/json.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/render.h"
#include "sagesan/text/unicode.h"

namespace sagesan {
namespace {

constexpr uint64_t kMaxRecordsBytes = uint64_t{1} << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(std::string_view text) { return tokenization::leading_space(text) == text.size(); }

/// A line of the file with its number, without its line end.
struct Line {
  std::string_view text;
  size_t number;
  bool last;
};

std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, newline - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = newline + 1;
    lines.push_back({line, lines.size() + 1, begin >= text.size()});
  }
  return lines;
}

void check_options(const RecordOptions& options) {
  for (size_t i = 0; i < options.fields.size(); ++i) {
    const std::string& field = options.fields[i];
    if (field.empty()) throw UsageError("--retain-fields: a field's name is empty");
    if (std::count(options.fields.begin(), options.fields.end(), field) > 1) {
      throw UsageError(fmt::format("--retain-fields: {} stands twice", quote(field)));
    }
  }
}

/// The formats in which data sets are published for programs; only the user can turn them into
/// text.
void refuse_columns(std::string_view text, const std::string& file) {
  const std::pair<std::string_view, const char*> formats[] = {
      {"PAR1",
       "a Parquet file; write it as JSONL, in Python pandas.read_parquet(FILE).to_json(OUT, "
       "orient='records', lines=True)"},
      {"ARROW1", "an Arrow file; write it as JSONL, in Python datasets.Dataset.to_json"},
      {"\xFF\xFF\xFF\xFF",
       "an Arrow stream; write it as JSONL, in Python datasets.Dataset.to_json"}};
  for (const auto& [prefix, name] : formats) {
    if (text.starts_with(prefix)) throw InputError(file, name);
  }
}

void check_content(std::string_view text, const std::string& file) {
  if (text.empty()) throw InputError(file, "empty");
  refuse_columns(text, file);
  if (const std::string format = recognize_format(text); !format.empty()) {
    throw InputError(file, "expected JSONL, JSON or plain text, found " + format);
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    throw InputError(file, "UTF-16 text; save it as UTF-8");
  }
  if (text.starts_with(kByteOrderMark)) {
    throw InputError(file, "starts with a byte-order mark; save it as UTF-8 without one");
  }
  if (const size_t invalid = find_invalid_utf8(text); invalid != std::string_view::npos) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(invalid), '\n');
    throw InputError(fmt::format("{}:{}", file, line),
                     fmt::format("invalid UTF-8 at byte {} of the file", invalid));
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw InputError(file,
                     fmt::format("NUL at byte {}: no text, or UTF-16 (save it as UTF-8)", nul));
  }
  if (is_blank(text)) throw InputError(file, "holds nothing but white space");
}

/// The first two characters that are not white space.
std::string first_two(std::string_view text) {
  std::string found;
  for (size_t position = 0; position < text.size() && found.size() < 2; ++position) {
    const char c = text[position];
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') found += c;
  }
  return found;
}

bool is_json(std::string_view text) {
  try {
    parse_json(text, "");
    return true;
  } catch (const InputError&) {
    return false;
  }
}

std::vector<Record> read_array(const Json& array, const RecordOptions& options,
                               const std::string& file) {
  if (array.empty()) throw InputError(file, "an empty array, expected records");
  std::vector<Record> records;
  records.reserve(array.size());
  for (const Json& element : array) {
    const std::string where = fmt::format("{}[{}]", file, records.size());
    if (!element.is_string()) {
      records.push_back(render_record(element, options, where));
      continue;
    }
    if (!options.fields.empty()) {
      throw InputError(where, "a text without fields; leave --retain-fields out");
    }
    if (options.chat) refuse_text(*options.chat, where);
    Record record;
    record.text = element.get<std::string>();
    record.where = where;
    if (is_blank(record.text)) throw InputError(where, "the text is blank; remove the record");
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<Record> read_lines(const std::vector<Line>& lines, const RecordOptions& options,
                               const std::string& file) {
  std::vector<Record> records;
  for (const Line& line : lines) {
    if (is_blank(line.text)) continue;
    const std::string where = fmt::format("{}:{}", file, line.number);
    Json object;
    try {
      object = parse_json(line.text, where);
    } catch (const InputError& error) {
      // Whether it ends in the middle, or whatever is wrong comes before that.
      if (!line.last || line.text.ends_with('}') || line.text.ends_with("}\r")) throw;
      throw InputError(error.what(), "it is the last line: the file may be cut short");
    }
    records.push_back(render_record(object, options, where));
  }
  return records;
}

std::vector<Record> read_plain_text(const std::vector<Line>& lines, const RecordOptions& options,
                                    const std::string& file) {
  if (!options.fields.empty()) {
    throw InputError(file, "plain text has no fields; leave --retain-fields out");
  }
  if (options.chat) refuse_text(*options.chat, file);
  std::vector<Record> records;
  bool open = false;  // whether the last record goes on
  for (const Line& line : lines) {
    if (is_blank(line.text)) {
      open = false;
    } else if (open) {
      records.back().text += '\n';
      records.back().text += line.text;
    } else {
      Record record;
      record.text = line.text;
      record.where = fmt::format("{}:{}", file, line.number);
      records.push_back(std::move(record));
      open = true;
    }
  }
  return records;
}

}  // namespace

std::string read_records_file(const std::filesystem::path& file) {
  return read_text_file(file, kMaxRecordsBytes);
}

std::vector<Record> read_records(const std::filesystem::path& file, const RecordOptions& options) {
  return parse_records(read_records_file(file), file.string(), options);
}

std::vector<Record> parse_records(std::string_view text, const std::string& name,
                                  const RecordOptions& options) {
  check_options(options);
  check_content(text, name);
  const std::vector<Line> lines = split_lines(text);
  const std::string start = first_two(text);
  // "[Chorus]" and "[1] Smith" are plain text, but a broken array of records is no text.
  if (start == "[{" || start == "[\"" || start == "[]" || (start[0] == '[' && is_json(text))) {
    return read_array(parse_json(text, name), options, name);
  }
  if (start == "{\"" || start == "{}") {
    const auto first = std::find_if(lines.begin(), lines.end(),
                                    [](const Line& line) { return !is_blank(line.text); });
    // One object over several lines; a broken first line is reported as what it is.
    if (!is_json(first->text) && is_json(text)) {
      return {render_record(parse_json(text, name), options, name)};
    }
    return read_lines(lines, options, name);
  }
  return read_plain_text(lines, options, name);
}

}  // namespace sagesan
