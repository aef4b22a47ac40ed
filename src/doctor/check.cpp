#include "doctor/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"

namespace kvcomm::doctor {

namespace {

constexpr std::array kStatuses = {"ok", "skipped", "warning", "failed"};
constexpr size_t kShown = 4;

const char* to_text(Status status) { return kStatuses.at(static_cast<size_t>(status)); }

// What several ranks found alike.
struct Finding {
  Check check;
  std::vector<std::string> ranks;  // "rank 3 on node2"
};

Check merged_of(const std::string& name, const std::vector<RankChecks>& ranks) {
  std::vector<Finding> findings;
  for (const RankChecks& rank : ranks) {
    for (const Check& check : rank.checks) {
      if (check.name != name) continue;
      auto alike = std::ranges::find_if(findings, [&](const Finding& finding) {
        return finding.check.status == check.status && finding.check.found == check.found;
      });
      if (alike == findings.end()) alike = findings.insert(findings.end(), {check, {}});
      alike->ranks.push_back(fmt::format("rank {} on {}", rank.rank, rank.host));
    }
  }
  if (findings.size() == 1) return findings.front().check;
  const auto status_of = [](const Finding& finding) { return finding.check.status; };
  const Status worst = status_of(*std::ranges::max_element(findings, {}, status_of));
  std::erase_if(findings, [&](const Finding& finding) { return status_of(finding) != worst; });
  Check check = findings.front().check;
  std::vector<std::string> sentences;
  for (const Finding& finding : findings) {
    sentences.push_back(few(finding.ranks, ", ") + ": " + finding.check.found);
  }
  check.found = few(sentences, "; ");
  return check;
}

template <typename Json>
void write(Json& json, const Check& check) {
  json = {{"name", check.name},
          {"status", to_text(check.status)},
          {"found", check.found},
          {"cure", check.cure}};
}

}  // namespace

void to_json(nlohmann::json& json, const Check& check) { write(json, check); }
void to_json(nlohmann::ordered_json& json, const Check& check) { write(json, check); }

void from_json(const nlohmann::json& json, Check& check) {
  const auto status = std::ranges::find(kStatuses, json.at("status").get<std::string>());
  check = {.name = json.at("name"),
           .status = static_cast<Status>(status - kStatuses.begin()),
           .found = json.at("found"),
           .cure = json.at("cure")};
}

std::string few(std::vector<std::string> parts, const std::string& separator) {
  const size_t more = parts.size() > kShown ? parts.size() - kShown : 0;
  parts.resize(parts.size() - more);
  return join(parts, separator) + (more == 0 ? "" : fmt::format("{}{} more", separator, more));
}

std::vector<Check> merged(const std::vector<RankChecks>& ranks) {
  std::vector<Check> all;
  std::set<std::string> names;
  for (const RankChecks& rank : ranks) {
    for (const Check& check : rank.checks) {
      if (names.insert(check.name).second) all.push_back(merged_of(check.name, ranks));
    }
  }
  return all;
}

Exit exit_of(const std::vector<Check>& checks) {
  const bool failed = std::ranges::count(checks, Status::kFailed, &Check::status) > 0;
  return failed ? Exit::kEnvironment : Exit::kOk;
}

std::string to_text(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  std::string lines, cures;
  for (const Check& check : checks) {
    lines +=
        fmt::format("{:<{}}  {:<7}  {}\n", check.name, width, to_text(check.status), check.found);
    if (!check.cure.empty()) cures += fmt::format("{}: {}\n", check.name, check.cure);
  }
  return lines + (cures.empty() ? "" : "\n" + cures);
}

std::string to_json_text(const std::vector<Check>& checks) {
  const nlohmann::ordered_json all = {{"exit_code", static_cast<int>(exit_of(checks))},
                                      {"checks", checks}};
  return all.dump(2, ' ', /*ensure_ascii=*/false,
                  nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

}  // namespace kvcomm::doctor
