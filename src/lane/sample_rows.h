// Rows of an exchange: what is known of its samples before and after they are answered.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "comm/receive_end.h"
#include "config/config.h"
#include "method/method.h"
#include "store/rows.h"

namespace kvcomm {

// A row a sample, not yet answered: what it is, and what came for it over the wires by their
// ledgers' count.
std::vector<SampleRow> sample_rows(const Batch& batch, const Method& method,
                                   std::span<ReceiveEnd* const> wires,
                                   const DatasetConfig& dataset);

// Gives a row its answer, and its scores against the accepted ones.
void score_row(SampleRow& row, std::string answer, const std::string& metric,
               const std::vector<std::string>& accepted);

// Takes a row's answer and score away.
void mark_failed(SampleRow& row);

}  // namespace kvcomm
