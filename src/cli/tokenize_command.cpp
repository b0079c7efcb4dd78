#include <fmt/format.h>

#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/support/error.h"
#include "sagesan/text/text_source.h"

namespace sagesan::cli {

void add_tokenize(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand("tokenize", "print the token ids, one JSON line a record");
  struct Words {
    RenderingWords rendering;
    std::string model, data, max_length;
  };
  auto words = std::make_shared<Words>();
  command->add_option("--model", words->model, "directory with tokenizer.json or tokenizer.model")
      ->required()
      ->type_name("DIR");
  command->add_option("--data", words->data, "texts (JSONL, JSON or plain text)")
      ->required()
      ->type_name("FILE");
  add_text_options(*command, common, words->rendering, words->max_length);
  command->callback([words, &common, &action] {
    action = [words, &common] {
      int64_t max_length = std::numeric_limits<int64_t>::max();
      if (!words->max_length.empty())
        max_length = parse_integer("--max-length", words->max_length, 1, max_length);
      const Rendering rendering = parse_rendering(words->rendering);
      const std::filesystem::path model = parse_path("--model", words->model);
      const std::filesystem::path data = parse_path("--data", words->data);
      if (!std::filesystem::is_directory(model))
        throw InputError(model.string(), "no such directory");
      const TextSource texts = open_text_source(rendering, model);
      give_template_notice(rendering, texts.records.chat, notice(common.quiet));
      const Tokenizer* tokenizer = texts.tokenizer ? &*texts.tokenizer : nullptr;
      const Progress progress = progress_bar(common.quiet);
      const std::vector<Record> records = read_records(data, texts.records);
      double done = 0;
      for (const Record& record : records) {
        progress("tokenize", done++, static_cast<double>(records.size()));
        for (const EncodedText& text :
             encode_pieces(tokenizer, record, max_length, texts.records.split_long_texts)) {
          Json line = {{"ids", text.ids}};
          if (text.answer_start > 0) line["answer_start"] = text.answer_start;
          std::cout << line.dump() << "\n";
        }
      }
    };
  });
}

}  // namespace sagesan::cli
