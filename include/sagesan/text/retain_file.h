#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan {

/// What a run read of one file of texts.
struct RetainFileReport {
  std::string name;  ///< without its directory: reports go to other people
  std::string hash;  ///< xxh3-128 of the bytes
  int64_t records = 0;
  int64_t tokens = 0;
  int64_t truncated = 0;  ///< records cut at the maximum length
  int64_t left_out = 0;   ///< records beyond --max-tokens
};

Json to_json(const std::vector<RetainFileReport>& files);
/// The inverse. Throws `InputError`; `where` opens its message.
std::vector<RetainFileReport> retain_files_from_json(const Json& json, const std::string& where);

}  // namespace sagesan
