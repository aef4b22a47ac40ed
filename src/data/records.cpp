#include "data/records.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/nesting.h"
#include "base/text.h"
#include "base/utf8.h"

namespace kvcomm {

namespace {

using nlohmann::json;

constexpr std::string_view kJsonSpace = " \t\r\n";
constexpr int kEnd = std::char_traits<char>::eof();

// Where a piece of text begins in its file.
struct Start {
  const std::string& file;
  size_t line;      // from 1
  size_t byte = 0;  // bytes before it on that line
};

// The bare word that a byte of a JSON text belongs to where a value may begin: "-Infinity"; ""
// where it is of none.
std::string_view bare_word(std::string_view text, size_t at) {
  const auto is_part = [&](size_t i) {
    return i < text.size() &&
           (text[i] == '-' || std::isalpha(static_cast<unsigned char>(text[i])) != 0);
  };
  if (!is_part(at)) return "";
  size_t begin = at, end = at;
  while (begin > 0 && is_part(begin - 1)) --begin;
  while (is_part(end)) ++end;
  const bool is_value =
      begin == 0 || std::string_view(" \t\r\n:,[").find(text[begin - 1]) != std::string_view::npos;
  return is_value ? text.substr(begin, end - begin) : "";
}

// What to write for a value that other languages have and JSON has not (Python's json writes NaN
// and Infinity); "" where the word is none of these.
std::string cure_for(std::string_view word) {
  constexpr std::string_view kNothing[] = {"nan",      "-nan",      "inf",       "-inf",
                                           "infinity", "-infinity", "undefined", "none"};
  std::string small(word);
  std::ranges::transform(small, small.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::ranges::count(kNothing, small) > 0) return "null or leave the field out";
  return small == "true" || small == "false" || small == "null" ? small : "";
}

// A number that is beyond 64 bits becomes a double.
json parse(std::string_view text, const Start& start) {
  const auto line_of = [&](size_t at) {
    return start.line + static_cast<size_t>(std::count(text.begin(), text.begin() + at, '\n'));
  };
  const auto column_of = [&](size_t at) {  // from 1
    const size_t break_at = text.substr(0, at).rfind('\n');
    return break_at == std::string_view::npos ? start.byte + at + 1 : at - break_at;
  };
  if (const size_t deep = first_too_deep(text); deep < text.size()) {
    fail(Exit::kUsage, "{}:{} nests deeper than {} levels at byte {} of the line.", start.file,
         line_of(deep), kDeepestJson, column_of(deep));
  }
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    if (const auto broken = find_broken_utf8(text)) {
      fail(Exit::kUsage, "{}:{} is no UTF-8 at byte {} of the line: convert the file to UTF-8.",
           start.file, line_of(*broken), column_of(*broken));
    }
    const size_t at = std::min(text.size(), std::max<size_t>(error.byte, 1) - 1);
    const std::string_view word = bare_word(text, at);
    if (const std::string cure = cure_for(word); !cure.empty()) {
      fail(Exit::kUsage, "{}:{} holds {}, which is no JSON: write {}.", start.file, line_of(at),
           word, cure);
    }
    fail(Exit::kUsage, "{}:{} is cut off or no JSON: what stands at byte {} of the line {}.",
         start.file, line_of(at), column_of(at),
         at == text.size() ? "is its end" : "does not belong there");
  } catch (const json::out_of_range&) {
    fail(Exit::kUsage, "{}: a number on line {} or behind it is beyond a double's range.",
         start.file, start.line);
  }
}

// The first line of what follows; leaves the stream where it was.
std::string peek_line(std::ifstream& in) {
  constexpr size_t kLongest = 4096;
  const auto here = in.tellg();
  std::string line(kLongest, '\0');
  in.read(line.data(), kLongest);
  line.resize(static_cast<size_t>(in.gcount()));
  in.clear();
  in.seekg(here);
  return line.substr(0, line.find('\n'));
}

}  // namespace

// ---- Record

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

const json* Record::find(std::string_view name) const {
  // A field's own name may hold dots too: each is tried as the one that leads into it.
  const auto find_in = [](const auto& self, const json& object,
                          std::string_view wanted) -> const json* {
    if (!object.is_object()) return nullptr;
    if (const auto whole = object.find(wanted); whole != object.end()) return &*whole;
    for (size_t dot = wanted.find('.'); dot != std::string_view::npos;
         dot = wanted.find('.', dot + 1)) {
      const auto part = object.find(wanted.substr(0, dot));
      if (part == object.end()) continue;
      if (const json* found = self(self, *part, wanted.substr(dot + 1))) return found;
    }
    return nullptr;
  };
  return find_in(find_in, fields_, name);
}

std::vector<std::string> Record::names() const {
  std::vector<std::string> found;
  const auto add = [&](const auto& self, const json& object, const std::string& prefix) -> void {
    for (const auto& [key, value] : object.items()) {
      if (value.is_object()) {
        self(self, value, prefix + key + ".");
      } else {
        found.push_back(prefix + key);
      }
    }
  };
  add(add, fields_, "");
  return found;
}

bool Record::has_text(std::string_view name) const { return has(name) && field(name).is_string(); }

std::string Record::text_of(const json& value, std::string_view name) const {
  if (!value.is_string()) {
    fail(Exit::kUsage, "{}: '{}' is {}, a text is needed.", place_, name, value.type_name());
  }
  if (strip(value.get_ref<const std::string&>()).empty()) {
    fail(Exit::kUsage, "{}: '{}' is empty: correct the record or take it out.", place_, name);
  }
  return value.get<std::string>();
}

std::string Record::text(std::string_view name) const { return text_of(field(name), name); }

std::string Record::text_or_blank(std::string_view name) const {
  const json& value = field(name);
  return value.is_string() && strip(value.get_ref<const std::string&>()).empty()
             ? value.get<std::string>()
             : text_of(value, name);
}

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

// ---- RecordReader

RecordReader::RecordReader(std::filesystem::path file)
    : path_(std::move(file)), shown_(path_.string()), name_(path_.filename().string()) {
  std::error_code error;
  if (std::filesystem::is_directory(path_, error)) {
    fail(Exit::kUsage, "Cannot read '{}': it is a folder, a file is needed.", path_.string());
  }
  in_.open(path_, std::ios::binary);
  if (!in_) fail(Exit::kUsage, "Cannot read '{}': {}.", path_.string(), std::strerror(errno));
  if (peek_line(in_).starts_with(kByteOrderMark)) {
    byte_ = kByteOrderMark.size();
    in_.seekg(static_cast<std::streamoff>(byte_));
  }
  const int first = reading(path_, [&] { return skip_space(); });
  const std::string line = peek_line(in_);
  if (line.starts_with("PAR1")) {
    fail(Exit::kUsage,
         "'{}' is a Parquet file, JSON or CSV is needed: launch/fetch/data.py turns one into "
         "JSON lines.",
         path_.string());
  }
  array_ = first == '[';
  if (array_) {
    in_.get();
    ++byte_;
  } else if (first != '{' && line.find(',') != std::string::npos) {
    csv_.emplace(path_);
    columns_ = csv_->next()->cells;
  } else if (first != '{' && line.find_first_of("\t;") != std::string::npos) {
    fail(Exit::kUsage,
         "{}:1 has {} between its names; JSON, or CSV with commas, is needed: write the file anew.",
         name_, line.find('\t') == std::string::npos ? "semicolons" : "tabs");
  }
}

std::optional<Record> RecordReader::next() {
  std::optional<Record> record = reading(path_, [&] {
    return csv_ ? next_row() : array_ ? next_element() : next_line();
  });
  if (in_.bad()) {
    fail(Exit::kUsage, "Reading '{}' broke off: {}.", path_.string(), std::strerror(errno));
  }
  count_ += record.has_value();
  return record;
}

std::optional<Record> RecordReader::next_line() {
  std::string line;
  while (std::getline(in_, line)) {
    const Start start{shown_, line_, byte_};
    ++line_;
    byte_ = 0;
    if (line.find_first_not_of(kJsonSpace) == std::string::npos) continue;
    return Record(parse(line, start), fmt::format("{}:{}", name_, start.line));
  }
  return std::nullopt;
}

std::optional<Record> RecordReader::next_row() {
  std::optional<CsvRow> row = csv_->next();
  if (!row) return std::nullopt;
  std::string place = fmt::format("{}:{}", name_, row->line);
  if (row->cells.size() != columns_.size()) {
    fail(Exit::kUsage, "{} has {} cells, its file's first line names {} columns: {}.", place,
         row->cells.size(), columns_.size(), join(columns_, ", "));
  }
  json fields = json::object();
  for (size_t i = 0; i < columns_.size(); ++i) fields[columns_[i]] = std::move(row->cells[i]);
  return Record(std::move(fields), std::move(place));
}

// Passes over white space; what stands behind it.
int RecordReader::skip_space() {
  std::streambuf& bytes = *in_.rdbuf();
  int c = bytes.sgetc();
  for (; c == ' ' || c == '\t' || c == '\r' || c == '\n'; c = bytes.snextc()) {
    byte_ = c == '\n' ? 0 : byte_ + 1;
    line_ += c == '\n';
  }
  return c;
}

// The bytes up to the comma or bracket that ends an array's element, or to the file's end.
std::string RecordReader::element_text() {
  std::streambuf& bytes = *in_.rdbuf();
  std::string text;
  size_t depth = 0;
  bool quoted = false, escaped = false;
  for (int c = bytes.sgetc(); c != kEnd; c = bytes.snextc()) {
    if (quoted) {
      quoted = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']' || c == ',') {
      if (depth == 0) break;
      depth -= c != ',';
    }
    text += static_cast<char>(c);
    byte_ = c == '\n' ? 0 : byte_ + 1;
    line_ += c == '\n';
  }
  return text;
}

std::optional<Record> RecordReader::next_element() {
  if (ended_) return std::nullopt;
  const auto refuse = [&](int found) {
    fail(Exit::kUsage, "{}:{} is cut off or no JSON: what stands at byte {} of the line {}.",
         shown_, line_, byte_ + 1, found == kEnd ? "is its end" : "does not belong there");
  };
  std::optional<Record> record;
  const int first = skip_space();
  if (first != ']' || count_ > 0) {
    const Start start{shown_, line_, byte_};
    const std::string text = element_text();
    if (text.empty()) refuse(first);
    record.emplace(parse(text, start), fmt::format("{}[{}]", name_, count_));
  }
  const int behind = skip_space();
  if (behind != ',' && behind != ']') refuse(behind);
  in_.rdbuf()->sbumpc();
  ++byte_;
  ended_ = behind == ']';
  if (!ended_) return record;
  if (const int more = skip_space(); more != kEnd) refuse(more);
  return record;
}

Record read_record(const std::filesystem::path& file, const std::string& name) {
  const std::string shown = file.string();
  return Record(parse(read_file(file), {shown, 1}), name);
}

}  // namespace kvcomm
