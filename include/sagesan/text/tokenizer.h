#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace sagesan {

class Detokenizer;

/// A tokenizer as a Hugging Face `tokenizer.json` describes it, run as written: added tokens,
/// normalizer, pre-tokenizer, BPE or Unigram model, post-processor. A component that is not known
/// here is refused by name when the file is loaded, never skipped.
///
/// Two blocks of the file are ignored on purpose, as `transformers` ignores them in a plain call:
/// `truncation` (texts are cut by --max-length alone) and `padding` (texts are run unpadded). The
/// `decoder` plays no part in encoding: it is read where a detokenizer is asked for.
///
/// Copies share one immutable state; `encode` may run on several threads at once.
class Tokenizer {
 public:
  /// Throws `InputError` that names the file, the component and what is wrong or unsupported.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);
  /// The tokenizer of a directory that holds SentencePiece's tokenizer.model and no tokenizer.json,
  /// as the slow LlamaTokenizer runs it (`read_slow_tokenizer`). Throws `InputError` alike.
  static Tokenizer load_sentencepiece(const std::filesystem::path& directory);

  /// The ids of `text` with the special tokens of the file's own post-processor. An empty text
  /// gives those alone. Throws `InputError` where `text` is not UTF-8, or where one of the file's
  /// expressions needs too many steps on it.
  std::vector<int64_t> encode(std::string_view text) const;
  /// The same without the post-processor's tokens.
  std::vector<int64_t> encode_plain(std::string_view text) const;

  /// What turns ids back into text by the file's `decoder`. Throws `InputError` where that is not
  /// supported.
  Detokenizer detokenizer() const;

  /// Largest id plus 1, over the vocabulary and the added tokens.
  int64_t size() const;

 private:
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

/// The file that a checkpoint directory's tokenizer comes from: tokenizer.json, else
/// tokenizer.model; nothing where it holds neither (records of `input_ids` need none).
std::optional<std::filesystem::path> find_tokenizer_file(const std::filesystem::path& directory);
/// The tokenizer of that file.
std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& directory);

/// Whether both directories have a tokenizer.json and these read a text differently, by vocabulary
/// or merges: added tokens may come to either. Throws `InputError` where one of them is no JSON.
bool has_other_vocabulary(const std::filesystem::path& one, const std::filesystem::path& other);

}  // namespace sagesan
