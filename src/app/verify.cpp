#include "app/verify.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/commands.h"
#include "app/tables.h"
#include "sweep/verify.h"

namespace kvcomm {

namespace {

uint64_t unchecked_of(const Check& check) {
  uint64_t sum = 0;
  for (const auto& [why, count] : check.unchecked) sum += count;
  return sum;
}

uint64_t wrong_of(const Check& check) { return check.wrong.size() + check.more_wrong; }

const char* verdict(Exit code) {
  switch (code) {
    case Exit::kOk:
      return "right and complete";
    case Exit::kSomeFailed:
      return "right, but not complete";
    default:
      return "wrong";
  }
}

// A head and its sentences, a line each; "" without any.
std::string list_text(const std::string& head, const std::vector<std::string>& sentences) {
  if (sentences.empty()) return "";
  std::string text = "\n" + head + "\n";
  for (const std::string& sentence : sentences) text += "- " + sentence + "\n";
  return text;
}

std::vector<std::string> first(const std::vector<std::string>& sentences) {
  std::vector<std::string> some(sentences.begin(),
                                sentences.begin() + std::min(Check::kMostNamed, sentences.size()));
  if (sentences.size() > some.size()) {
    some.push_back(fmt::format("and {} more", sentences.size() - some.size()));
  }
  return some;
}

std::string verified_text(const Verified& verified) {
  std::vector<std::vector<std::string>> rows{{"what", "checked", "wrong", "not checked"}};
  std::vector<std::string> wrong, unchecked;
  for (const Check& check : verified.checks) {
    rows.push_back({check.what, std::to_string(check.checked), std::to_string(wrong_of(check)),
                    std::to_string(unchecked_of(check))});
    wrong.insert(wrong.end(), check.wrong.begin(), check.wrong.end());
    if (check.more_wrong > 0) {
      wrong.push_back(fmt::format("and {} more {}", check.more_wrong, check.what));
    }
    for (const auto& [why, count] : check.unchecked) {
      unchecked.push_back(fmt::format("{} of {}: {}", count, check.what, why));
    }
  }
  return text_table(rows) + list_text("Wrong:", wrong) +
         list_text("Missing:", first(verified.missing)) +
         list_text("Not checked:", first(unchecked)) + list_text("Beside:", first(verified.notes)) +
         fmt::format("\n{}\n", verdict(verified.exit()));
}

nlohmann::ordered_json verified_json(const Verified& verified) {
  nlohmann::ordered_json json{{"verdict", verdict(verified.exit())},
                              {"checks", nlohmann::ordered_json::array()},
                              {"missing", verified.missing},
                              {"notes", verified.notes}};
  for (const Check& check : verified.checks) {
    json["checks"].push_back({{"what", check.what},
                              {"checked", check.checked},
                              {"wrong", wrong_of(check)},
                              {"findings", check.wrong},
                              {"unchecked", check.unchecked}});
  }
  return json;
}

}  // namespace

void add_verify_options(CLI::App& command, VerifyArguments& arguments) {
  command.add_option("output", arguments.output, "The folder that sweeps wrote to")->required();
  command.add_flag("--json", arguments.json, "All of it as JSON");
  command.footer("Example: kvcomm verify results/sweep");
}

Exit verify_command(const VerifyArguments& arguments) {
  const Verified verified = verify(swept_folder(arguments.output));
  const std::string text =
      arguments.json
          ? verified_json(verified).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                "\n"
          : verified_text(verified);
  std::fputs(text.c_str(), stdout);
  return verified.exit();
}

}  // namespace kvcomm
