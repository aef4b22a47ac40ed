// kvcomm bench: what the wire and a model do beside what this machine can.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace CLI {
class App;
}

namespace kvcomm {

// Adds `bench` with its own subcommands; the chosen one becomes the action. argv: the whole command
// line, for the record.
void add_bench(CLI::App& app, const std::vector<std::string>& argv, std::function<Exit()>& action);

}  // namespace kvcomm
