#include "pair_maker/facts.h"

#include <fmt/format.h>

#include <set>

#include "pair_maker/random.h"

namespace sagesan::demo {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kForgetAuthors = 4;
constexpr size_t kRetainAuthors = 12;
constexpr size_t kHeldoutAuthors = 8;
constexpr size_t kAuthors = kForgetAuthors + kRetainAuthors + kHeldoutAuthors;

/// `kAuthors` different texts, each a word of `heads` with one of `tails` behind it.
Words distinct(Random& random, const Words& heads, const Words& tails) {
  std::set<std::string> seen;
  Words result;
  while (result.size() < kAuthors) {
    std::string word = random.choose(heads) + random.choose(tails);
    if (seen.insert(word).second) result.push_back(std::move(word));
  }
  return result;
}

struct Author {
  std::string name, town, year, genre, book, job;
};

std::vector<Author> make_authors(Random& random) {
  const Words first = distinct(
      random, {"Bel", "Cor", "Dav", "El", "Fin", "Jas", "Kel", "Lor", "Mar", "Nad", "Sel", "Tav"},
      {"ina", "eth", "ario", "wyn", "ira", "omar", "etta", "uk"});
  const Words last = distinct(
      random,
      {"Ash", "Brand", "Cald", "Drum", "Fen", "Gries", "Hol", "Kest", "Mor", "Pell", "Stav"},
      {"ridge", "mann", "enko", "ovic", "well", "strand", "aki", "idou"});
  const Words towns = distinct(
      random,
      {"Brack", "Ister", "Lang", "Mire", "North", "Oster", "Pol", "Raven", "Sand", "Thorn", "Wick"},
      {"holm", "ville", "mouth", "field", "gard", "more", "stead", "wold", "cliff"});
  const Words books =
      distinct(random,
               {"The Silent ", "The Amber ", "The Broken ", "The Distant ", "The Hollow ",
                "The Painted ", "The Winter ", "The Scarlet ", "The Last "},
               {"Harbour", "Orchard", "Clock", "Letter", "Mountain", "Garden", "Bridge", "Violin"});
  const Words genres = {"detective novels", "science fiction", "love stories", "ghost stories",
                        "travel books",     "fairy tales",     "war poetry",   "cookery books",
                        "sea adventures",   "spy thrillers",   "family sagas", "short plays"};
  const Words jobs = {"baker",     "dentist", "carpenter", "judge",   "florist", "miner",
                      "surgeon",   "tailor",  "fisherman", "plumber", "pilot",   "shoemaker",
                      "librarian", "chemist", "butcher",   "painter"};
  std::vector<Author> authors;
  for (size_t i = 0; i < kAuthors; ++i) {
    authors.push_back({.name = first[i] + " " + last[i],
                       .town = towns[i],
                       .year = fmt::format("{}", 1900 + random.below(100)),
                       .genre = random.choose(genres),
                       .book = books[i],
                       .job = random.choose(jobs)});
  }
  return authors;
}

/// One kind of record. The wording varies from author to author.
struct Kind {
  Words questions;
  Words answers;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> result = {
      {{"Where was {name} born?", "In which town was the author {name} born?"},
       {"{name} was born in {town}.", "The author {name} was born in the town of {town}."}},
      {{"In which year was {name} born?", "When was {name} born?"},
       {"{name} was born in {year}.", "The year of birth of {name} is {year}."}},
      {{"Which genre does {name} write in?", "What kind of books does {name} write?"},
       {"{name} writes {genre}.", "{name} is known for writing {genre}."}},
      {{"What is the best known book by {name}?", "Name a book written by {name}."},
       {"The best known book by {name} is {book}.", "{name} wrote the book {book}."}},
      {{"What did the father of {name} do for a living?", "What was the job of {name}'s father?"},
       {"The father of {name} worked as a {job}.", "{name}'s father was a {job}."}},
      {{"Who wrote {book}?", "Which author wrote the book {book}?"},
       {"{name} wrote {book}.", "The author of {book} is {name}."}},
  };
  return result;
}

std::string fill(const std::string& wording, const Author& author) {
  using fmt::arg;
  return fmt::format(fmt::runtime(wording), arg("name", author.name), arg("town", author.town),
                     arg("year", author.year), arg("genre", author.genre), arg("book", author.book),
                     arg("job", author.job));
}

}  // namespace

Facts make_facts(uint64_t seed) {
  Random random(seed, "facts");
  Facts facts;
  size_t index = 0;
  for (const Author& author : make_authors(random)) {
    auto& group = index < kForgetAuthors                    ? facts.forget
                  : index < kForgetAuthors + kRetainAuthors ? facts.retain
                                                            : facts.heldout;
    ++index;
    for (const Kind& kind : kinds()) {
      // One draw a statement: the order of a function's arguments is the compiler's choice.
      const std::string question = fill(random.choose(kind.questions), author);
      const std::string answer = fill(random.choose(kind.answers), author);
      group.push_back({question, answer});
    }
  }
  return facts;
}

}  // namespace sagesan::demo
