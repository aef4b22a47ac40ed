// What a lane has in hand, in words for the log.
#pragma once

#include <string>

#include "plan/plan.h"
#include "tasks/messages.h"

namespace kvcomm {

// "4 samples of demo by kvcomm(ratio=0.5) and 2 more methods (pair tiny)"
std::string task_text(const Plan& plan, const Task& task);

}  // namespace kvcomm
