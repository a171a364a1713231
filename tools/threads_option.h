// The option that says how many threads compute.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace shoal {

// -t,--threads, for a number or a list of them; "auto" is 0, to be replaced by
// UsePerformanceCores().
template <typename Threads>
CLI::Option* AddThreadsOption(CLI::App& command, Threads& threads) {
  return command
      .add_option("-t,--threads", threads,
                  "Threads on this machine; local nodes take turns with them (default: auto, one "
                  "for each performance core)")
      ->transform(CLI::Transformer(std::map<std::string, int>{{"auto", 0}}))
      ->check(CLI::Range(0, 1024));
}

}  // namespace shoal
