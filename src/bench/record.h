// What a measurement leaves behind: a JSON file with program, machine and command line beside the
// numbers.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_model.h"
#include "bench/bench_wire.h"

namespace kvcomm::bench {

// Durations in seconds, rates a second.
nlohmann::ordered_json to_json(const ModelReport& report);
nlohmann::ordered_json to_json(const WireReport& report);

// Fails (kUsage) where a file of that name could not be written, or is there and is no such record.
// "": nothing is asked for.
void require_place_for_record(const std::filesystem::path& path);

// Writes the measurement with what describe_program() says. "": nothing.
void write_record(const std::filesystem::path& path, const std::vector<std::string>& argv,
                  const nlohmann::ordered_json& measured);

}  // namespace kvcomm::bench
