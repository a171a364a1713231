#include <fmt/format.h>

#include <algorithm>

#include "tools/cli_pages.h"

namespace shoal {

namespace {

// "/keys/add"; the program itself is "".
std::string Place(const CliCommand& command) {
  std::string place;
  for (const std::string& word : command.path) place += "/" + word;
  return place;
}

// Within single quotes of any of the three shells.
std::string ShellQuoted(std::string text) {
  std::replace(text.begin(), text.end(), '\'', ' ');
  std::replace(text.begin(), text.end(), '\\', ' ');
  std::replace(text.begin(), text.end(), '\n', ' ');
  return "'" + text + "'";
}

std::string CommandNames(const CliCommand& command) {
  std::vector<std::string> names;
  for (const CliCommand& below : command.commands) names.push_back(below.path.back());
  return JoinWords(names, " ");
}

std::string OptionNames(const CliCommand& command) {
  std::vector<std::string> names;
  for (const CliOption& option : command.options) {
    if (!option.positional) names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return JoinWords(names, " ");
}

// "/keys | /keys/add | ...": the cases of a word that leads one command further down.
std::string Places(const CliCommand& root) {
  std::vector<std::string> places;
  for (const CliCommand* command : AllCommands(root)) {
    if (!command->path.empty()) places.push_back(Place(*command));
  }
  return JoinWords(places, " | ");
}

// zsh's "name:description", with the colons of names escaped (there are none).
std::string Described(const std::string& name, const std::string& description) {
  return ShellQuoted(fmt::format("{}:{}", name, description));
}

std::string FishCondition(const CliCommand& command) {
  if (command.path.empty()) return "__fish_use_subcommand";
  std::vector<std::string> parts;
  for (const std::string& word : command.path) {
    parts.push_back("__fish_seen_subcommand_from " + word);
  }
  if (!command.commands.empty()) {
    parts.push_back("not __fish_seen_subcommand_from " + CommandNames(command));
  }
  return JoinWords(parts, "; and ");
}

std::string FishOption(const CliOption& option, const std::string& condition) {
  std::string line = fmt::format("complete -c shoal -n {}", ShellQuoted(condition));
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value.empty()) line += " -r";
  if (!option.choices.empty()) line += " -f -a " + ShellQuoted(JoinWords(option.choices, " "));
  return fmt::format("{} -d {}\n", line, ShellQuoted(option.description));
}

}  // namespace

std::string BashCompletion(const CliCommand& root) {
  std::string places, values;
  for (const CliCommand* command : AllCommands(root)) {
    places += fmt::format("    '{}') commands='{}' options='{}' ;;\n", Place(*command),
                          CommandNames(*command), OptionNames(*command));
    for (const CliOption& option : command->options) {
      if (option.choices.empty() || option.positional) continue;
      std::vector<std::string> cases;
      for (const std::string& name : option.names) cases.push_back(Place(*command) + "/" + name);
      values += fmt::format("    {}) words='{}' ;;\n", JoinWords(cases, " | "),
                            JoinWords(option.choices, " "));
    }
  }
  return fmt::format(R"(# bash completion of shoal
_shoal() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} place= commands= options= words= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$place/${{COMP_WORDS[i]}}" in
      {}) place+=/${{COMP_WORDS[i]}} ;;
    esac
  done
  case "$place" in
{}  esac
  words=$commands
  [[ $word == -* ]] && words=$options
  case "$place/${{COMP_WORDS[COMP_CWORD - 1]}}" in
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _shoal shoal
)",
                     Places(root), places, values);
}

std::string ZshCompletion(const CliCommand& root) {
  std::string places;
  for (const CliCommand* command : AllCommands(root)) {
    std::vector<std::string> commands, options;
    for (const CliCommand& below : command->commands) {
      commands.push_back(Described(below.path.back(), below.description));
    }
    for (const CliOption& option : command->options) {
      if (option.positional) continue;
      for (const std::string& name : option.names) {
        options.push_back(Described(name, option.description));
      }
    }
    places += fmt::format("    '{}')\n      commands=({})\n      options=({}) ;;\n",
                          Place(*command), JoinWords(commands, " "), JoinWords(options, " "));
  }
  return fmt::format(R"(#compdef shoal
_shoal() {{
  local place= i
  local -a commands options
  for ((i = 2; i < CURRENT; ++i)); do
    case "$place/${{words[i]}}" in
      {}) place+=/${{words[i]}} ;;
    esac
  done
  case "$place" in
{}  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o option options
  elif (( $#commands )); then
    _describe command commands
  else
    _files
  fi
}}
_shoal "$@"
)",
                     Places(root), places);
}

std::string FishCompletion(const CliCommand& root) {
  std::string script = "# fish completion of shoal\n";
  for (const CliCommand* command : AllCommands(root)) {
    const std::string condition = FishCondition(*command);
    for (const CliCommand& below : command->commands) {
      script += fmt::format("complete -c shoal -f -n {} -a {} -d {}\n", ShellQuoted(condition),
                            below.path.back(), ShellQuoted(below.description));
    }
    for (const CliOption& option : command->options) {
      if (!option.positional) script += FishOption(option, condition);
    }
  }
  return script;
}

std::map<std::string, std::string> GeneratedFiles(const CliCommand& root,
                                                  const std::string& version) {
  std::map<std::string, std::string> files = {
      {"man/man1/shoal.1", ManPage(root, version)},
      {"bash-completion/completions/shoal", BashCompletion(root)},
      {"zsh/vendor-completions/_shoal", ZshCompletion(root)},
      {"fish/vendor_completions.d/shoal.fish", FishCompletion(root)},
  };
  for (const CliCommand& command : root.commands) {
    files[fmt::format("man/man1/shoal-{}.1", command.path.back())] = ManPage(command, version);
  }
  return files;
}

}  // namespace shoal
