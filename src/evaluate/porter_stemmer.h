#pragma once

#include <string>

namespace sagesan {

/// The stem of a word of lower-case ASCII letters and digits: M. F. Porter, "An algorithm for
/// suffix stripping", Program 14 (1980), with the extensions of nltk.stem.PorterStemmer's default
/// mode, which rouge-score uses: other rules for short words, -alli, -bli, -fulli, -logi and -y,
/// and a list of irregular words.
std::string porter_stem(const std::string& word);

}  // namespace sagesan
