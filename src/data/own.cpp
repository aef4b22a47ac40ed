// Records of one's own, whose fields the configuration names.
#include "base/error.h"
#include "base/text.h"
#include "data/formats.h"

namespace kvcomm {

namespace {

using nlohmann::json;

// key: what the configuration calls it ("question").
const json& field(const Record& record, std::string_view dataset, std::string_view key,
                  const std::string& name) {
  if (const json* found = record.find(name)) return *found;
  const std::vector<std::string> names = record.names();
  fail(Exit::kUsage,
       "{} has no '{}', the {} of [[dataset]] '{}': set {} there to one of its fields, {}.{}",
       record.place(), name, key, dataset, key,
       names.empty() ? "of which it has none" : join(names, ", "), did_you_mean(name, names));
}

// The value itself, or the elements of a list; what is wanted where the list is empty.
std::vector<const json*> elements(const Record& record, const json& value, const std::string& name,
                                  std::string_view wanted) {
  if (!value.is_array()) return {&value};
  if (value.empty()) {
    fail(Exit::kUsage, "{}: '{}' is empty, {} is needed.", record.place(), name, wanted);
  }
  std::vector<const json*> found;
  for (const json& element : value) found.push_back(&element);
  return found;
}

std::string text_or_whole(const Record& record, const json& value, const std::string& name,
                          std::string_view wanted) {
  if (value.is_string()) return record.text_of(value, name);
  if (value.is_number_integer()) return value.dump();
  fail(Exit::kUsage, "{}: '{}' is {}, {} is needed.", record.place(), name,
       value.is_structured() ? value.type_name() : value.dump(), wanted);
}

}  // namespace

Sample read_own(const Record& record, std::string_view dataset, const OwnFields& fields) {
  constexpr std::string_view kId = "a text or a whole number",
                             kAnswers = "a text, a whole number or a list of these",
                             kContexts = "a text or a list of texts";
  const auto value = [&](std::string_view key, const std::string& name) -> const json& {
    return field(record, dataset, key, name);
  };
  Sample sample{.id = record.place()};
  if (!fields.id.empty()) {
    sample.id = text_or_whole(record, value("id", fields.id), fields.id, kId);
  }
  for (const std::string& name : fields.context) {
    for (const json* text : elements(record, value("context", name), name, kContexts)) {
      sample.contexts.push_back(record.text_of(*text, name));
    }
  }
  sample.question = record.text_of(value("question", fields.question), fields.question);
  const std::string& answers = fields.answers;
  for (const json* answer : elements(record, value("answers", answers), answers, kAnswers)) {
    sample.answers.push_back(text_or_whole(record, *answer, answers, kAnswers));
  }
  return sample;
}

}  // namespace kvcomm
