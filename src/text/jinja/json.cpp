// The filter tojson, as transformers replaces Jinja's: json.dumps() without its escapes for HTML.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

struct Writer {
  bool ascii = false, sort = false;
  std::optional<std::string> indent;  // of one level
  std::string between = ", ", after_key = ": ";
  std::string out;

  void write_text(const std::string& text) {
    out += '"';
    for (const char32_t c : decode_utf8(text)) write_character(c);
    out += '"';
  }

  void write_character(char32_t c) {
    constexpr std::u32string_view kShort = U"\"\\\b\f\n\r\t";
    const auto code = static_cast<uint32_t>(c);
    if (const size_t at = kShort.find(c); at != std::u32string_view::npos) {
      out += '\\';
      out += "\"\\bfnrt"[at];
    } else if (code >= 0x10000 && ascii) {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                         0xDC00 + ((code - 0x10000) & 0x3FF));
    } else if (code < 0x20 || (code > 0x7E && ascii && code != 0x7F)) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += encode_utf8({&c, 1});
    }
  }

  void new_line(size_t level) {
    if (!indent) return;
    out += '\n';
    for (size_t i = 0; i < level; ++i) out += *indent;
  }

  std::string key_text(const Value& key) {
    if (const std::string* text = key.text()) return *text;
    const bool plain = is_integer(key) || key.is<double>() || key.is<None>();
    if (!plain) throw TemplateError("keys must be str, int, float, bool or None");
    Writer writer;
    writer.write(key, 0);
    return writer.out;
  }

  void write_dict(const Dict& dict, size_t level) {
    if (dict.items.empty()) {
      out += "{}";
      return;
    }
    auto items = dict.items;
    if (sort) {
      std::ranges::stable_sort(
          items, [](const auto& a, const auto& b) { return compare(a.first, b.first) < 0; });
    }
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += between;
      new_line(level + 1);
      write_text(key_text(items[i].first));
      out += after_key;
      write(items[i].second, level + 1);
    }
    new_line(level);
    out += '}';
  }

  void write_list(const Values& items, size_t level) {
    if (items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += between;
      new_line(level + 1);
      write(items[i], level + 1);
    }
    new_line(level);
    out += ']';
  }

  void write_number(double number) {
    out += std::isnan(number)   ? "NaN"
           : std::isinf(number) ? (number < 0 ? "-Infinity" : "Infinity")
                                : repr(number);
  }

  void write(const Value& value, size_t level) {
    const Sequence* sequence = value.sequence();
    const bool is_list = sequence && (sequence->kind == Sequence::Kind::kList ||
                                      sequence->kind == Sequence::Kind::kTuple);
    if (const std::string* text = value.text()) return write_text(*text);
    if (const Dict* dict = value.dict()) return write_dict(*dict, level);
    if (is_list) return write_list(sequence->items, level);
    if (const double* number = std::get_if<double>(&value)) return write_number(*number);
    if (const bool* flag = std::get_if<bool>(&value)) {
      out += *flag ? "true" : "false";
    } else if (value.is<None>()) {
      out += "null";
    } else if (is_integer(value)) {
      out += repr(value);
    } else {
      throw TemplateError(
          fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }
};

}  // namespace

Value to_json(const Value& input, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Writer writer;
  writer.ascii = bound.truth(0, false);
  writer.sort = bound.truth(3, false);
  if (const Value* indent = bound.some(1)) {
    writer.indent = indent->text()
                        ? *indent->text()
                        : std::string(static_cast<size_t>(std::max<int64_t>(
                                          0, std::min<int64_t>(1000, to_integer(*indent)))),
                                      ' ');
    writer.between = ",";
  }
  if (const Value* separators = bound.some(2)) {
    const Values both = iterate(*separators);
    if (both.size() != 2 || !both[0].text() || !both[1].text()) {
      throw TemplateError("tojson() takes two texts as its separators");
    }
    writer.between = *both[0].text();
    writer.after_key = *both[1].text();
  }
  writer.write(input, 0);
  return writer.out;
}

}  // namespace kvcomm::jinja
