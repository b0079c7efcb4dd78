#include "sagesan/text/byte_level.h"

#include <array>

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

}  // namespace sagesan::tokenization
