// shoal render --template FILE --jsonl [--date YYYY-MM-DD]: contexts on stdin to rendered texts on
// stdout.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "model/text/chat_template.h"
#include "tools/commands.h"

namespace shoal {

namespace {

struct RenderOptions {
  std::string template_path;
  std::string date;
  bool json_lines = false;
};

Result<CivilDate> ParseDate(const std::string& text) {
  CivilDate date;
  int end = 0;
  const int fields =
      std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &date.year, &date.month, &date.day, &end);
  const std::chrono::year_month_day day(std::chrono::year(date.year),
                                        std::chrono::month(static_cast<unsigned>(date.month)),
                                        std::chrono::day(static_cast<unsigned>(date.day)));
  if (fields != 3 || static_cast<size_t>(end) != text.size() || !day.ok()) {
    return InvalidArgument("--date: expected YYYY-MM-DD, got '" + text + "'");
  }
  return date;
}

Status RunRender(const RenderOptions& options) {
  std::ifstream file(options.template_path, std::ios::binary);
  if (!file) return NotFound("cannot read " + options.template_path);
  const std::string source{std::istreambuf_iterator<char>(file), {}};
  const auto chat_template = ChatTemplate::Parse(source);
  CivilDate today = LocalToday();
  if (!options.date.empty()) {
    ASSIGN_OR_RETURN(today, ParseDate(options.date));
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    // A template that cannot be parsed renders no context: that is each line's error too.
    const Result<std::string> text = chat_template.ok()
                                         ? chat_template.value().RenderJson(line, today)
                                         : Result<std::string>(chat_template.error());
    const nlohmann::json answer =
        text.ok() ? nlohmann::json(text.value()) : nlohmann::json{{"error", text.error().message}};
    std::cout << answer.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << '\n'
              << std::flush;
  }
  if (!std::cout) return InternalError("cannot write the output");
  if (!chat_template.ok()) return chat_template.error().WithContext(options.template_path);
  return OkStatus();
}

}  // namespace

void AddRenderCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RenderOptions>();  // second owner: the callback
  CLI::App* command = app.add_subcommand("render", "Render a chat template");
  command->add_option("--template", options->template_path, "File with the Jinja2 template")
      ->required();
  command
      ->add_flag("--jsonl", options->json_lines,
                 "Each input line is a context, each output line a JSON string or "
                 "{\"error\": message}")
      ->required();
  command->add_option("--date", options->date,
                      "What strftime_now takes for today, as YYYY-MM-DD (default: the local date)");
  command->callback([options, &exit_code] {
    const Status status = RunRender(*options);
    if (!status.ok()) std::cerr << "shoal render: " << status.error().message << '\n';
    exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace shoal
