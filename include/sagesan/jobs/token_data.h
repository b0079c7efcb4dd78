#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/model/decoder.h"
#include "sagesan/report/sanitize_report.h"
#include "sagesan/text/records.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// Texts as the model gets them.
struct TokenData {
  TokenBatch batch;
  std::vector<int64_t>
      first_scored;  ///< index of the first answer token of each text; 0: all count
  std::vector<RetainFileReport> files;
};

struct TokenOptions {
  RecordOptions records;
  int64_t max_length = 512;  ///< tokens of one text
  int64_t max_tokens = 0;    ///< of all texts together; 0: no limit
};

/// Reads the files, renders and tokenizes their records. Throws `InputError` for what cannot be
/// read, for ids outside the model's vocabulary, for texts longer than its learned positions and
/// where a file holds no token at all. Once `max_tokens` are reached, the rest is left out, and the
/// counts in `files` show it.
TokenData read_token_data(const std::vector<std::filesystem::path>& files,
                          const std::optional<Tokenizer>& tokenizer, const TokenOptions& options,
                          const ModelConfiguration& model);

/// What `rendering` comes to for the checkpoint directory `model` with its tokenizer. Throws like
/// `find_template`.
RecordOptions make_record_options(const Rendering& rendering, const std::filesystem::path& model,
                                  const std::optional<Tokenizer>& tokenizer);

/// Tells the user which template stands for the model's own, where that was asked for.
void give_template_notice(const Rendering& rendering, const std::optional<ChatTemplate>& chat,
                          const std::function<void(const std::string&)>& notice);

/// Tells the user which texts were cut or left out.
void give_notices(const std::vector<RetainFileReport>& files,
                  const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
