// `kvcomm doctor`: whether a machine, or all nodes of a job, are fit for a sweep.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace kvcomm {

struct DoctorArguments {
  std::string file;  // a sweep's TOML; "": none
  std::vector<std::string> sets;
  std::string output;  // "": the sweep's own, else results
  bool json = false, quick = false;
};

void add_doctor_options(CLI::App& command, DoctorArguments& arguments);

// kEnvironment where a check failed.
Exit doctor_command(const DoctorArguments& arguments);

}  // namespace kvcomm
