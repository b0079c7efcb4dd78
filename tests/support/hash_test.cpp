#include "sagesan/support/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace sagesan {
namespace {

/// The sanity buffer of xxHash's own tests (cli/xsum_sanity_check.c): bytes of a 64-bit generator.
std::string sanity_buffer(size_t size) {
  uint64_t generator = 2654435761U;
  std::string buffer;
  for (size_t i = 0; i < size; ++i) {
    buffer += static_cast<char>(generator >> 56);
    generator *= 11400714785074694797ULL;
  }
  return buffer;
}

TEST(Hasher, EmptyInputHasThePublishedValue) {
  EXPECT_EQ(hash_bytes(""), "99aa06d3014798d86001c324468d497f");
}

// XSUM_XXH128_testdata there, seed 0, one length for each of the algorithm's ways; the high half
// first, as xxh128sum prints it.
TEST(Hasher, PublishedValuesOfTheSanityBuffer) {
  EXPECT_EQ(hash_bytes(sanity_buffer(1)), "a6cd5e9392000f6ac44bdff4074eecdb");
  EXPECT_EQ(hash_bytes(sanity_buffer(6)), "082afe0b8162d12a3e7039bdda43cfc6");
  EXPECT_EQ(hash_bytes(sanity_buffer(12)), "6e3efd8fc7802b18061a192713f69ad9");
  EXPECT_EQ(hash_bytes(sanity_buffer(48)), "a002ac4e5478227ef942219aed80f67b");
  EXPECT_EQ(hash_bytes(sanity_buffer(222)), "337e09641b948717f1aebd597cec6b3a");
  EXPECT_EQ(hash_bytes(sanity_buffer(403)), "1b6de21e332dd73dcdeb804d65c6dea4");
}

TEST(Hasher, PartsAndWholeAgree) {
  const std::string text = sanity_buffer(5000);
  Hasher hasher;
  for (size_t start = 0; start < text.size(); start += 333) {
    const std::string part = text.substr(start, 333);
    hasher.add(std::as_bytes(std::span(part)));
  }
  EXPECT_EQ(hasher.hex(), hash_bytes(text));
}

TEST(Hasher, HexDoesNotEndTheStream) {
  Hasher hasher;
  hasher.add(std::as_bytes(std::span(std::string_view("ab"))));
  EXPECT_EQ(hasher.hex(), hash_bytes("ab"));
  hasher.add(std::as_bytes(std::span(std::string_view("c"))));
  EXPECT_EQ(hasher.hex(), hash_bytes("abc"));
}

TEST(Hasher, NeighbouringTextsDoNotRunTogether) {
  const auto pair = [](std::string_view a, std::string_view b) {
    Hasher hasher;
    hasher.add_text(a);
    hasher.add_text(b);
    return hasher.hex();
  };
  EXPECT_EQ(pair("ab", "c"), pair("ab", "c"));
  EXPECT_NE(pair("ab", "c"), pair("a", "bc"));
  EXPECT_NE(pair("", "abc"), pair("abc", ""));
}

}  // namespace
}  // namespace sagesan
