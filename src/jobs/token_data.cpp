#include "sagesan/jobs/token_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "sagesan/support/error.h"
#include "sagesan/support/hash.h"

namespace sagesan {
namespace {

void check_ids(const std::vector<int64_t>& ids, const Record& record,
               const ModelConfiguration& model) {
  for (const int64_t id : ids) {
    if (id < 0 || id >= model.vocabulary) {
      throw InputError(
          record.where,
          fmt::format("token id {} is outside the model's vocabulary of {}", id, model.vocabulary));
    }
  }
  if (model.positions > 0 && ids.size() > static_cast<size_t>(model.positions)) {
    throw InputError(record.where,
                     fmt::format("{} tokens, but the model has {} positions; lower --max-length",
                                 ids.size(), model.positions));
  }
  if (ids.empty()) throw InputError(record.where, "the text has no tokens; remove the record");
}

}  // namespace

TokenData read_token_data(const std::vector<std::filesystem::path>& files, const TextSource& texts,
                          const TokenLimits& limits, const ModelConfiguration& model) {
  TokenData data;
  const auto full = [&] {
    return limits.max_tokens > 0 && data.batch.tokens() >= limits.max_tokens;
  };
  for (const std::filesystem::path& path : files) {
    const std::string bytes = read_records_file(path);  // once: the hash is of what was used
    RetainFileReport report{.name = printable(path.filename().string()), .hash = hash_bytes(bytes)};
    for (const Record& record : parse_records(bytes, path.string(), texts.records)) {
      if (full()) {
        ++report.left_out;
        continue;
      }
      ++report.records;
      bool cut = false;
      const auto add = [&](const Record& own, AnswerKind kind) {
        for (EncodedText& text : encode_pieces(texts.tokenizer ? &*texts.tokenizer : nullptr, own,
                                               static_cast<size_t>(limits.max_length),
                                               texts.records.split_long_texts)) {
          if (full()) {
            cut = true;
            break;
          }
          if (limits.max_tokens > 0)
            text.shorten(static_cast<size_t>(limits.max_tokens - data.batch.tokens()));
          check_ids(text.ids, own, model);
          cut = cut || text.cut;
          report.tokens += static_cast<int64_t>(text.ids.size());
          data.batch.add(text.ids);
          data.first_scored.push_back(static_cast<int64_t>(text.answer_start));
          data.answers.push_back(kind);
        }
      };
      add(record, AnswerKind::kOwn);
      for (const Record& other : record.paraphrased) add(other, AnswerKind::kParaphrased);
      for (const Record& other : record.perturbed) add(other, AnswerKind::kPerturbed);
      report.truncated += cut ? 1 : 0;
    }
    data.files.push_back(std::move(report));
  }
  return data;
}

void give_notices(const std::vector<RetainFileReport>& files, const std::string& what,
                  const std::function<void(const std::string&)>& notice) {
  int64_t truncated = 0;
  int64_t left_out = 0;
  std::map<std::string, std::string> names;  // by what is in the files
  for (const RetainFileReport& file : files) {
    if (file.records == 0) continue;  // --max-tokens was reached before
    if (const auto [same, fresh] = names.try_emplace(file.hash, file.name); !fresh) {
      notice(fmt::format("{} holds what another of the {} files holds{}: these texts count twice",
                         printable(file.name), what,
                         file.name == same->second ? "" : ", " + printable(same->second)));
    }
    truncated += file.truncated;
    left_out += file.left_out;
  }
  if (left_out > 0)
    notice(fmt::format("{} {} texts were left out: --max-tokens is reached", left_out, what));
  if (truncated > 0)
    notice(fmt::format("{} {} texts were cut short (--max-length, --max-tokens)", truncated, what));
}

void check_scored(const TokenData& data, const std::string& what,
                  const std::function<void(const std::string&)>& notice) {
  int64_t records = 0;
  int64_t unscored = 0;
  for (size_t i = 0; i < data.answers.size(); ++i) {
    if (data.answers[i] != AnswerKind::kOwn) continue;
    ++records;
    // A text's first token has nothing before it.
    if (data.batch.lengths[i] <= std::max<int64_t>(data.first_scored[i], 1)) ++unscored;
  }
  if (unscored == records) {
    throw InputError(what,
                     "no record has a token to score: all answers are empty or lie behind "
                     "--max-length");
  }
  if (unscored == 0) return;
  notice(
      fmt::format("{}: {} of {} records are not scored: their answers are empty or lie behind "
                  "--max-length",
                  printable(what), unscored, records));
}

}  // namespace sagesan
