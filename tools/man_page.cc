#include <fmt/format.h>

#include "tools/cli_pages.h"

namespace shoal {

namespace {

// Text as troff takes it literally: no macro at a line's begin, no escapes, hyphens to copy.
std::string Roff(const std::string& text) {
  std::string escaped;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) escaped += "\\&";
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
    line_begins = c == '\n';
  }
  return escaped;
}

std::string FullName(const CliCommand& command, const char* separator) {
  return command.path.empty()
             ? "shoal"
             : fmt::format("shoal{}{}", separator, JoinWords(command.path, separator));
}

std::string Synopsis(const CliCommand& command) {
  std::string line = fmt::format(".B {}\n", Roff(FullName(command, " ")));
  bool options = false;
  for (const CliOption& option : command.options) options |= !option.positional;
  if (options) line += "[\\fIOPTIONS\\fR]\n";
  for (const CliOption& option : command.options) {
    if (!option.positional) continue;
    const std::string name = Roff(option.names[0]);
    line +=
        option.required ? fmt::format("\\fI{}\\fR\n", name) : fmt::format("[\\fI{}\\fR]\n", name);
  }
  if (!command.commands.empty()) line += "\\fICOMMAND\\fR ...\n";
  return line;
}

std::string OptionEntry(const CliOption& option) {
  std::string names;
  for (const std::string& name : option.names) {
    names += fmt::format("{}\\f{}{}\\fR", names.empty() ? "" : ", ", option.positional ? 'I' : 'B',
                         Roff(name));
  }
  if (!option.value.empty() && !option.positional) {
    names += fmt::format(" \\fI{}\\fR", Roff(option.value));
  }
  std::string text = Roff(option.description);
  if (!option.default_value.empty()) {
    text += fmt::format(" (default: {})", Roff(option.default_value));
  }
  if (option.required && !option.positional) text += " (required)";
  return fmt::format(".TP\n{}\n{}\n", names, text);
}

std::string Options(const CliCommand& command) {
  std::string text;
  for (const CliOption& option : command.options) text += OptionEntry(option);
  return text;
}

std::string Commands(const CliCommand& command) {
  std::string text;
  for (const CliCommand& below : command.commands) {
    text +=
        fmt::format(".TP\n\\fB{}\\fR\n{}\n", Roff(FullName(below, " ")), Roff(below.description));
  }
  return text;
}

}  // namespace

std::string ManPage(const CliCommand& command, const std::string& version) {
  const std::string name = FullName(command, "-");
  std::string page =
      fmt::format(".TH {} 1 \"\" \"{}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}", name,
                  Roff(version), Roff(name), Roff(command.description), Synopsis(command));
  if (command.path.empty()) {
    page += ".SH COMMANDS\n" + Commands(command);
  } else {
    for (const CliCommand* below : AllCommands(command)) {
      if (below == &command) continue;
      page += fmt::format(".SH {}\n{}\n.PP\n{}{}", Roff(FullName(*below, " ")),
                          Roff(below->description), Synopsis(*below), Options(*below));
    }
  }
  if (const std::string options = Options(command); !options.empty()) {
    page += ".SH OPTIONS\n" + options;
  }
  page +=
      ".SH EXIT STATUS\n0: done; 1: failed, standard error says why; 2: wrong usage; "
      "130: interrupted.\n.SH FILES\nState (keys, identities) lies in $SHOAL_STATE, else "
      "$XDG_STATE_HOME/shoal, else ~/.local/state/shoal; what can be made again in "
      "$XDG_CACHE_HOME/shoal, else ~/.cache/shoal.\n";
  if (!command.path.empty()) page += ".SH SEE ALSO\n.BR shoal (1)\n";
  return page;
}

}  // namespace shoal
