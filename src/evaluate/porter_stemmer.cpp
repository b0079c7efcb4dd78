#include "porter_stemmer.h"

#include <array>
#include <map>
#include <span>
#include <string_view>

namespace sagesan {
namespace {

bool is_consonant(std::string_view word, size_t i) {
  switch (word[i]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
      return false;
    case 'y':
      return i == 0 || !is_consonant(word, i - 1);
    default:
      return true;
  }
}

/// m: how often a consonant follows a vowel.
int measure(std::string_view stem) {
  int count = 0;
  for (size_t i = 1; i < stem.size(); ++i)
    count += !is_consonant(stem, i - 1) && is_consonant(stem, i) ? 1 : 0;
  return count;
}

bool is_positive(std::string_view stem) { return measure(stem) > 0; }
bool is_above_one(std::string_view stem) { return measure(stem) > 1; }

bool contains_vowel(std::string_view stem) {
  for (size_t i = 0; i < stem.size(); ++i) {
    if (!is_consonant(stem, i)) return true;
  }
  return false;
}

bool ends_with_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] &&
         is_consonant(word, word.size() - 1);
}

/// *o: consonant, vowel, consonant, the last of which is not w, x or y.
bool ends_with_cvc(std::string_view word) {
  const size_t size = word.size();
  if (size == 2) return !is_consonant(word, 0) && is_consonant(word, 1);
  return size >= 3 && is_consonant(word, size - 3) && !is_consonant(word, size - 2) &&
         is_consonant(word, size - 1) && word.back() != 'w' && word.back() != 'x' &&
         word.back() != 'y';
}

struct Rule {
  std::string_view suffix, replacement;
};

/// By the first rule whose suffix is there, if what stands before it is of more than `least`
/// measures.
std::string replace_suffix(std::string_view word, std::span<const Rule> rules, int least) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = word.substr(0, word.size() - rule.suffix.size());
    if (measure(stem) <= least) break;
    return std::string(stem).append(rule.replacement);
  }
  return std::string(word);
}

std::string replace_end(std::string_view word, size_t count, std::string_view replacement) {
  return std::string(word.substr(0, word.size() - count)).append(replacement);
}

std::string plurals(const std::string& word) {  // step 1a
  if (word.size() == 4 && word.ends_with("ies")) return replace_end(word, 3, "ie");
  static constexpr std::array<Rule, 4> kRules = {
      {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}};
  return replace_suffix(word, kRules, -1);
}

std::string participles(const std::string& word) {  // step 1b
  if (word.ends_with("ied")) return replace_end(word, 3, word.size() == 4 ? "ie" : "i");
  if (word.ends_with("eed"))
    return is_positive(replace_end(word, 3, "")) ? replace_end(word, 1, "") : word;
  std::string stem;
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (!word.ends_with(suffix)) continue;
    stem = replace_end(word, suffix.size(), "");
    if (contains_vowel(stem)) break;
    stem.clear();
  }
  if (stem.empty()) return word;
  for (const std::string_view suffix : {"at", "bl", "iz"}) {
    if (stem.ends_with(suffix)) return stem + "e";
  }
  if (ends_with_double_consonant(stem)) {
    const char last = stem.back();
    if (last != 'l' && last != 's' && last != 'z') stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_with_cvc(stem) ? stem + "e" : stem;
}

std::string last_y(const std::string& word) {  // step 1c
  const size_t size = word.size();
  const bool changes = word.ends_with('y') && size > 2 && is_consonant(word, size - 2);
  return changes ? replace_end(word, 1, "i") : word;
}

std::string double_suffixes(const std::string& word) {  // step 2
  if (word.ends_with("alli") && is_positive(replace_end(word, 4, "")))
    return double_suffixes(replace_end(word, 2, ""));
  static constexpr std::array<Rule, 21> kRules = {
      {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
       {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
       {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
       {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
       {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
       {"fulli", "ful"}}};
  std::string result = replace_suffix(word, kRules, 0);
  // The l counts to the stem, so that geology is treated as archaeology is.
  if (result == word && word.ends_with("logi") && is_positive(replace_end(word, 3, "")))
    return replace_end(word, 1, "");
  return result;
}

std::string single_suffixes(const std::string& word) {  // step 3
  static constexpr std::array<Rule, 7> kRules = {{{"icate", "ic"},
                                                  {"ative", ""},
                                                  {"alize", "al"},
                                                  {"iciti", "ic"},
                                                  {"ical", "ic"},
                                                  {"ful", ""},
                                                  {"ness", ""}}};
  return replace_suffix(word, kRules, 0);
}

std::string last_suffixes(const std::string& word) {  // step 4
  if (word.ends_with("ion")) {
    std::string stem = replace_end(word, 3, "");
    const bool changes = is_above_one(stem) && (stem.ends_with('s') || stem.ends_with('t'));
    return changes ? stem : word;
  }
  static constexpr std::array<Rule, 18> kRules = {{{"al", ""},
                                                   {"ance", ""},
                                                   {"ence", ""},
                                                   {"er", ""},
                                                   {"ic", ""},
                                                   {"able", ""},
                                                   {"ible", ""},
                                                   {"ant", ""},
                                                   {"ement", ""},
                                                   {"ment", ""},
                                                   {"ent", ""},
                                                   {"ou", ""},
                                                   {"ism", ""},
                                                   {"ate", ""},
                                                   {"iti", ""},
                                                   {"ous", ""},
                                                   {"ive", ""},
                                                   {"ize", ""}}};
  return replace_suffix(word, kRules, 1);
}

std::string last_letters(std::string word) {  // step 5
  if (word.ends_with('e')) {
    const std::string stem = replace_end(word, 1, "");
    if (is_above_one(stem) || (measure(stem) == 1 && !ends_with_cvc(stem))) word = stem;
  }
  if (word.ends_with("ll") && is_above_one(replace_end(word, 1, ""))) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(const std::string& word) {
  static const std::map<std::string, std::string> irregular = {
      {"sky", "sky"},        {"skies", "sky"},        {"dying", "die"},
      {"lying", "lie"},      {"tying", "tie"},        {"news", "news"},
      {"innings", "inning"}, {"inning", "inning"},    {"outings", "outing"},
      {"outing", "outing"},  {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"},  {"exceed", "exceed"},
      {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return found->second;
  if (word.size() <= 2) return word;
  return last_letters(
      last_suffixes(single_suffixes(double_suffixes(last_y(participles(plurals(word)))))));
}

}  // namespace sagesan
