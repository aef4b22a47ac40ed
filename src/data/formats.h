// How a record of each data set's file becomes a sample: which fields are context, question,
// answers.
#pragma once

#include "data/dataset.h"
#include "data/records.h"

namespace kvcomm {

// {id, person, landmark, country, prompt_A (context), prompt_B (question), y (answer)}
Sample read_countries(const Record& record);

// {prompt_A (context), prompt_B (question), options, label (answer), attitudes}
Sample read_tipsheets(const Record& record);

// {id, context, question, answers: [..]}: the demo's own
Sample read_demo(const Record& record);

}  // namespace kvcomm
