#include "data/records.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace kvcomm {

namespace {

using nlohmann::json;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // the JSON parser passes over it
constexpr std::string_view kJsonSpace = " \t\r\n";

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kJsonSpace) == std::string_view::npos;
}

// The length of the UTF-8 character at the start of text; 0 where there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2   ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F;
  const bool beyond = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

// Parses text that begins on line first_line of file.
json parse(std::string_view text, const std::string& file, size_t first_line) {
  const auto line_of = [&](size_t byte) {
    return first_line + static_cast<size_t>(std::count(text.begin(), text.begin() + byte, '\n'));
  };
  const auto column_of = [&](size_t byte) { return byte - (text.substr(0, byte).rfind('\n') + 1); };
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text.substr(at));
    if (length == 0) {
      fail(Exit::kUsage, "{}:{} is no UTF-8 at byte {} of the line: convert the file to UTF-8.",
           file, line_of(at), column_of(at) + 1);
    }
    at += length;
  }
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    const size_t at = std::min(text.size(), std::max<size_t>(error.byte, 1) - 1);
    fail(Exit::kUsage, "{}:{} is cut off or no JSON: what stands at byte {} of the line {}.", file,
         line_of(at), column_of(at) + 1,
         at == text.size() ? "is its end" : "does not belong there");
  } catch (const json::out_of_range&) {
    fail(Exit::kUsage, "{}: a number on line {} or behind it is beyond a double's range.", file,
         first_line);
  }
}

void read_array(const std::filesystem::path& file, const std::function<void(const Record&)>& each) {
  const std::string name = file.filename().string();
  json records = parse(read_file(file), name, 1);
  for (size_t at = 0; at < records.size(); ++at) {
    each(Record(std::move(records[at]), fmt::format("{}[{}]", name, at)));
  }
}

void read_lines(std::ifstream& in, const std::filesystem::path& file,
                const std::function<void(const Record&)>& each) {
  const std::string name = file.filename().string();
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (is_blank(line)) continue;
    each(Record(parse(line, name, number), fmt::format("{}:{}", name, number)));
  }
  if (in.bad()) {
    fail(Exit::kUsage, "Reading '{}' broke off: {}.", file.string(), std::strerror(errno));
  }
}

// Leaves the stream at the file's start.
bool begins_an_array(std::ifstream& in) {
  std::string start(kByteOrderMark.size(), '\0');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  in.clear();
  if (start != kByteOrderMark) in.seekg(0);
  in >> std::ws;
  const bool array = in.peek() == '[';
  in.clear();
  in.seekg(0);
  return array;
}

}  // namespace

Record::Record(json fields, std::string place)
    : fields_(std::move(fields)), place_(std::move(place)) {
  if (fields_.is_object()) return;
  fail(Exit::kUsage, "{} is {}, a record {{\"name\": value, ...}} is needed.", place_,
       fields_.type_name());
}

const json& Record::field(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found != fields_.end()) return *found;
  std::vector<std::string> keys;
  for (const auto& item : fields_.items()) keys.push_back(item.key());
  fail(Exit::kUsage, "{} has no '{}'; its keys are {}.", place_, name,
       keys.empty() ? "none" : join(keys, ", "));
}

std::string Record::text_of(const json& value, std::string_view name) const {
  if (!value.is_string()) {
    fail(Exit::kUsage, "{}: '{}' is {}, a text is needed.", place_, name, value.type_name());
  }
  if (is_blank(value.get_ref<const std::string&>())) {
    fail(Exit::kUsage, "{}: '{}' is empty: correct the record or take it out.", place_, name);
  }
  return value.get<std::string>();
}

std::string Record::text(std::string_view name) const { return text_of(field(name), name); }

std::vector<std::string> Record::texts(std::string_view name) const {
  const json& values = field(name);
  if (!values.is_array() || values.empty()) {
    fail(Exit::kUsage, "{}: '{}' is {}, an array of at least one text is needed.", place_, name,
         values.is_array() ? "empty" : values.type_name());
  }
  std::vector<std::string> found;
  for (const json& value : values) found.push_back(text_of(value, name));
  return found;
}

std::string Record::id(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found == fields_.end()) return place_;
  return found->is_number_integer() ? found->dump() : text_of(*found, name);
}

void for_each_record(const std::filesystem::path& file,
                     const std::function<void(const Record&)>& each) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    fail(Exit::kUsage, "Cannot read '{}': it is a folder, a file is needed.", file.string());
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(Exit::kUsage, "Cannot read '{}': {}.", file.string(), std::strerror(errno));
  if (begins_an_array(in)) {
    read_array(file, each);
  } else {
    read_lines(in, file, each);
  }
}

}  // namespace kvcomm
