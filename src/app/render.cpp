#include "app/render.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "plan/plan.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvcomm {
namespace {

std::string user_message(const std::string& given) {
  if (given != "-") return given;
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

}  // namespace

void add_render_options(CLI::App& command, RenderArguments& arguments) {
  command.add_option("model", arguments.model, "A model's folder, or its name below --models")
      ->required();
  command.add_option("--user", arguments.user, "The user's message (-: standard input)")
      ->required();
  command.add_option("--system", arguments.system, "A system's message before it");
  command.add_option("--date", arguments.date, "The day that the template prints")
      ->capture_default_str();
  command.add_option("--models", arguments.models, "The folder of the models")
      ->capture_default_str();
  command.add_flag("--tokens", arguments.tokens, "Print the tokens' ids too");
  command.footer("Example: kvcomm render org/name --user 'What is 2+2?' --tokens");
}

Exit render_command(const RenderArguments& arguments) {
  Config config;
  config.paths.models = arguments.models;
  const std::filesystem::path folder = model_folder(config, arguments.model);
  if (!std::filesystem::is_directory(folder)) {
    fail(Exit::kEnvironment,
         "There is no folder '{}': give a model's folder, or its name below --models.",
         folder.string());
  }
  std::vector<ChatMessage> messages;
  if (!arguments.system.empty()) messages.push_back({"system", arguments.system});
  messages.push_back({"user", user_message(arguments.user)});
  const std::string text = ChatTemplate::load(folder).render(messages, arguments.date,
                                                             /*add_generation_prompt=*/true);
  std::string output = text.ends_with('\n') ? text : text + "\n";
  if (arguments.tokens) {
    const auto tokenizer = Tokenizer::load(folder);
    output +=
        fmt::format("{}\n", fmt::join(tokenizer.encode(text, /*add_special_tokens=*/false), " "));
  }
  std::fwrite(output.data(), 1, output.size(), stdout);
  std::fflush(stdout);
  return Exit::kOk;
}

}  // namespace kvcomm
