#include "tools/doctor_firewall.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "tools/run_program.h"

namespace shoal {

namespace {

using Json = nlohmann::json;

constexpr const char* kTools[] = {"nft", "iptables-save"};
// Where administrators' programs are, also for users whose PATH lacks them.
constexpr const char* kFolders[] = {"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"};

// Whether no packet passes the rule: it does not ask anything before it drops or rejects.
bool StopsEverything(const Json& rule) {
  const Json& steps = rule.at("expr");
  for (const Json& step : steps) {
    if (step.contains("drop") || step.contains("reject")) return true;
    if (!step.contains("counter") && !step.contains("log")) return false;
  }
  return false;
}

std::optional<std::string> PathOf(const std::string& tool) {
  for (const char* folder : kFolders) {
    std::error_code ignored;
    std::string path = fmt::format("{}/{}", folder, tool);
    if (std::filesystem::exists(path, ignored)) return path;
  }
  return std::nullopt;
}

Result<std::vector<std::string>> ClosedChainsBy(const std::string& tool, const std::string& path) {
  const std::atomic<bool> stop = false;
  const bool is_nft = tool == "nft";
  std::vector<std::string> words = {path};
  if (is_nft) words.insert(words.end(), {"-j", "list", "ruleset"});
  ASSIGN_OR_RETURN(const std::string said, RunProgram(
                                               words, [] {}, stop));
  if (is_nft) return ClosedNftChains(said);
  return ClosedIptablesChains(said);
}

}  // namespace

Result<std::vector<std::string>> ClosedNftChains(const std::string& ruleset_json) {
  std::map<std::string, bool> closed;  // by the name of a chain for what comes in
  const auto name_of = [](const Json& of, const char* chain) {
    return fmt::format("nftables ({} {} {})", of.at("family").get<std::string>(),
                       of.at("table").get<std::string>(), of.at(chain).get<std::string>());
  };
  try {
    const Json list = Json::parse(ruleset_json);
    for (const Json& entry : list.at("nftables")) {
      if (entry.contains("chain") && entry["chain"].value("hook", "") == "input") {
        closed[name_of(entry["chain"], "name")] = entry["chain"].value("policy", "") == "drop";
      } else if (entry.contains("rule") && StopsEverything(entry["rule"])) {
        const auto chain = closed.find(name_of(entry["rule"], "chain"));
        if (chain != closed.end()) chain->second = true;
      }
    }
  } catch (const Json::exception& failed) {
    return InvalidArgument(fmt::format("not a list of rules: {}", failed.what()));
  }
  std::vector<std::string> names;
  for (const auto& [name, is_closed] : closed) {
    if (is_closed) names.push_back(name);
  }
  return names;
}

std::vector<std::string> ClosedIptablesChains(const std::string& saved) {
  std::istringstream lines(saved);
  bool is_closed = false;
  for (std::string line, table; std::getline(lines, line);) {
    if (line.rfind('*', 0) == 0) table = line;
    if (table != "*filter") continue;
    for (const char* closing : {":INPUT DROP", "-A INPUT -j DROP", "-A INPUT -j REJECT"}) {
      is_closed = is_closed || line.rfind(closing, 0) == 0;
    }
  }
  if (!is_closed) return {};
  return {"iptables (INPUT)"};
}

Firewalls FindFirewalls() {
  Firewalls found;
  std::ifstream ufw("/etc/ufw/ufw.conf");
  for (std::string line; std::getline(ufw, line);) {
    if (line == "ENABLED=yes") found.on.emplace_back("ufw");
  }
  std::error_code ignored;
  if (std::filesystem::exists("/run/firewalld", ignored)) found.on.emplace_back("firewalld");
  for (const char* tool : kTools) {
    const std::optional<std::string> path = PathOf(tool);
    if (!path) continue;
    const Result<std::vector<std::string>> closed = ClosedChainsBy(tool, *path);
    found.unread = found.unread || (!closed.ok() && ::geteuid() != 0);
    if (closed.ok()) found.on.insert(found.on.end(), closed->begin(), closed->end());
  }
  return found;
}

}  // namespace shoal
