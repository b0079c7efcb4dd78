#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pickle_value.h"

namespace sagesan {

/// Reads a pickle of protocol 2 to 5 (Python, Lib/pickletools.py) and executes nothing: the opcodes
/// that `torch.save` writes for dictionaries of tensors are carried out by our own loop, and the
/// globals of the allow-list stand for values of our own. Time is linear in the bytes, memory is
/// bounded by `kMaxValues`, and nesting costs no stack.
class Unpickler {
 public:
  /// Values in one pickle, counted each time one is pushed, marked or remembered. A tensor takes
  /// about twenty.
  static constexpr size_t kMaxValues = size_t{1} << 22;

  /// `bytes` must outlive this, and this the values. `where` opens each message.
  Unpickler(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  /// The value of the whole pickle. Throws `InputError` that names the byte, for other opcodes and
  /// globals (by name), and for everything that is malformed. To be called once.
  PickleValue run();

 private:
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_global(std::string_view module, std::string_view name) const;

  // The bytes.
  template <typename T>
  T take_number();
  std::string_view take_bytes(uint64_t count);
  std::string_view take_line();

  // The stack. A mark is the height at which it stands; nothing below the last one is touched.
  void count_value();
  void push(PickleValue value);
  PickleValue& top();
  PickleValue pop();
  std::vector<PickleValue> pop_to_mark();
  /// Pops what must be a `T`; `expected` says what that is.
  template <typename T>
  T pop_as(const char* expected);

  // Groups of opcodes; false where `opcode` is of another one.
  bool read_plain(uint8_t opcode);
  bool read_text(uint8_t opcode);
  bool read_container(uint8_t opcode);
  bool read_memo(uint8_t opcode);
  bool read_object(uint8_t opcode);

  void push_long(std::string_view digits);
  void push_tuple(std::vector<PickleValue> items);
  void push_tuple_of(size_t count);
  void push_global(std::string_view module, std::string_view name);
  void push_storage();
  void append(const std::vector<PickleValue>& items);
  void set_items(const std::vector<PickleValue>& items);
  void remember(uint64_t index);
  void recall(uint64_t index);
  void reduce();
  PickleValue rebuild_tensor(const PickleGlobal& function, const PickleTuple& arguments);

  std::string_view bytes_;
  std::string where_;
  size_t position_ = 0;
  size_t opcode_position_ = 0;
  size_t values_ = 0;

  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;
  std::vector<PickleValue> memo_;
  std::deque<PickleTuple> tuples_;
  std::deque<PickleList> lists_;
  std::deque<PickleDict> dicts_;
  std::deque<PickleStorage> storages_;
  std::deque<PickleTensor> tensors_;
};

template <typename T>
T Unpickler::pop_as(const char* expected) {
  const PickleValue value = pop();
  const T* result = std::get_if<T>(&value);
  if (result == nullptr) fail(std::string("expected ") + expected);
  return *result;
}

}  // namespace sagesan
