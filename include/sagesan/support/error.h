#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace sagesan {

/// Exit codes of the program; part of the command line's contract.
enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,
  kUsage = 2,
  kBadInput = 3,
  kInputOutput = 4,
  kCheckFailed = 5,
  kInterrupted = 130,
};

/// `text` from a stranger, safe on a terminal: control characters, bidirectional overrides and
/// invalid UTF-8 are shown as escapes.
std::string printable(std::string_view text);

/// The same in single quotes, cut at 200 bytes.
std::string quote(std::string_view text);

/// A failure that a user can do something about. `what()` is one printable line (the kinds below
/// see to it), unless several problems were collected by the preflight (then one line each).
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Wrong words on the command line (exit 2).
struct UsageError : Error {
  explicit UsageError(const std::string& message) : Error(ExitCode::kUsage, printable(message)) {}
};

/// A file whose content is wrong (exit 3). `where` names the file and, where there is one, the
/// tensor, line or key; `message` says what was found, what was expected and the remedy.
struct InputError : Error {
  InputError(const std::string& where, const std::string& message)
      : Error(ExitCode::kBadInput, printable(where) + ": " + printable(message)) {}
};

/// The operating system refused (exit 4): disk full, permission, a missing directory.
struct IoError : Error {
  IoError(const std::string& where, const std::string& message)
      : Error(ExitCode::kInputOutput, printable(where) + ": " + printable(message)) {}
};

/// Stopped by a signal (exit 130).
struct Interrupted : Error {
  Interrupted() : Error(ExitCode::kInterrupted, "interrupted; no output was written") {}
};

/// What the program says of an exception, and how it ends.
struct Failure {
  ExitCode code = ExitCode::kInternal;
  std::string message;  ///< a line for each problem
};

/// Of the exception that is being handled: an `Error` as it stands, no memory and a file system
/// that refuses as input/output, anything else as a bug.
Failure current_failure();

/// Whether the text is libtorch's for memory that is not there: its types for that are not known
/// everywhere, and differ from version to version.
bool says_no_memory(const std::string& text);

/// Throws `IoError` for the current `errno`: "<where>: <action>: <strerror>".
[[noreturn]] void throw_errno(const std::string& where, const std::string& action);

/// Throws `std::logic_error` with the place of a broken invariant: a bug, never a user's mistake.
/// What was half done is cleaned up as after any error, and a batch goes on with the next job.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

#define SAGESAN_ASSERT(condition)                                                  \
  do {                                                                             \
    if (!(condition)) ::sagesan::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)

}  // namespace sagesan
