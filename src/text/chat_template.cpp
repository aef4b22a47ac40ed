#include "text/chat_template.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <minja/minja.hpp>  // heavy: included here alone
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
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
    fail(Exit::kUsage, "The date '{}' is no day in the form 2024-07-26 (run.date).", date);
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

// Python's str.strip(): minja's own knows blank, tab, CR and LF only.
std::string strip(std::string_view text) {
  const auto is_space = [](char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); };
  while (!text.empty() && is_space(character_before(text, text.size()).value)) {
    text.remove_suffix(character_before(text, text.size()).size);
  }
  while (!text.empty() && is_space(character_at(text, 0).value)) {
    text.remove_prefix(character_at(text, 0).size);
  }
  return std::string(text);
}

minja::Value make_trim() {
  return minja::Value::callable(
      [](const std::shared_ptr<minja::Context>&, minja::ArgumentsValue& args) -> minja::Value {
        args.expectArgs("trim", {1, 1}, {0, 0});
        return args.args[0].is_null() ? args.args[0] : strip(args.args[0].get<std::string>());
      });
}

minja::Value make_strftime_now(const std::tm& day) {
  return minja::Value::callable(
      [day](const std::shared_ptr<minja::Context>&, minja::ArgumentsValue& args) -> minja::Value {
        args.expectArgs("strftime_now", {1, 1}, {0, 0});
        return format_date(day, args.args[0].get<std::string>());
      });
}

// Whether the white space after these bytes is stripped by a tag's '-'.
bool strips_what_follows(std::string_view before) {
  const size_t last = before.find_last_not_of(" \t\r\n");
  if (last == std::string_view::npos || last < 2) return false;
  const std::string_view tag_end = before.substr(last - 2, 3);
  return tag_end == "-}}" || tag_end == "-%}" || tag_end == "-#}";
}

// minja's lstrip_blocks also takes the indentation of an expression's line, which Jinja leaves:
// such indentation becomes an expression itself, "  {{ x }}" -> "{{ '  ' }}{{ x }}".
std::string keep_indentation(std::string_view source) {
  std::string kept;
  for (size_t at = 0; at < source.size();) {
    const bool line_starts = at == 0 || source[at - 1] == '\n';
    const size_t end = line_starts ? source.find_first_not_of(" \t", at) : at;
    const bool indents =
        end != std::string_view::npos && end > at && source.substr(end).starts_with("{{") &&
        !source.substr(end).starts_with("{{-") && !strips_what_follows(source.substr(0, at));
    if (indents) {
      kept += fmt::format("{{{{ '{}' }}}}", source.substr(at, end - at));
      at = end;
    } else {
      kept += source[at++];
    }
  }
  return kept;
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
  try {
    return {std::move(files->source), bos, eos, NamedTokens(tokens.begin(), tokens.end())};
  } catch (const Error& error) {
    throw Error(error.exit(), fmt::format("'{}': {}", files->path.string(), error.what()),
                error.where());
  }
}

bool ChatTemplate::lies_in(const fs::path& model_folder) {
  try {
    return find_chat_template(model_folder).has_value();
  } catch (const Error&) {
    return true;  // load() says what is wrong
  }
}

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
                           NamedTokens more_tokens)
    : bos_token_(std::move(bos_token)),
      eos_token_(std::move(eos_token)),
      more_tokens_(std::move(more_tokens)) {
  std::string decides = source + '\0' + bos_token_ + '\0' + eos_token_;
  for (const auto& [name, token] : more_tokens_) decides += '\0' + name + '\0' + token;
  hash_ = hash128_hex(decides);
  try {
    root_ = minja::Parser::parse(
        keep_indentation(source),
        {.trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false});
  } catch (const std::exception& error) {
    fail(Exit::kEnvironment, "The model's chat template cannot be parsed: {}", error.what());
  }
}

std::string ChatTemplate::render(std::string_view user_message, std::string_view date) const {
  const ChatMessage message{"user", std::string(user_message)};
  return render(std::span(&message, 1), date, /*add_generation_prompt=*/true);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, std::string_view date,
                                 bool add_generation_prompt) const {
  const std::tm day = parse_date(date);
  ordered_json list = ordered_json::array();
  for (const ChatMessage& message : messages) {
    if (const auto broken = find_broken_utf8(message.content)) {
      fail(Exit::kUsage, "A {}'s message is not UTF-8: its byte {} of {} breaks it.", message.role,
           *broken, message.content.size());
    }
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  try {
    const auto context = minja::Context::make(minja::Value(ordered_json{
        {"messages", std::move(list)},
        {"add_generation_prompt", add_generation_prompt},
        {"bos_token", bos_token_},
        {"eos_token", eos_token_},
        {"date_string", format_date(day, "%d %b %Y")},
    }));
    context->set("strftime_now", make_strftime_now(day));
    context->set("trim", make_trim());
    for (const auto& [name, token] : more_tokens_) context->set(name, token);
    return root_->render(context);
  } catch (const std::exception& error) {
    fail(Exit::kEnvironment, "The model's chat template fails on {} messages: {}", messages.size(),
         error.what());
  }
}

std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view user_message, std::string_view date) {
  return tokenizer.encode(chat_template.render(user_message, date), /*add_special_tokens=*/false);
}

}  // namespace kvcomm
