// The published forms of records: how each is recognised, and which of its fields become context,
// question and answers (official_behaviour.md, 8, 15, 17).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "data/dataset.h"
#include "data/records.h"

namespace kvcomm {

struct Form {
  std::string_view what;        // for messages: "HotpotQA's own JSON"
  bool (*fits)(const Record&);  // by the fields it has, whatever is wrong with them
  // Its contexts are the texts that senders share. None: a record that the data set leaves out.
  std::optional<Sample> (*read)(const Record&);
};

extern const Form kCountries;  // {id, prompt_A (context), prompt_B (question), y (answer)}
extern const Form kTipsheets;  // {prompt_A, prompt_B, label (answer)}
extern const Form kDemo;       // {id, context, question, answers}
extern const Form kHotpot;  // {_id, context: [[title, [sentence]]], supporting_facts: [[title, i]]}
extern const Form
    kHotpotHub;  // {id, context: {title, sentences}, supporting_facts: {title, sent_id}}
extern const Form kTwoWiki;       // HotpotQA's with evidences: recognised to be refused
extern const Form kMusique;       // {id, paragraphs, question, answer, answer_aliases, answerable}
extern const Form kScrolls;       // {id, pid, input (question, blank line, text), output}
extern const Form kLongBench;     // {input, context, answers, dataset, _id}
extern const Form kLongBenchHub;  // {question, context, answers, task}: instructions within
extern const Form
    kRepoBench;             // v1.1: {repo_name, context, file_path, cropped_code, next_line, ...}
extern const Form kSamsum;  // {id, dialogue, summary}
extern const Form kTmath;   // {socratic_questions (context), problem, solution}

// All of them; where two fit a record, the first is meant.
std::span<const Form* const> all_forms();

// A record of one's own, all its texts as contexts. Fails (kUsage) where one of the fields is
// missing or of another type.
Sample read_own(const Record& record, std::string_view dataset, const OwnFields& fields);

// Which of LongBench's data sets a record of its forms belongs to; "" where it does not say.
std::string longbench_part(const Record& record);

}  // namespace kvcomm
