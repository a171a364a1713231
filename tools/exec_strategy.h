// A placement strategy that is a program: it reads the problem as JSON from stdin and answers with
// placements as JSON on stdout (docs/own-strategy.md). Its answer passes the same gate as any other
// strategy's.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "partitioner/strategy.h"

namespace shoal {

constexpr std::string_view kExecPrefix = "exec:";
constexpr size_t kMaxStrategyOutputBytes = 1 << 20;

// `command`: a program and its arguments, separated by spaces (there is no quoting); found by PATH
// if there is no slash in it. Place() blocks, for `timeout` at most. Errors of Place besides those
// of Strategy: kUnavailable (cannot be started, ended by a signal or another exit code than 0),
// kDeadlineExceeded (killed, with all that it started), kResourceExhausted (too much output),
// kInvalidArgument (what it printed is not an answer).
std::unique_ptr<Strategy> MakeExecStrategy(std::string command, std::chrono::milliseconds timeout);

}  // namespace shoal
