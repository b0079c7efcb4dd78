#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "sagesan/text/chat_template.h"
#include "sagesan/text/records.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// How records become token ids for one model.
struct TextSource {
  std::optional<Tokenizer> tokenizer;  ///< absent: records must bring their ids
  RecordOptions records;
};

/// What `rendering` comes to for the checkpoint directory `model`. Throws like `find_tokenizer` and
/// `find_template`.
TextSource open_text_source(const Rendering& rendering, const std::filesystem::path& model);

/// Tells the user which template stands for the model's own, where that was asked for.
void give_template_notice(const Rendering& rendering, const std::optional<ChatTemplate>& chat,
                          const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
