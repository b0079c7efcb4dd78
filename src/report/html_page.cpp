#include "sagesan/report/html_page.h"

#include <fmt/format.h>

#include "sagesan/report/markup.h"

namespace sagesan {
namespace {

// h0 to h8 are the colors of heat maps, s0 to s5 those of series (Okabe and Ito: for all eyes).
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5c6370;--paper:#fff;--card:#f5f6f8;--line:#d9dce1;
--s0:#0072b2;--s1:#d55e00;--s2:#007a58;--s3:#a8487f;--s4:#8a6d00;--s5:#56606e;
--h0:#fff7ec;--h1:#fee8c8;--h2:#fdd49e;--h3:#fdbb84;--h4:#fc8d59;--h5:#d7492f;--h6:#c02a1d;--h7:#990000;--h8:#6a0000;
--low:#1c1e21;--high:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a3aab5;--paper:#15171a;--card:#1f2226;--line:#3a3f46;
--s0:#56b4e9;--s1:#f0863a;--s2:#2fc79a;--s3:#e08fbe;--s4:#e6c84a;--s5:#b6bfca;
--h0:#22252a;--h1:#37291f;--h2:#4d2d1b;--h3:#653217;--h4:#7f3913;--h5:#b9581f;--h6:#dd7327;--h7:#f79748;--h8:#ffc285;
--low:#f2f3f5;--high:#1a1209}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .4rem}
h3{font-size:1rem;margin:0 0 .3rem}p{margin:.3rem 0 .8rem;max-width:46rem}.soft,caption,figcaption{color:var(--soft)}
.grid{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));align-items:start}
.cards{display:grid;gap:.7rem;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));margin:1rem 0;padding:0}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards dt{color:var(--soft);font-size:.85rem}.cards dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
.cards dd.small{font-size:.85rem;color:var(--soft)}
figure{margin:0;min-width:0}figcaption{font-weight:600;color:var(--ink);margin-bottom:.3rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
.grid+.scroll{margin-top:1rem}
th,td{padding:.2rem .55rem;text-align:left;vertical-align:top;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--line)}
td.n,th.n{text-align:right}
td.w,td.id{white-space:normal}
td.w{min-width:8rem;max-width:26rem}
td.id{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.8rem;min-width:11rem}
table.heat{border-spacing:1px;border-collapse:separate;font-size:.72rem}
table.heat td,table.heat th{border:0;padding:.18rem .3rem;text-align:center;white-space:nowrap}
table.heat thead th{font-weight:500;color:var(--soft);vertical-align:bottom}
@media screen and (max-width:32rem){table.heat{font-size:.62rem}table.heat td,table.heat th{padding:.15rem .18rem}
table.heat thead th+th{writing-mode:vertical-rl;text-align:end}}
details{margin:.5rem 0}summary{cursor:pointer;color:var(--soft);font-size:.9rem;padding:.25rem 0}
svg.chart{width:100%;height:auto;max-width:36rem;display:block}
.chart text{font-size:12px;fill:var(--soft)}.chart .name{fill:var(--ink);font-size:11px}
.chart .axis{stroke:var(--soft);fill:none}.chart .tick{stroke:var(--line);fill:none}
.chart path.series{fill:none;stroke-width:1.8}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:.2rem 0;padding:0;font-size:.85rem}
.legend svg{width:14px;height:14px;vertical-align:-2px;margin-right:.3rem}
)";

std::string color_rules() {
  std::string rules;
  for (int i = 0; i < 9; ++i) {
    rules += fmt::format(".h{0}{{background:var(--h{0});color:var(--{1})}}\n", i,
                         i < 5 ? "low" : "high");
  }
  for (int i = 0; i < 6; ++i) {
    rules += fmt::format(".s{0}{{stroke:var(--s{0})}}.m{0}{{fill:var(--s{0})}}\n", i);
  }
  return rules;
}

// Last, so that it wins: colors are printed. What is folded stays so: unfolded it is twenty pages.
constexpr std::string_view kPrint = R"(
@media print{:root{color-scheme:light;font-size:10px}body{max-width:none;padding:0;font-size:1rem}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
h2,figcaption{break-after:avoid}figure,tr,.cards div{break-inside:avoid}.scroll{overflow:visible}
details:not([open]),h2:has(+details:not([open])){display:none}}
)";

}  // namespace

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}{2}{3}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{4}</body>\n"
      "</html>\n",
      escape_markup(title), kStyle, color_rules(), kPrint, body);
}

std::string html_section(std::string_view heading, std::string_view text,
                         std::string_view content) {
  if (content.empty()) return "";
  const std::string paragraph =
      text.empty() ? "" : fmt::format("<p class=\"soft\">{}</p>\n", escape_markup(text));
  return fmt::format("<section>\n<h2>{}</h2>\n{}{}</section>\n", escape_markup(heading), paragraph,
                     content);
}

std::string html_details(std::string_view summary, std::string_view content) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escape_markup(summary),
                     content);
}

std::string html_grid(std::string_view content) {
  return content.empty() ? "" : fmt::format("<div class=\"grid\">\n{}</div>\n", content);
}

}  // namespace sagesan
