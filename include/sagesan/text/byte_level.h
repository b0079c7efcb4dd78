#pragma once

#include <string>
#include <string_view>

namespace sagesan::tokenization {

/// Appends one printable letter for each byte of `bytes`, so that every text is a string over 256
/// letters (the alphabet of GPT-2's byte-level BPE): printable Latin-1 bytes stand for themselves,
/// the other 68 follow from U+0100 in order.
void append_byte_letters(std::string& letters, std::string_view bytes);
/// Appends the bytes that `letters` (valid UTF-8) stand for; false, and nothing appended, where a
/// character is none of the letters.
bool append_letter_bytes(std::string& bytes, std::string_view letters);

}  // namespace sagesan::tokenization
