// sagesan_bench_tokenizer TOKENIZER_JSON TEXTS: encodes all texts (one after the other, a zero byte
// behind each) on one thread and prints the seconds of that alone, and how many ids there are.
// tests/python/bench_tokenizer.py compares them with Hugging Face's tokenizers.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string_view>

#include "sagesan/support/file.h"
#include "sagesan/text/tokenizer.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: sagesan_bench_tokenizer TOKENIZER_JSON TEXTS\n";
    return 2;
  }
  const auto tokenizer = sagesan::Tokenizer::load(argv[1]);
  const std::string texts = sagesan::read_text_file(argv[2], uint64_t{1} << 30);
  const auto start = std::chrono::steady_clock::now();
  size_t ids = 0;
  for (size_t begin = 0; begin < texts.size();) {
    const size_t end = texts.find('\0', begin);
    ids += tokenizer.encode(std::string_view(texts).substr(begin, end - begin)).size();
    begin = end + 1;
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  std::printf("%.4f %zu\n", taken.count(), ids);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
