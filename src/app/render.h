// kvcomm render: what a model reads for one message, by its chat template.
#pragma once

#include <string>

#include "base/error.h"
#include "config/config.h"

namespace CLI {
class App;
}

namespace kvcomm {

struct RenderArguments {
  std::string model;  // a name below `models`, or a path
  std::string user;   // the message; "-": standard input
  std::string system;
  std::string date = RunConfig{}.date;
  std::string models = "models";
  bool tokens = false;  // the ids too: the folder needs its tokenizer.json then
};

void add_render_options(CLI::App& command, RenderArguments& arguments);

// The text, and a newline where it ends without one; with tokens, a line of ids behind it.
Exit render_command(const RenderArguments& arguments);

}  // namespace kvcomm
