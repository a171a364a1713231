// A command line's definition as its manual pages and completions need it: visible commands and
// options, in order.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

struct CliOption {
  std::vector<std::string> names;  // "-t", "--threads"; of a positional, its one name
  std::string value;               // "TEXT", "INT:[1 - 64]"; empty: a flag
  std::string description;
  std::string default_value;
  std::vector<std::string> choices;  // if only these are taken
  bool positional = false;
  bool required = false;
};

struct CliCommand {
  std::vector<std::string> path;  // below the program: {"keys", "add"}
  std::string description;
  std::vector<CliOption> options;
  std::vector<CliCommand> commands;
};

CliCommand ReadCliTree(const CLI::App& app);

// `root` and all that is below it, parents first.
std::vector<const CliCommand*> AllCommands(const CliCommand& root);

std::string JoinWords(const std::vector<std::string>& words, std::string_view separator);

}  // namespace shoal
