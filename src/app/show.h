// kvcomm show: one sample as every method answered it.
#pragma once

#include <string>

#include "base/error.h"

namespace CLI {
class App;
}

namespace kvcomm {

struct ShowArguments {
  std::string results;  // a results.h5 or all.h5, or a folder that holds a results.h5
  std::string dataset;  // "": the only one there
  std::string sample;   // its place in the evaluated order, or its id
};

void add_show_options(CLI::App& command, ShowArguments& arguments);

// Prints question, accepted answers and each cell's answer, score and bytes. Refused (kUsage) with
// what is there, where the file has no such data set or sample.
Exit show_command(const ShowArguments& arguments);

}  // namespace kvcomm
