// Makes system calls of the program fail: preloaded into it (LD_PRELOAD) by the tests of this
// folder.
//
// SAGESAN_FAULT_ROOT    calls count that concern a file below this directory
// SAGESAN_FAULT         "CALL:N:ACTION", several separated by commas: what happens in the Nth call
// of a kind, "N+": in
//                       every one from that on. CALL is a name of `kNames`, or `change`: all that
//                       changes the disk. `place` and `exchange` are renameat2's, `memory` is that
//                       of tensors, `new` all else from the first file on. ACTION is an
//                       errno, `half` (of the bytes), `kill`, `stop` (SIGSTOP: the test does
//                       something in between), or `int` (SIGINT). Signals come before the call.
//                       Of LAPACK's functions an errno is the `info` they return; `half` makes
//                       the first half of the result zero, and `wrong` doubles a Cholesky factor,
//                       both with an `info` that says success.
// SAGESAN_FAULT_LOG     a file that gets a line for each call that counts
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

enum Call {
  kOpen,
  kCreate,
  kRead,
  kWrite,
  kCopy,
  kReserve,
  kSync,
  kRename,
  kPlace,
  kExchange,
  kLink,
  kRemove,
  kMakeDirectory,
  kMemory,
  kNew,
  kEigenFloat,
  kEigenDouble,
  kCholesky
};
constexpr const char* kNames[] = {"open",        "create",       "read",    "write",  "copy",
                                  "reserve",     "fsync",        "rename",  "place",  "exchange",
                                  "link",        "remove",       "mkdir",   "memory", "new",
                                  "eigen_float", "eigen_double", "cholesky"};

bool is_of_files(Call call) { return call < kMemory; }
bool is_change(Call call) { return is_of_files(call) && call != kOpen && call != kRead; }

struct Fault {
  std::string call;
  long number = 0;
  bool and_later = false;
  std::string action;
  std::atomic<long> seen{0};

  Fault(std::string what, long n, bool later, std::string then)
      : call(std::move(what)), number(n), and_later(later), action(std::move(then)) {}
  bool concerns(Call made) const {
    return call == kNames[made] || (call == "change" && is_change(made));
  }
};

struct Plan {
  std::string root;
  std::vector<Fault*> faults;
  int log = -1;

  Plan() {
    if (const char* path = std::getenv("SAGESAN_FAULT_ROOT")) root = path;
    if (const char* path = std::getenv("SAGESAN_FAULT_LOG"))
      log = static_cast<int>(
          ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const char* all = std::getenv("SAGESAN_FAULT");
    for (std::string_view left = all == nullptr ? "" : all; !left.empty();) {
      const std::string_view one = left.substr(0, left.find(','));
      left.remove_prefix(std::min(left.size(), one.size() + 1));
      const size_t first = one.find(':'), second = one.find(':', first + 1);
      const std::string number(one.substr(first + 1, second - first - 1));
      faults.push_back(new Fault(std::string(one.substr(0, first)), std::atol(number.c_str()),
                                 number.back() == '+', std::string(one.substr(second + 1))));
    }
  }
};

/// A file that concerns us was seen: libtorch, which ends the program where it finds no memory
/// while it is loaded, is there.
constinit std::atomic<bool> saw_file{false};

/// While it is decided what a call is to do, which needs memory.
constinit thread_local int judging = 0;
struct Judging {
  Judging() { ++judging; }
  ~Judging() { --judging; }
};

Plan& plan() {
  static Plan* const made = new Plan;  // never destroyed: calls come until the very end
  return *made;
}

/// What a call is to do instead of its work, or besides.
struct Verdict {
  int error = 0;
  bool half = false;
  bool wrong = false;
};

Verdict judge(Call call, const char* path) {
  const Judging now;
  Plan& all = plan();
  if (is_of_files(call) &&
      (all.root.empty() || path == nullptr || !std::string_view(path).starts_with(all.root)))
    return {};
  if (is_of_files(call)) saw_file = true;
  if (all.log >= 0 && call != kNew) {
    const std::string line = std::string(kNames[call]) + " " + (path == nullptr ? "" : path) + "\n";
    if (::syscall(SYS_write, all.log, line.data(), line.size()) < 0) std::abort();
  }
  Verdict verdict;
  for (Fault* fault : all.faults) {
    if (!fault->concerns(call)) continue;
    const long number = ++fault->seen;
    if (number != fault->number && !(fault->and_later && number > fault->number)) continue;
    if (fault->action == "kill")
      std::raise(SIGKILL);
    else if (fault->action == "stop")
      std::raise(SIGSTOP);
    else if (fault->action == "int")
      std::raise(SIGINT);
    else if (fault->action == "half")
      verdict.half = true;
    else if (fault->action == "wrong")
      verdict.wrong = true;
    else
      verdict.error = std::atoi(fault->action.c_str());
  }
  return verdict;
}

Verdict judge(Call call, int fd) {
  const Judging now;
  if (plan().root.empty()) return {};
  char path[PATH_MAX + 1];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), path, PATH_MAX);
  path[std::max<ssize_t>(length, 0)] = '\0';
  return judge(call, path);
}

Verdict judge_at(Call call, int directory, const char* path) {
  if (path[0] == '/' || directory == AT_FDCWD) return judge(call, path);
  return judge(call, directory);
}

/// The function behind ours. Without a static that is initialized at run time: its guard would call
/// `syscall`.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  Function* operator()() {
    if (found_ == nullptr) found_ = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name_));
    return found_;
  }

 private:
  const char* name_;
  std::atomic<Function*> found_{nullptr};
};

#define REAL(name)                                   \
  static constinit Next<decltype(name)> next(#name); \
  auto* const real = next()
#define FAIL_OR(verdict, failure)                      \
  if (const int error = (verdict).error; error != 0) { \
    errno = error;                                     \
    return failure;                                    \
  }

Call opening(int flags) { return (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0 ? kCreate : kOpen; }

mode_t mode_of(int flags, va_list list) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

}  // namespace

extern "C" {

#define DEFINE_OPEN(name)                      \
  int name(const char* path, int flags, ...) { \
    REAL(name);                                \
    va_list list;                              \
    va_start(list, flags);                     \
    const mode_t mode = mode_of(flags, list);  \
    va_end(list);                              \
    FAIL_OR(judge(opening(flags), path), -1)   \
    return real(path, flags, mode);            \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_READ(name, offset_type)                                      \
  ssize_t name(int fd, void* bytes, size_t count, offset_type offset) {     \
    REAL(name);                                                             \
    const Verdict verdict = judge(kRead, fd);                               \
    FAIL_OR(verdict, -1)                                                    \
    return real(fd, bytes, verdict.half ? (count + 1) / 2 : count, offset); \
  }
DEFINE_READ(pread, off_t)
DEFINE_READ(pread64, off64_t)

#define DEFINE_WRITE(name, offset_type)                                       \
  ssize_t name(int fd, const void* bytes, size_t count, offset_type offset) { \
    REAL(name);                                                               \
    const Verdict verdict = judge(kWrite, fd);                                \
    FAIL_OR(verdict, -1)                                                      \
    return real(fd, bytes, verdict.half ? (count + 1) / 2 : count, offset);   \
  }
DEFINE_WRITE(pwrite, off_t)
DEFINE_WRITE(pwrite64, off64_t)

ssize_t copy_file_range(int in, off64_t* from, int out, off64_t* to, size_t count, unsigned flags) {
  REAL(copy_file_range);
  const Verdict verdict = judge(kCopy, out);
  FAIL_OR(verdict, -1)
  return real(in, from, out, to, verdict.half ? (count + 1) / 2 : count, flags);
}

#define DEFINE_RESERVE(name, offset_type)                              \
  int name(int fd, int mode, offset_type offset, offset_type length) { \
    REAL(name);                                                        \
    FAIL_OR(judge(kReserve, fd), -1)                                   \
    return real(fd, mode, offset, length);                             \
  }
DEFINE_RESERVE(fallocate, off_t)
DEFINE_RESERVE(fallocate64, off64_t)

int fsync(int fd) {
  REAL(fsync);
  FAIL_OR(judge(kSync, fd), -1)
  return real(fd);
}

int rename(const char* from, const char* to) {
  REAL(rename);
  FAIL_OR(judge(kRename, to), -1)
  return real(from, to);
}

long syscall(long number, ...) {
  static constinit Next<long(long, ...)> next("syscall");
  auto* const real = next();
  va_list list;
  va_start(list, number);
  long values[6];
  for (long& value : values) value = va_arg(list, long);
  va_end(list);
  if (number == SYS_renameat2) {
    const bool exchange = (values[4] & RENAME_EXCHANGE) != 0;
    FAIL_OR(judge(exchange ? kExchange : kPlace, reinterpret_cast<const char*>(values[3])), -1)
  }
  return real(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int link(const char* from, const char* to) {
  REAL(link);
  FAIL_OR(judge(kLink, to), -1)
  return real(from, to);
}

int unlink(const char* path) {
  REAL(unlink);
  FAIL_OR(judge(kRemove, path), -1)
  return real(path);
}

int unlinkat(int directory, const char* path, int flags) {
  REAL(unlinkat);
  FAIL_OR(judge_at(kRemove, directory, path), -1)
  return real(directory, path, flags);
}

int mkdir(const char* path, mode_t mode) {
  REAL(mkdir);
  FAIL_OR(judge(kMakeDirectory, path), -1)
  return real(path, mode);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  REAL(posix_memalign);
  // Tensors' memory: libtorch aligns it so, and what is small may belong to others.
  if (alignment == 64 && size >= 4096) {
    if (const int error = judge(kMemory, nullptr).error; error != 0) return error;
  }
  return real(memory, alignment, size);
}

// Where libtorch takes LAPACK from a shared library, as Debian's does.

#define DEFINE_EIGEN(name, call, number)                                                           \
  void name(char* job, char* half, int* n, number* matrix, int* leading, number* values,           \
            number* work, int* work_size, int* integers, int* integers_size, int* info) {          \
    REAL(name);                                                                                    \
    const Verdict verdict = *work_size == -1 ? Verdict{} : judge(call, nullptr);                   \
    if (verdict.error == 0)                                                                        \
      real(job, half, n, matrix, leading, values, work, work_size, integers, integers_size, info); \
    else                                                                                           \
      *info = verdict.error;                                                                       \
    if (verdict.half) std::fill_n(matrix, static_cast<size_t>(*leading) * (*n / 2), number{});     \
  }
DEFINE_EIGEN(ssyevd_, kEigenFloat, float)
DEFINE_EIGEN(dsyevd_, kEigenDouble, double)

void dpotrf_(char* half, int* n, double* matrix, int* leading, int* info) {
  REAL(dpotrf_);
  const Verdict verdict = judge(kCholesky, nullptr);
  if (verdict.error == 0)
    real(half, n, matrix, leading, info);
  else
    *info = verdict.error;
  const size_t size = static_cast<size_t>(*leading) * *n;
  if (verdict.half) std::fill_n(matrix, size / 2, 0.0);
  if (verdict.wrong) std::for_each(matrix, matrix + size, [](double& value) { value *= 2; });
}

}  // extern "C"

void* operator new(size_t size) {
  if (judging == 0 && saw_file && judge(kNew, nullptr).error != 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(std::max<size_t>(size, 1))) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
