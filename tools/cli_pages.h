// Manual pages and shell completion, made from the command line's own definition, which is thus
// their only source. Pure.
#pragma once

#include <map>
#include <string>

#include "tools/cli_tree.h"

namespace shoal {

// One page of section 1, in man(7)'s macros: of the program, or of one of its commands with those
// below it.
std::string ManPage(const CliCommand& command, const std::string& version);

std::string BashCompletion(const CliCommand& root);
std::string ZshCompletion(const CliCommand& root);
std::string FishCompletion(const CliCommand& root);

// All of them, by where they are installed below the prefix's "share".
std::map<std::string, std::string> GeneratedFiles(const CliCommand& root,
                                                  const std::string& version);

}  // namespace shoal
