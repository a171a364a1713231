// Proves that chat templates render as Jinja2 renders them: golden files of published templates,
// some 1,500 small templates that Jinja2 itself rendered (tests/data/make_jinja_cases.py), and the
// contract of chat_template.h by hand-written cases.
#include "model/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

constexpr CivilDate kToday = {2026, 1, 15};

Json ReadJson(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return Json::parse(file);
}

Result<std::string> RenderText(const std::string& source, const std::string& context = "{}") {
  ASSIGN_OR_RETURN(const ChatTemplate parsed, ChatTemplate::Parse(source));
  return parsed.RenderJson(context, kToday);
}

// The text, or "error: " and the message.
std::string Shown(const Result<std::string>& result) {
  return result.ok() ? result.value() : "error: " + result.error().message;
}

// Whether the result is what Jinja2 made: the same text, the same raise_exception, or an error too.
void ExpectAsJinja(const Result<std::string>& ours, const Json& output, const std::string& kind,
                   const std::string& message) {
  if (!output.is_null()) {
    EXPECT_EQ(Shown(ours), output.get<std::string>());
  } else if (kind == "raise_exception") {
    ASSERT_FALSE(ours.ok()) << ours.value();
    EXPECT_EQ(ours.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(ours.error().message, message);
  } else {
    EXPECT_FALSE(ours.ok()) << "Jinja2 fails with " << kind << ": " << message
                            << "\nours: " << ours.value();
  }
}

TEST(ChatTemplateGolden, PublishedTemplates) {
  const std::filesystem::path folder = std::filesystem::path(SHOAL_TEST_DATA) / "chat-templates";
  size_t rendered = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const Json golden = ReadJson(file.path());
    const auto parsed = ChatTemplate::Parse(golden["template"].get<std::string>());
    ASSERT_TRUE(parsed.ok()) << file.path() << ": " << parsed.error().message;
    for (const Json& one : golden["cases"]) {
      SCOPED_TRACE(file.path().filename().string() + ", " + one["name"].get<std::string>());
      const Json output = one.contains("output") ? one["output"] : Json();
      const std::string kind = one.value("kind", "");
      const std::string message = one.value("error", "");
      ExpectAsJinja(parsed.value().Render(one["context"], kToday), output, kind, message);
      ExpectAsJinja(parsed.value().RenderJson(one["context"].dump(), kToday), output, kind,
                    message);
      ++rendered;
    }
  }
  EXPECT_EQ(rendered, 408u);
}

TEST(ChatTemplateGolden, SmallTemplatesAsJinja2) {
  const Json cases = ReadJson(std::filesystem::path(SHOAL_TEST_DATA) / "jinja_cases.json");
  // Not through a Json value, which has no integers of more than 64 bits.
  std::ifstream file(std::filesystem::path(SHOAL_TEST_DATA) / "jinja_cases.json");
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find("{\"data\": ") + 9;
  const size_t chat = line.find(", \"chat\": ");
  ASSERT_NE(chat, std::string::npos);
  const std::string data_context = line.substr(begin, chat - begin);
  const std::string chat_context = cases["contexts"]["chat"].dump();
  EXPECT_GT(cases["cases"].size(), 1400u);
  for (const Json& one : cases["cases"]) {
    SCOPED_TRACE(one[0].get<std::string>());
    const std::string& context = one[1] == "data" ? data_context : chat_context;
    const bool failed = one[2].is_null();
    ExpectAsJinja(RenderText(one[0].get<std::string>(), context), one[2],
                  failed ? one[3].get<std::string>() : "", failed ? one[4].get<std::string>() : "");
  }
}

TEST(ChatTemplateTest, ContextKeepsOrderAndTypes) {
  const auto parsed = ChatTemplate::Parse("{{ d }} {{ d | tojson }}");
  ASSERT_TRUE(parsed.ok());
  const Json context = Json::parse(R"({"d": {"z": 1, "a": 1.0, "m": [true, null, "é"]}})");
  EXPECT_EQ(
      Shown(parsed.value().Render(context, kToday)),
      R"({'z': 1, 'a': 1.0, 'm': [True, None, 'é']} {"z": 1, "a": 1.0, "m": [true, null, "é"]})");
}

TEST(ChatTemplateTest, IntegersOfMoreThan64Bits) {
  const std::string context =
      R"({"n": 170141183460469231731687303715884105727, "u": 18446744073709551615})";
  EXPECT_EQ(Shown(RenderText("{{ n }} {{ u + 1 }}", context)),
            "170141183460469231731687303715884105727 18446744073709551616");
  EXPECT_THAT(Shown(RenderText("{{ n + 1 }}", context)), HasSubstr("128 bits"));
  EXPECT_THAT(Shown(RenderText("", R"({"n": 170141183460469231731687303715884105728})")),
              HasSubstr("128 bits"));
}

TEST(ChatTemplateTest, RaiseExceptionGivesExactlyTheMessage) {
  const auto result =
      RenderText("\n\n{% if true %}{{ raise_exception('Only \"user\"!') }}{% endif %}");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.error().message, "Only \"user\"!");
}

TEST(ChatTemplateTest, OtherErrorsNameTheLine) {
  const auto result = RenderText("a\nb\n{{ messages[0].content }}");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(result.error().message, "line 3: 'messages' is undefined");
  EXPECT_EQ(Shown(RenderText("{% macro m() %}\n{{ 1 + 'a' }}{% endmacro %}\n\n{{ m() }}")),
            "error: line 2: unsupported operand type(s) for +: 'int' and 'str'");
}

TEST(ChatTemplateTest, SyntaxErrorsNameTheLine) {
  for (const auto& [source, message] : std::vector<std::pair<std::string, std::string>>{
           {"a\n{% if x %}", "line 2: the template ends where 'endif' is expected"},
           {"\n\n{{ 1 +\n}}", "line 4: unexpected '}}'"},
           {"{% nope %}", "line 1: unknown tag 'nope'"},
           {"\n{{ x | nope }}", "line 2: No filter named 'nope'."},
           {"{% block a %}{% endblock %}", "line 1: the tag 'block' is not supported"}}) {
    const auto parsed = ChatTemplate::Parse(source);
    ASSERT_FALSE(parsed.ok()) << source;
    EXPECT_EQ(parsed.error().message, message);
  }
}

TEST(ChatTemplateTest, BadInputIsAnError) {
  EXPECT_FALSE(ChatTemplate::Parse("\xff").ok());
  EXPECT_FALSE(ChatTemplate::Parse(std::string(TemplateLimits::kMaxTemplateBytes + 1, 'a')).ok());
  for (const std::string context :
       {"", "[]", "5", "{", "{\"a\": 1} x", "{\"a\": \"\xff\"}", "{\"a\": \"\\ud800\"}"}) {
    EXPECT_THAT(Shown(RenderText("x", context)), StartsWith("error: context: ")) << context;
  }
  const auto parsed = ChatTemplate::Parse("x");
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed.value().Render(Json::array(), kToday).ok());
  EXPECT_FALSE(parsed.value().Render(Json{{"a", "\xff"}}, kToday).ok());
  EXPECT_FALSE(parsed.value().Render(Json::object(), {2026, 13, 1}).ok());
}

TEST(ChatTemplateTest, DateHasItsWeekday) {
  const auto parsed = ChatTemplate::Parse("{{ strftime_now('%A %-d %B %Y, day %j, %H:%M') }}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(Shown(parsed.value().Render(Json::object(), {2024, 2, 29})),
            "Thursday 29 February 2024, day 060, 00:00");
  EXPECT_EQ(Shown(parsed.value().Render(Json::object(), {2000, 12, 31})),
            "Sunday 31 December 2000, day 366, 00:00");
}

TEST(ChatTemplateTest, RendersFromSeveralThreads) {
  const auto parsed = ChatTemplate::Parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for x in l %}{{ m(x) ~ 'const' }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  const Json context = {{"l", {1, 2, 3}}};
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) text = Shown(parsed.value().Render(context, kToday));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, "<1>const<2>const<3>const");
}

}  // namespace
}  // namespace shoal
