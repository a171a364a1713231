#include "tools/terminal.h"

#include <unistd.h>

#include <cstdio>

namespace shoal {

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::Show(const std::string& text) {
  if (!terminal_ || text == shown_) return;
  shown_ = text;
  std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  std::fflush(stderr);
}

void ProgressLine::Clear() {
  if (shown_.empty()) return;
  shown_.clear();
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

int Fail(const std::string& command, const Error& error) {
  std::fprintf(stderr, "shoal %s: %s\n", command.c_str(), error.message.c_str());
  return 1;
}

}  // namespace shoal
