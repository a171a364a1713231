// Proves that a hostile template ends in an error, soon and within its memory: recursion, loops,
// growth, deep nesting, huge numbers and widths. Each must fail for the reason it names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "model/text/chat_template.h"

namespace shoal {
namespace {

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// `statement` so many times, with a namespace `ns` whose s and t are [1] at the start.
std::string Growing(const std::string& statement, const std::string& end, int times = 150) {
  return "{% set ns = namespace(s=[1], t=[1], x='x') %}{% for i in range(" + std::to_string(times) +
         ") %}{% set " + statement + " %}{% endfor %}" + end;
}

struct Hostile {
  std::string name;
  std::string source;
  std::string reason;
};

void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.name; }

std::vector<Hostile> HostileTemplates() {
  const std::string steps = "more than 10000000 steps";
  const std::string levels = "deeper than 1000 levels";
  const std::string nesting = "nested deeper than 200";
  const std::string text = "a text of more than 16777216 bytes";
  const std::string bits = "more than 128 bits";
  return {
      {"MacroForever", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", levels},
      {"MacroTree",
       "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
       steps},
      {"CallForever",
       "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}", levels},
      {"LoopForever", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", levels},
      {"NestedLoops",
       "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", steps},
      {"HugeRange", "{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"},
      {"TextDoubling", Growing("ns.x = ns.x + ns.x", ""), text},
      {"TextDoublingByTilde", Growing("ns.x = ns.x ~ ns.x", ""), text},
      {"ListDoubling", Growing("ns.s = ns.s + ns.s", ""), "more than 268435456 bytes"},
      {"KeptTexts", Growing("ns.s = ns.s + ['x' * 1000000 ~ i]", "", 1000),
       "more than 268435456 bytes"},
      {"SharedListsShown", Growing("ns.s = [ns.s, ns.s]", "{{ ns.s }}"), text},
      {"SharedListsAsJson", Growing("ns.s = [ns.s, ns.s]", "{{ ns.s | tojson }}"), text},
      {"SharedListsCompared",
       Growing("ns.s, ns.t = [ns.s, ns.s], [ns.t, ns.t]", "{{ ns.s == ns.t }}"), steps},
      {"SharedTuplesAsKey", Growing("ns.s = (ns.s, ns.s)", "{{ {ns.s: 1} }}"), "unhashable"},
      {"DeepList", Growing("ns.s = [ns.s]", "{{ ns.s }}", 100000), nesting},
      {"NamespaceInItself", "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", levels},
      {"GeneratorChain", Growing("ns.s = ns.s | map('string')", "{{ ns.s | list }}", 90000),
       levels},
      {"Output", "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}", text},
      {"OutputInMacros",
       "{% macro m() %}{% set a %}{{ 'x' * 1000000 }}{{ m() }}{% endset %}{% endmacro %}{{ m() }}",
       text},
      {"HeldConcatenations",
       "{{ " + Repeat("('x' * 8000000) ~ (", 60) + "1" + Repeat(")", 60) + " }}",
       "more than 268435456 bytes"},
      {"ManyArguments", "{% macro m() %}{{ m(*varargs) }}{% endmacro %}{{ m(*range(100000)) }}",
       "more than 10000 arguments"},
      {"Parentheses", "{{ " + Repeat("(", 100000) + "1" + Repeat(")", 100000) + " }}", nesting},
      {"Lists", "{{ " + Repeat("[", 100000) + Repeat("]", 100000) + " }}", nesting},
      {"Nots", "{{ " + Repeat("not ", 100000) + "1 }}", nesting},
      {"Signs", "{{ " + Repeat("-", 100000) + "1 }}", nesting},
      {"Sums", "{{ " + Repeat("1+", 100000) + "1 }}", nesting},
      {"Filters", "{{ 1" + Repeat("|string", 100000) + " }}", nesting},
      {"Attributes", "{{ a" + Repeat(".b", 100000) + " }}", nesting},
      {"Blocks", Repeat("{% if 1 %}", 20000) + Repeat("{% endif %}", 20000), nesting},
      {"Branches", "{% if 0 %}" + Repeat("{% elif 0 %}", 50000) + "{% endif %}", nesting},
      {"RepeatedText", "{{ 'x' * 10 ** 12 }}", text},
      {"RepeatedList", "{{ [1] * 10 ** 12 }}", steps},
      {"Width", "{{ '%999999999d' % 1 }}", text},
      {"WidthFromArgument", "{{ '%*d' % (10 ** 20, 1) }}", text},
      {"BraceWidth", "{{ '{:999999999999}'.format(1) }}", text},
      {"GroupedZeros", "{{ '{:0999999999,}'.format(1) }}", text},
      {"Precision", "{{ '%.999999999f' % 1 }}", "precision too big"},
      {"Ljust", "{{ 'x'.ljust(10 ** 15) }}", text},
      {"Indent", "{{ 'a' | indent(10 ** 14) }}", text},
      {"JsonIndent", "{{ [1] | tojson(indent=10000) }}", "an indent of more than 256 bytes"},
      {"Replace", "{{ ('a' * 10 ** 6) | replace('a', 'b' * 10 ** 6) }}", text},
      {"Join", "{{ range(100000) | join('x' * 10 ** 6) }}", text},
      {"Search",
       "{% for i in range(1000) %}{{ ('b' ~ 'a' * 4000000) in 'a' * 8000000 }}{% endfor %}", steps},
      {"Slices", "{{ [1] | slice(10 ** 12) | list }}", "more than"},
      {"Batch", "{{ [1] | batch(10 ** 12, 0) | list }}", steps},
      {"Power", "{{ 10 ** 10 ** 10 }}", bits},
      {"LowestInteger", "{{ -(2 ** 126) * 2 }}", bits},
      {"DeepJson", "{{ ('[' * 100000) | from_json }}", nesting},
  };
}

class HostileTemplateTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTemplateTest, IsAnError) {
  const auto parsed = ChatTemplate::Parse(GetParam().source);
  const Result<std::string> text =
      parsed.ok() ? parsed.value().RenderJson("{}", {}) : Result<std::string>(parsed.error());
  ASSERT_FALSE(text.ok()) << text.value().substr(0, 100);
  EXPECT_THAT(text.error().message, ::testing::HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(All, HostileTemplateTest, ::testing::ValuesIn(HostileTemplates()),
                         [](const auto& instance) { return instance.param.name; });

TEST(ChatTemplateLimits, LongChainsOfObjectsAreFreed) {
  for (const std::string source :
       {"{% set r = namespace() %}{% for i in range(90000) %}{% set r.x = namespace(x=r.x) %}"
        "{% endfor %}ok",
        "{% set r = namespace(x=[1]) %}{% for i in range(90000) %}{% set r.x = r.x|map('string') %}"
        "{% endfor %}ok"}) {
    const auto parsed = ChatTemplate::Parse(source);
    ASSERT_TRUE(parsed.ok());
    const auto text = parsed.value().RenderJson("{}", {});
    ASSERT_TRUE(text.ok()) << text.error().message;
    EXPECT_EQ(text.value(), "ok");
  }
}

// Values that hold each other; the address sanitizer tells if they are not freed.
TEST(ChatTemplateLimits, CyclesAreFreed) {
  const auto parsed = ChatTemplate::Parse(
      "{% set ns = namespace() %}{% macro m(x) %}{% macro n() %}{{ x }}{% endmacro %}"
      "{% set x.z = [n, m, x] %}{% endmacro %}{{ m(ns) }}"
      "{% for i in [1] %}{% set ns.l = [loop] %}{{ loop.changed([loop, ns]) }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  const auto text = parsed.value().RenderJson("{}", {});
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text.value(), "True");
}

// What a long conversation needs is far within the limits.
TEST(ChatTemplateLimits, LongConversationsRender) {
  const auto parsed = ChatTemplate::Parse(
      "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' + m['content'] | trim }}{% if loop.last %}!"
      "{% endif %}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  nlohmann::ordered_json context;
  for (int i = 0; i < 2000; ++i) {
    context["messages"].push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(2000, 'x')}});
  }
  const auto text = parsed.value().Render(context, {});
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_GT(text.value().size(), 4'000'000u);
}

}  // namespace
}  // namespace shoal
