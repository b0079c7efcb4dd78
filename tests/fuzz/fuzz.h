#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

// Any bytes that a reader is given load or are refused with a clear word. One executable has all
// targets, and libFuzzer (scripts/fuzz) or the replay of the corpus (ctest) around them.

namespace sagesan::fuzz {

/// Changes bytes[0, size) in place so that they mean another file of the same format; at most
/// `most` bytes.
using Mutator = size_t (*)(uint8_t* bytes, size_t size, size_t most, unsigned seed);

struct Target {
  std::string name;  ///< and of its folder in the corpus
  void (*run)(std::string_view bytes);
  Mutator mutate = nullptr;  ///< libFuzzer's own where there is none
};

/// In the order of their names.
const std::vector<Target>& targets();
/// Null where there is none.
const Target* find_target(std::string_view name);

struct Registration {
  Registration(const char* name, void (*run)(std::string_view), Mutator mutate = nullptr);
};

/// FUZZ_TARGET(name) { ... reads `bytes` ... }, with a `Mutator` as a second argument where it
/// needs one.
#define FUZZ_TARGET(name, ...)                                                       \
  static void fuzz_##name(std::string_view bytes);                                   \
  static const ::sagesan::fuzz::Registration registration_##name(#name, fuzz_##name, \
                                                                 ##__VA_ARGS__);     \
  static void fuzz_##name(std::string_view bytes)

/// A directory of this process, in memory where the system has /dev/shm, removed at its end.
const std::filesystem::path& scratch();
/// A file there.
std::filesystem::path put(const std::string& name, std::string_view bytes);

/// Runs `read`. It may refuse the bytes with an `Error` that is a mistake of the user's (exit 2 or
/// 3), a printable line of at most 4,000 bytes for each problem, the first of which begins with a
/// path or says `names`; anything else that it throws aborts. Returns whether it did not throw.
bool loads_or_refuses(const std::function<void()>& read, std::string_view names = "");

/// Aborts with `what` unless `holds`.
void require(bool holds, const std::string& what);

/// The last message with which `loads_or_refuses` was told so since it was asked for; empty where
/// all loaded.
std::string take_refusal();

/// Files of another target's corpus that the reader takes.
std::vector<std::filesystem::path> valid_seeds(const std::string& target);

/// The mutator of whatever is a safetensors file: half the time it changes the header's text and
/// then mends the header's length, the tensors' offsets and the data's size.
size_t mutate_safetensors(uint8_t* bytes, size_t size, size_t most, unsigned seed);
/// Of a zip archive: half the time it changes the name or the data of one file in it and makes the
/// archive anew.
size_t mutate_zip(uint8_t* bytes, size_t size, size_t most, unsigned seed);
/// Of a protobuf message: half the time it changes, repeats or drops one field, in messages within
/// it too, and mends the lengths.
size_t mutate_protobuf(uint8_t* bytes, size_t size, size_t most, unsigned seed);

/// libFuzzer's; the replay has none.
using PlainMutator = size_t (*)(uint8_t* bytes, size_t size, size_t most);
void set_plain_mutator(PlainMutator mutator);
size_t mutate_plain(uint8_t* bytes, size_t size, size_t most);
/// A part of a file, which may grow by some bytes.
void mutate_part(std::string& part);

}  // namespace sagesan::fuzz
