#pragma once

#include <string>
#include <string_view>

namespace sagesan {

// Pages are one file each: no scripts, nothing from the network (their policy forbids both), light
// and dark, for phones and for paper. What makes HTML takes plain text and escapes it itself.

/// A whole page. `body` is HTML: sections and figures.
std::string html_page(std::string_view title, std::string_view body);

/// `<section>` with a heading and, where it is not empty, a paragraph of plain text; `content` is
/// HTML. Empty where `content` is.
std::string html_section(std::string_view heading, std::string_view text, std::string_view content);

/// Folded away under `summary`.
std::string html_details(std::string_view summary, std::string_view content);

/// Side by side where there is room.
std::string html_grid(std::string_view content);

}  // namespace sagesan
