// kvcomm verify: whether a folder's results are right and complete.
#pragma once

#include <string>

#include "base/error.h"

namespace CLI {
class App;
}

namespace kvcomm {

struct VerifyArguments {
  std::string output;  // the folder, or a file in it
  bool json = false;
};

void add_verify_options(CLI::App& command, VerifyArguments& arguments);

// Prints what was checked, what is wrong and what is missing, or all as JSON.
Exit verify_command(const VerifyArguments& arguments);

}  // namespace kvcomm
