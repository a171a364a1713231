// `shoal doctor`: looks for what goes wrong in practice, and says what to do.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tools/cache_folder.h"
#include "tools/commands.h"
#include "tools/doctor_judge.h"
#include "tools/doctor_probe.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"
#include "tools/tunnel_ends.h"

namespace shoal {

namespace {

struct DoctorOptions {
  std::vector<std::string> nodes;
  std::vector<std::string> servers;
  std::string state;
  bool json = false;
};

const char* LevelName(DoctorLevel level) {
  switch (level) {
    case DoctorLevel::kGood: return "good";
    case DoctorLevel::kWarning: return "warning";
    case DoctorLevel::kProblem: return "problem";
  }
  return "";
}

void PrintFindingsJson(const DoctorFindings& findings, bool ok) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const DoctorFinding& finding : findings) {
    checks.push_back({{"check", finding.check},
                      {"level", LevelName(finding.level)},
                      {"says", finding.says},
                      {"advice", finding.advice}});
  }
  const nlohmann::ordered_json report = {{"ok", ok}, {"checks", std::move(checks)}};
  fmt::print("{}\n", report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintLines(const DoctorFindings& findings) {
  for (const DoctorFinding& finding : findings) {
    fmt::print("{:<8} {:<10} {}\n", LevelName(finding.level), finding.check, finding.says);
    if (!finding.advice.empty()) fmt::print("{:<19} -> {}\n", "", finding.advice);
  }
}

// Whether there is no problem.
Result<bool> Examine(const DoctorOptions& options) {
  DoctorQuestion question;
  for (const auto& [option, texts] :
       {std::pair{"--node", &options.nodes}, {"--server", &options.servers}}) {
    for (const std::string& text : *texts) {
      ASSIGN_OR_RETURN(question.peers.emplace_back(), TcpAddress(option, text));
    }
  }
  ASSIGN_OR_RETURN(question.state_folder, StateFolder(options.state));
  question.disks.push_back(question.state_folder);
  if (const std::string cache = CacheFolder(); !cache.empty()) question.disks.push_back(cache);
  const DoctorFindings findings = Judge(Probe(question));
  const bool ok = std::none_of(findings.begin(), findings.end(), [](const DoctorFinding& finding) {
    return finding.level == DoctorLevel::kProblem;
  });
  if (options.json) {
    PrintFindingsJson(findings, ok);
  } else {
    PrintLines(findings);
  }
  return ok;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command =
      app.add_subcommand("doctor", "Find what goes wrong on this device and its network");
  command->add_option("--node", options->nodes, "HOST:PORT of a node to dial; may be repeated");
  command->add_option("--server", options->servers,
                      "HOST:PORT of a server to dial, and to compare clocks with");
  command->add_option("--state", options->state, "State folder");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    const Result<bool> ok = Examine(*options);
    exit_code = !ok.ok() ? Fail("doctor", ok.error()) : *ok ? 0 : 1;
  });
}

}  // namespace shoal
