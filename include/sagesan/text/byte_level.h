#pragma once

#include <string>
#include <string_view>

namespace sagesan::tokenization {

/// Appends one printable letter for each byte of `bytes`, so that every text is a string over 256
/// letters (the alphabet of GPT-2's byte-level BPE): printable Latin-1 bytes stand for themselves,
/// the other 68 follow from U+0100 in order.
void append_byte_letters(std::string& letters, std::string_view bytes);

}  // namespace sagesan::tokenization
