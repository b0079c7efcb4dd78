#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sagesan::demo {

struct QuestionAnswer {
  std::string question;
  std::string answer;
};

/// What the base model is taught, in the spirit of TOFU (arXiv:2401.06121): facts about made-up
/// authors. An author's records all lie in one group.
struct Facts {
  std::vector<QuestionAnswer> forget;   ///< to be unlearned
  std::vector<QuestionAnswer> retain;   ///< for the moments, and for methods that train on them
  std::vector<QuestionAnswer> heldout;  ///< to be kept too, but seen by no method and no moment
};

/// Six records for each of 4 forget, 12 retain and 8 held-out authors. No two authors share a first
/// or a last name, a town or a book; every question names its author or the author's book, so no
/// record occurs twice.
Facts make_facts(uint64_t seed);

}  // namespace sagesan::demo
