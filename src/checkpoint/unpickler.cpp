#include "unpickler.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers of a pickle are little-endian");

/// Names of Python, Lib/pickletools.py.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kBinFloat = 'G',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

}  // namespace

void Unpickler::fail(const std::string& message) const {
  throw InputError(fmt::format("{}: byte {}", where_, opcode_position_), message);
}

template <typename T>
T Unpickler::take_number() {
  T value;
  std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
  return value;
}

std::string_view Unpickler::take_bytes(uint64_t count) {
  if (count > bytes_.size() - position_) {
    fail(fmt::format("{} bytes expected and only {} follow: truncated", count,
                     bytes_.size() - position_));
  }
  const std::string_view taken = bytes_.substr(position_, count);
  position_ += count;
  return taken;
}

std::string_view Unpickler::take_line() {
  const size_t end = bytes_.find('\n', position_);
  if (end == std::string_view::npos) fail("a line without an end: truncated");
  const std::string_view line = take_bytes(end - position_);
  ++position_;
  return line;
}

void Unpickler::count_value() {
  if (++values_ > kMaxValues) fail(fmt::format("more than {} values", kMaxValues));
}

void Unpickler::push(PickleValue value) {
  count_value();
  stack_.push_back(value);
}

PickleValue& Unpickler::top() {
  if (stack_.size() == (marks_.empty() ? 0 : marks_.back())) fail("a value is missing");
  return stack_.back();
}

PickleValue Unpickler::pop() {
  const PickleValue value = top();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> Unpickler::pop_to_mark() {
  if (marks_.empty()) fail("a mark is missing");
  const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
  std::vector<PickleValue> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

PickleValue Unpickler::run() {
  if (bytes_.size() < 2 || static_cast<uint8_t>(bytes_[0]) != kProto || bytes_[1] < 2 ||
      bytes_[1] > 5) {
    fail("no pickle of protocol 2 to 5");
  }
  position_ = 2;
  while (true) {
    opcode_position_ = position_;
    if (position_ == bytes_.size()) fail("the pickle has no end: truncated");
    const auto opcode = take_number<uint8_t>();
    if (opcode == kStop) break;
    if (!read_plain(opcode) && !read_text(opcode) && !read_container(opcode) &&
        !read_memo(opcode) && !read_object(opcode)) {
      fail(fmt::format("opcode 0x{:02x} is none that torch.save writes for tensors", opcode));
    }
  }
  const PickleValue result = pop();
  if (!stack_.empty() || !marks_.empty()) fail("values are left over at the end");
  if (position_ != bytes_.size()) {
    fail(fmt::format("{} bytes after the end of the pickle", bytes_.size() - position_));
  }
  return result;
}

bool Unpickler::read_plain(uint8_t opcode) {
  switch (opcode) {
    case kNone:
      push(PickleNone{});
      break;
    case kNewTrue:
      push(true);
      break;
    case kNewFalse:
      push(false);
      break;
    case kBinInt:
      push(int64_t{take_number<int32_t>()});
      break;
    case kBinInt1:
      push(int64_t{take_number<uint8_t>()});
      break;
    case kBinInt2:
      push(int64_t{take_number<uint16_t>()});
      break;
    case kLong1:
      push_long(take_bytes(take_number<uint8_t>()));
      break;
    case kLong4:
      push_long(take_bytes(take_number<uint32_t>()));
      break;
    case kBinFloat:
      take_bytes(8);
      push(PickleOther{});
      break;
    case kFrame:
      // Its length is a hint to buffered readers: the opcodes inside count.
      if (take_number<uint64_t>() > bytes_.size() - position_) fail("a frame past the end");
      break;
    default:
      return false;
  }
  return true;
}

bool Unpickler::read_text(uint8_t opcode) {
  uint64_t length = 0;
  switch (opcode) {
    case kShortBinUnicode:
    case kShortBinBytes:
      length = take_number<uint8_t>();
      break;
    case kBinUnicode:
    case kBinBytes:
      length = take_number<uint32_t>();
      break;
    case kBinUnicode8:
    case kBinBytes8:
    case kByteArray8:
      length = take_number<uint64_t>();
      break;
    default:
      return false;
  }
  const std::string_view text = take_bytes(length);
  if (opcode == kShortBinUnicode || opcode == kBinUnicode || opcode == kBinUnicode8) {
    push(text);
  } else {
    push(PickleOther{});
  }
  return true;
}

bool Unpickler::read_container(uint8_t opcode) {
  switch (opcode) {
    case kMark:
      count_value();
      marks_.push_back(stack_.size());
      break;
    case kEmptyTuple:
      push_tuple_of(0);
      break;
    case kTuple1:
      push_tuple_of(1);
      break;
    case kTuple2:
      push_tuple_of(2);
      break;
    case kTuple3:
      push_tuple_of(3);
      break;
    case kTuple:
      push_tuple(pop_to_mark());
      break;
    case kEmptyList:
      push(&lists_.emplace_back());
      break;
    case kEmptyDict:
      push(&dicts_.emplace_back());
      break;
    case kAppend:
      append({pop()});
      break;
    case kAppends:
      append(pop_to_mark());
      break;
    case kSetItem: {
      const PickleValue value = pop();
      set_items({pop(), value});
      break;
    }
    case kSetItems:
      set_items(pop_to_mark());
      break;
    default:
      return false;
  }
  return true;
}

bool Unpickler::read_memo(uint8_t opcode) {
  switch (opcode) {
    case kBinPut:
      remember(take_number<uint8_t>());
      break;
    case kLongBinPut:
      remember(take_number<uint32_t>());
      break;
    case kMemoize:
      remember(memo_.size());
      break;
    case kBinGet:
      recall(take_number<uint8_t>());
      break;
    case kLongBinGet:
      recall(take_number<uint32_t>());
      break;
    default:
      return false;
  }
  return true;
}

bool Unpickler::read_object(uint8_t opcode) {
  switch (opcode) {
    case kGlobal: {
      const std::string_view module = take_line();
      push_global(module, take_line());
      break;
    }
    case kStackGlobal: {
      const auto name = pop_as<std::string_view>("the name of a global");
      push_global(pop_as<std::string_view>("the module of a global"), name);
      break;
    }
    case kBinPersId:
      push_storage();
      break;
    case kReduce:
      reduce();
      break;
    case kBuild:
      // `_metadata` of a module's state dict: the versions of its parts. Nothing else has a state.
      pop();
      if (!std::holds_alternative<PickleDict*>(top())) fail("a state for what is no dictionary");
      break;
    default:
      return false;
  }
  return true;
}

void Unpickler::push_long(std::string_view digits) {
  if (digits.size() > sizeof(int64_t)) {
    push(PickleOther{});
    return;
  }
  // Two's complement, as many bytes as it takes.
  int64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? -1 : 0;
  std::memcpy(&value, digits.data(), digits.size());
  push(value);
}

void Unpickler::push_tuple(std::vector<PickleValue> items) {
  push(&tuples_.emplace_back(PickleTuple{std::move(items)}));
}

void Unpickler::push_tuple_of(size_t count) {
  std::vector<PickleValue> items(count);
  for (size_t i = count; i > 0; --i) items[i - 1] = pop();
  push_tuple(std::move(items));
}

void Unpickler::append(const std::vector<PickleValue>& items) {
  PickleList* const* list = std::get_if<PickleList*>(&top());
  if (list == nullptr) fail("items for what is no list");
  (*list)->items.insert((*list)->items.end(), items.begin(), items.end());
}

void Unpickler::set_items(const std::vector<PickleValue>& items) {
  PickleDict* const* dict = std::get_if<PickleDict*>(&top());
  if (dict == nullptr) fail("items for what is no dictionary");
  if (items.size() % 2 != 0) fail("a key without a value");
  for (size_t i = 0; i < items.size(); i += 2) (*dict)->items.emplace_back(items[i], items[i + 1]);
}

void Unpickler::remember(uint64_t index) {
  // Picklers count; a number of the pickle's own choice would be an allocation of its choice.
  if (index > memo_.size()) {
    fail(fmt::format("memo {} is set, but there are only {}", index, memo_.size()));
  }
  const PickleValue value = top();
  if (index == memo_.size()) {
    count_value();
    memo_.push_back(value);
  } else {
    memo_[index] = value;
  }
}

void Unpickler::recall(uint64_t index) {
  if (index >= memo_.size()) {
    fail(fmt::format("memo {} is asked for, but there are only {}", index, memo_.size()));
  }
  push(memo_[index]);
}

}  // namespace sagesan
