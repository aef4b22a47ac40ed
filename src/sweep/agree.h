// What all ranks do alike and may fail at alone: each tries, then all go on or all leave.
#pragma once

#include <exception>
#include <optional>

#include "base/error.h"
#include "comm/communicator.h"
#include "lane/topology.h"

namespace kvcomm {

// What the step threw; null: nothing.
template <typename Step>
std::exception_ptr attempt(Step&& step) {
  try {
    step();
    return nullptr;
  } catch (...) {  // every rank learns of it in agree()
    return std::current_exception();
  }
}

// Collective: every rank says how it fared. If one failed, all leave with its code and rank 0 logs
// its sentence. If one found nothing to do, all leave with kOk. Nothing: all go on.
std::optional<Exit> agree(Communicator& world, const std::exception_ptr& failure,
                          Seconds timeout_s = kTogether_s, bool nothing_to_do = false);

}  // namespace kvcomm
