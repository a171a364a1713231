#include "tools/cli_tree.h"

#include <fmt/format.h>

#include <utility>

namespace shoal {

namespace {

// Of a type as CLI11 writes a set, "TEXT:{self,off}", or names of numbers, "INT:value in {a->0} OR
// ...".
std::vector<std::string> Choices(const std::string& type) {
  std::vector<std::string> choices;
  const size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos) return choices;
  for (size_t begin = open + 1; begin < close;) {
    const size_t end = std::min(type.find(',', begin), close);
    choices.push_back(type.substr(begin, std::min(end, type.find("->", begin)) - begin));
    begin = end + 1;
  }
  return choices;
}

// Names instead of the numbers that they stand for; what else is taken comes after "}:".
std::string ShownType(const std::string& type, const std::vector<std::string>& choices) {
  if (type.find("->") == std::string::npos) return type;
  const size_t others = type.find("}:");
  const std::string names = fmt::format("{{{}}}", JoinWords(choices, ","));
  return others == std::string::npos ? names : names + " or " + type.substr(others + 2);
}

CliOption ReadOption(const CLI::Option& option) {
  CliOption read;
  for (const std::string& name : option.get_snames()) read.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) read.names.push_back("--" + name);
  read.positional = option.get_positional();
  if (read.positional) read.names = {option.get_name(true)};
  if (option.get_items_expected_max() > 0) read.value = option.get_type_name();
  read.choices = Choices(read.value);
  read.value = ShownType(read.value, read.choices);
  read.description = option.get_description();
  read.default_value = option.get_default_str();
  read.required = option.get_required();
  return read;
}

CliCommand ReadCommand(const CLI::App& app, std::vector<std::string> path) {
  CliCommand command;
  command.description = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) command.options.push_back(ReadOption(*option));
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;
    std::vector<std::string> below = path;
    below.push_back(sub->get_name());
    command.commands.push_back(ReadCommand(*sub, std::move(below)));
  }
  command.path = std::move(path);
  return command;
}

void Collect(const CliCommand& command, std::vector<const CliCommand*>& into) {
  into.push_back(&command);
  for (const CliCommand& below : command.commands) Collect(below, into);
}

}  // namespace

CliCommand ReadCliTree(const CLI::App& app) { return ReadCommand(app, {}); }

std::vector<const CliCommand*> AllCommands(const CliCommand& root) {
  std::vector<const CliCommand*> all;
  Collect(root, all);
  return all;
}

std::string JoinWords(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

}  // namespace shoal
