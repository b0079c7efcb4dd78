#include "sagesan/text/byte_level.h"

#include <array>
#include <functional>
#include <map>

#include "sagesan/support/utf8.h"

namespace sagesan::tokenization {
namespace {

std::array<std::string, 256> make_letters() {
  std::array<std::string, 256> letters;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    append_utf8(letters[byte], printable ? byte : next++);
  }
  return letters;
}

}  // namespace

void append_byte_letters(std::string& letters, std::string_view bytes) {
  static const std::array<std::string, 256> table = make_letters();
  for (const char byte : bytes) letters += table[static_cast<unsigned char>(byte)];
}

bool append_letter_bytes(std::string& bytes, std::string_view letters) {
  static const std::map<std::string, char, std::less<>> table = [] {
    std::map<std::string, char, std::less<>> result;
    int byte = 0;
    for (const std::string& letter : make_letters()) result[letter] = static_cast<char>(byte++);
    return result;
  }();
  std::string found;
  for (size_t position = 0; position < letters.size();) {
    const size_t length = decode_utf8(letters, position).length;
    const auto letter = table.find(letters.substr(position, length));
    if (letter == table.end()) return false;
    found += letter->second;
    position += length;
  }
  bytes += found;
  return true;
}

}  // namespace sagesan::tokenization
