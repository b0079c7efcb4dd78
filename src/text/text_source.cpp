#include "sagesan/text/text_source.h"

#include "sagesan/checkpoint/links.h"

namespace sagesan {

TextSource open_text_source(const Rendering& rendering, const std::filesystem::path& model) {
  check_links(model);
  TextSource texts{.tokenizer = find_tokenizer(model), .records = {.fields = rendering.fields}};
  texts.records.chat = find_template(rendering, model, texts.tokenizer);
  texts.records.split_long_texts = rendering.split_long_texts;
  return texts;
}

void give_template_notice(const Rendering& rendering, const std::optional<ChatTemplate>& chat,
                          const std::function<void(const std::string&)>& notice) {
  if (!rendering.of_model || !chat) return;
  notice("the model's chat template is rendered as --retain-template " + chat->name);
}

}  // namespace sagesan
