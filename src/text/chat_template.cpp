#include "text/chat_template.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "text/jinja/arguments.h"
#include "text/jinja/template.h"
#include "text/model_folder.h"
#include "text/unicode.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// Midnight of "2024-07-26", with its day of the week and of the year.
std::tm parse_date(std::string_view date) {
  int year = 0;
  unsigned month = 0, day = 0;
  int read = 0;
  const std::string text(date);
  const int fields = std::sscanf(text.c_str(), "%4d-%2u-%2u%n", &year, &month, &day, &read);
  const std::chrono::year_month_day ymd{std::chrono::year(year), std::chrono::month(month),
                                        std::chrono::day(day)};
  if (fields != 3 || read != 10 || text.size() != 10 || !ymd.ok()) {
    fail(Exit::kUsage, "The date '{}' is no day in the form 2024-07-26 (run.date, --date).", date);
  }
  const std::time_t midnight = std::chrono::system_clock::to_time_t(std::chrono::sys_days(ymd));
  std::tm fields_of_day{};
  gmtime_r(&midnight, &fields_of_day);
  return fields_of_day;
}

std::string format_date(const std::tm& day, const std::string& format) {
  if (format.empty()) return "";
  std::string text(64, '\0');
  size_t size = 0;
  while ((size = std::strftime(text.data(), text.size(), format.c_str(), &day)) == 0 &&
         text.size() < 64 * format.size() + 4096) {
    text.resize(2 * text.size());
  }
  text.resize(size);
  return text;
}

jinja::Value make_strftime_now(const std::tm& day) {
  return jinja::make_function([day](const jinja::Arguments& arguments) -> jinja::Value {
    return format_date(day, jinja::Bound("strftime_now", arguments, {"format"}, 1).text(0));
  });
}

jinja::Value message_list(std::span<const ChatMessage> messages) {
  jinja::Values list;
  for (const ChatMessage& message : messages) {
    if (const auto broken = find_broken_utf8(message.content)) {
      fail(Exit::kUsage, "A {}'s message is not UTF-8: its byte {} of {} breaks it.", message.role,
           *broken, message.content.size());
    }
    jinja::Dict entry;
    entry.set("role", message.role);
    entry.set("content", message.content);
    list.push_back(std::make_shared<jinja::Dict>(std::move(entry)));
  }
  return jinja::make_list(std::move(list));
}

// A failure as one line: what a template raises may have several, and its own can be long.
std::string describe(const jinja::Failure& failure) {
  constexpr size_t kShown = 160;
  std::string text =
      fmt::format("{} (line {}: {}{})", failure.what, failure.line, failure.text.substr(0, kShown),
                  failure.text.size() > kShown ? "..." : "");
  std::ranges::replace(text, '\n', ' ');
  return replace_broken_utf8(text);
}

}  // namespace

ChatTemplate ChatTemplate::load(const fs::path& model_folder) {
  auto files = find_chat_template(model_folder);
  if (!files) {
    fail(Exit::kEnvironment,
         "There is no chat template: '{}' has no 'chat_template', and no chat_template.jinja lies "
         "beside it{}.",
         (model_folder / "tokenizer_config.json").string(),
         fs::exists(model_folder / "chat_template.json")
             ? " (chat_template.json is for processors of images or sound: put its text there)"
             : "");
  }
  SpecialTokens& tokens = files->tokens;
  const std::string bos = tokens["bos_token"], eos = tokens["eos_token"];
  std::erase_if(tokens, [](const auto& token) {
    return token.first == "bos_token" || token.first == "eos_token";
  });
  return {std::move(files->source), bos, eos, NamedTokens(tokens.begin(), tokens.end()),
          fmt::format("The chat template in '{}'", files->path.string())};
}

bool ChatTemplate::lies_in(const fs::path& model_folder) {
  try {
    return find_chat_template(model_folder).has_value();
  } catch (const Error&) {
    return true;  // load() says what is wrong
  }
}

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
                           NamedTokens more_tokens, std::string where)
    : eos_token_(std::move(eos_token)), where_(std::move(where)), tokens_(std::move(more_tokens)) {
  std::string hashed = source + '\0' + bos_token + '\0' + eos_token_;
  for (const auto& [name, text] : tokens_) {
    if (source.find(name) != std::string::npos) hashed += '\0' + name + '\0' + text;
  }
  hash_ = hash128_hex(hashed);
  tokens_.insert(tokens_.begin(), {{"bos_token", std::move(bos_token)}, {"eos_token", eos_token_}});
  std::erase_if(tokens_, [](const auto& token) { return token.second.empty(); });
  if (const auto broken = find_broken_utf8(source)) {
    fail(Exit::kEnvironment, "{} is not UTF-8: its byte {} breaks it.", where_, *broken);
  }
  try {
    template_ = std::make_shared<const jinja::Template>(source);
  } catch (const jinja::Failure& failure) {
    fail(Exit::kEnvironment, "{} cannot be followed: {}.", where_, describe(failure));
  }
}

std::string ChatTemplate::render(std::string_view user_message, std::string_view date) const {
  const ChatMessage message{"user", std::string(user_message)};
  return render(std::span(&message, 1), date, /*add_generation_prompt=*/true);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, std::string_view date,
                                 bool add_generation_prompt) const {
  const std::tm day = parse_date(date);
  std::map<std::string, jinja::Value> variables = {
      {"messages", message_list(messages)},
      {"tools", jinja::None{}},
      {"documents", jinja::None{}},
      {"add_generation_prompt", add_generation_prompt},
      {"strftime_now", make_strftime_now(day)},
  };
  if (date != kTemplateDate) variables["date_string"] = format_date(day, "%d %b %Y");
  for (const auto& [name, text] : tokens_) variables[name] = text;
  try {
    return template_->render(std::move(variables));
  } catch (const jinja::Failure& failure) {
    fail(Exit::kEnvironment, "{} cannot be rendered: {}.", where_, describe(failure));
  }
}

std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view user_message, std::string_view date) {
  return tokenizer.encode(chat_template.render(user_message, date), /*add_special_tokens=*/false);
}

}  // namespace kvcomm
