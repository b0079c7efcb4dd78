#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sagesan/model/decoder.h"
#include "sagesan/report/sanitize_report.h"
#include "sagesan/text/text_source.h"

namespace sagesan {

/// Which answer of its record a text holds.
enum class AnswerKind { kOwn, kParaphrased, kPerturbed };

/// Texts as the model gets them.
struct TokenData {
  TokenBatch batch;
  std::vector<int64_t>
      first_scored;                 ///< index of the first answer token of each text; 0: all count
  std::vector<AnswerKind> answers;  ///< of each text; a record's others come after its own
  std::vector<RetainFileReport> files;
};

struct TokenLimits {
  int64_t max_length = 512;  ///< tokens of one text
  int64_t max_tokens = 0;    ///< of all texts together; 0: no limit
};

/// Reads the files, renders and tokenizes their records. Throws `InputError` for what cannot be
/// read, for ids outside the model's vocabulary, for texts longer than its learned positions and
/// where a file holds no token at all. Once `max_tokens` are reached, the rest is left out, and the
/// counts in `files` show it.
TokenData read_token_data(const std::vector<std::filesystem::path>& files, const TextSource& texts,
                          const TokenLimits& limits, const ModelConfiguration& model);

/// Tells the user how many texts, "retain" ones, say, were cut or left out.
void give_notices(const std::vector<RetainFileReport>& files, const std::string& what,
                  const std::function<void(const std::string&)>& notice);

/// Tells the user how many records of `what`, a file, have no token that could be scored. Throws
/// `InputError` where none has one.
void check_scored(const TokenData& data, const std::string& what,
                  const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
