#include "sagesan/report/junit.h"

#include <gtest/gtest.h>

#include "sagesan/report/markup.h"

namespace sagesan {
namespace {

TEST(Markup, NothingOfAStrangerIsMarkup) {
  EXPECT_EQ(escape_markup("<script>alert('x' & \"y\")</script>"),
            "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;");
  EXPECT_EQ(escape_markup("a\x1b\n\xff\u202e"), "a\\u{1b}\\u{a}\\xff\\u{202e}");
  EXPECT_EQ(escape_markup("\uFFFE\uFFFF"), "\\u{fffe}\\u{ffff}");
  EXPECT_EQ(escape_markup("plain.weight é 東"), "plain.weight é 東");
}

TEST(Junit, OneTestCaseARule) {
  const std::string xml = junit_xml(
      "r<1>.json", {{"a <= 1", true, "0.5 (tensor 'w')"}, {"b >= 2", false, "1 (tensor 'w\"&')"}});
  EXPECT_EQ(xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n"
            " <testsuite name=\"r&lt;1&gt;.json\" tests=\"2\" failures=\"1\" errors=\"0\" "
            "skipped=\"0\">\n"
            "  <testcase classname=\"sagesan.check\" name=\"a &lt;= 1\">"
            "<system-out>0.5 (tensor &#39;w&#39;)</system-out></testcase>\n"
            "  <testcase classname=\"sagesan.check\" name=\"b &gt;= 2\">"
            "<failure message=\"1 (tensor &#39;w&quot;&amp;&#39;)\">"
            "FAILED  b &gt;= 2: 1 (tensor &#39;w&quot;&amp;&#39;)</failure></testcase>\n"
            " </testsuite>\n</testsuites>\n");
}

}  // namespace
}  // namespace sagesan
