// What commands say on stderr while and after they work.
#pragma once

#include <string>

#include "base/result.h"

namespace shoal {

// Shows one changing line on stderr if it is a terminal; silent otherwise.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { Clear(); }
  void Show(const std::string& text);
  void Clear();

 private:
  bool terminal_;
  std::string shown_;
};

// "shoal COMMAND: message" on stderr; returns the exit code 1.
int Fail(const std::string& command, const Error& error);

}  // namespace shoal
