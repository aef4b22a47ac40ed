// str.format() and %, with the forms that a chat template can want; others are refused by name.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/jinja/methods.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(fmt::format(format, std::forward<Args>(args)...));
}

// How a value is to be written: of both languages, as far as they agree.
struct Form {
  std::string fill = " ";
  char align = '\0';  // '<' '>' '^'; none: texts to the left, numbers to the right
  std::string flags;  // of printf
  size_t width = 0;
  bool zeros = false;  // fill it, between sign and digits; not where aligned to the left
  int precision = -1;
  char type = '\0';
};

int64_t read_number(std::string_view text, size_t& at) {
  int number = 0;
  const auto read = std::from_chars(text.data() + at, text.data() + text.size(), number);
  if (read.ec == std::errc::result_out_of_range || number > 100000) {
    refuse("'{}' asks for too wide a text", text);
  }
  at = static_cast<size_t>(read.ptr - text.data());
  return number;
}

std::string padded(const std::string& text, const Form& form, char otherwise) {
  const size_t size = decode_utf8(text).size();
  if (size >= form.width) return text;
  const size_t lacking = form.width - size;
  const char align = form.align ? form.align : otherwise;
  const size_t before = align == '<' ? 0 : align == '>' ? lacking : lacking / 2;
  const auto times = [&](size_t n) {
    std::string all;
    for (size_t i = 0; i < n; ++i) all += form.fill;
    return all;
  };
  return times(before) + text + times(lacking - before);
}

std::string cut(const std::string& text, int precision) {
  const std::u32string all = decode_utf8(text);
  return precision < 0 || static_cast<size_t>(precision) >= all.size()
             ? text
             : encode_utf8(std::u32string_view(all).substr(0, static_cast<size_t>(precision)));
}

template <typename Number>
std::string printed(const Form& form, const char* size, Number number) {
  std::string format = "%" + form.flags;
  if (form.precision >= 0) format += fmt::format(".{}", form.precision);
  format += size;
  format += form.type;
  const int length = std::snprintf(nullptr, 0, format.c_str(), number);
  std::string text(static_cast<size_t>(length) + 1, '\0');
  std::snprintf(text.data(), text.size(), format.c_str(), number);
  text.pop_back();
  return text;
}

// Zeros go between the sign and the digits.
std::string with_zeros(const std::string& number, const Form& form) {
  const size_t sign = number.find_first_of("-+ ") == 0 ? 1 : 0;
  const size_t lacking = form.width > number.size() ? form.width - number.size() : 0;
  return number.substr(0, sign) + std::string(lacking, '0') + number.substr(sign);
}

std::string number_text(const Value& value, const Form& form) {
  const bool whole = form.type == 'd';
  const double* number = std::get_if<double>(&value);
  std::string text;
  if (whole) {
    const int64_t held = number ? static_cast<int64_t>(*number) : to_integer(value);
    text = printed(form, "l", held);
  } else {
    text = printed(form, "", number ? *number : static_cast<double>(to_integer(value)));
  }
  const bool zeros = form.zeros && form.align != '<';
  return zeros ? with_zeros(text, form) : padded(text, form, '>');
}

// ---- str.format()

// [[fill]align][0][width][.precision][type]
Form brace_form(const std::string& spec) {
  Form form;
  const std::u32string all = decode_utf8(spec);
  const auto is_align = [](char32_t c) { return c == U'<' || c == U'>' || c == U'^'; };
  size_t at = 0;
  if (all.size() > 1 && is_align(all[1])) {
    form.fill = encode_utf8(all.substr(0, 1));
    form.align = static_cast<char>(all[1]);
    at = form.fill.size() + 1;
  } else if (!all.empty() && is_align(all[0])) {
    form.align = static_cast<char>(all[0]);
    at = 1;
  }
  if (at < spec.size() && (spec[at] == '+' || spec[at] == ' ')) form.flags = spec[at++];
  form.zeros = at < spec.size() && spec[at] == '0' && !form.align;
  if (form.zeros) ++at;
  if (at < spec.size() && spec[at] >= '0' && spec[at] <= '9') {
    form.width = static_cast<size_t>(read_number(spec, at));
  }
  if (at < spec.size() && spec[at] == '.') {
    form.precision = static_cast<int>(read_number(spec, ++at));
  }
  if (at < spec.size()) form.type = spec[at++];
  if (at != spec.size()) refuse("the format '{}' is not followed", spec);
  return form;
}

std::string formatted(const Value& value, const std::string& spec) {
  if (spec.empty()) return to_text(value);
  Form form = brace_form(spec);
  const bool is_number = value.is<int64_t>() || value.is<double>();
  if (value.text() && (form.type == '\0' || form.type == 's') && !form.zeros &&
      form.flags.empty()) {
    return padded(cut(*value.text(), form.precision), form, '<');
  }
  if (value.is<int64_t>() && form.type == '\0' && form.precision < 0) form.type = 'd';
  const std::string_view types = value.is<double>() ? "fFeEgG" : "dfFeEgG";
  const bool known = form.type != '\0' && types.find(form.type) != std::string_view::npos;
  if (!is_number || !known)
    refuse("the format '{}' of a {} is not followed", spec, type_name(value));
  return number_text(value, form);
}

// Of the fields of one format: which argument is next.
struct Fields {
  const Arguments& arguments;
  size_t next = 0;

  const Value& argument(const std::string& name) {
    const bool is_place = std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
    if (is_place) {
      size_t at = 0;
      const auto place = name.empty() ? next++ : static_cast<size_t>(read_number(name, at));
      if (place < arguments.positional.size()) return arguments.positional[place];
      refuse("Replacement index {} out of range for positional args tuple", place);
    }
    for (const auto& [key, value] : arguments.named) {
      if (key == name) return value;
    }
    refuse("the format names '{}', which is no argument", name);
  }

  // "name.attribute[item]!r:spec"
  std::string text(const std::string& field) {
    const size_t colon = std::min(field.find(':'), field.size());
    std::string path = field.substr(0, colon);
    char conversion = '\0';
    if (path.size() > 1 && path[path.size() - 2] == '!') {
      conversion = path.back();
      path.resize(path.size() - 2);
    }
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, at));
    while (at < path.size()) {
      const bool dot = path[at] == '.';
      const size_t end =
          dot ? std::min(path.find_first_of(".[", at + 1), path.size()) : path.find(']', at);
      if (end == std::string::npos) refuse("the format's field '{}' is not closed", field);
      const std::string key = path.substr(at + 1, end - at - 1);
      const bool is_place = !dot && !key.empty() && key.find_first_not_of("0123456789") == key.npos;
      size_t zero = 0;
      value =
          dot ? attribute(value, key) : item(value, is_place ? Value(read_number(key, zero)) : key);
      at = end + (dot ? 0 : 1);
    }
    if (conversion == 'r') value = repr(value);
    if (conversion == 's') value = to_text(value);
    const std::string spec = colon < field.size() ? field.substr(colon + 1) : "";
    if (spec.find('{') != std::string::npos) refuse("the format '{}' is not followed", spec);
    return formatted(value, spec);
  }
};

}  // namespace

std::string format_braces(std::string_view format, const Arguments& arguments) {
  Fields fields{arguments};
  std::string made;
  for (size_t at = 0; at < format.size(); ++at) {
    const char c = format[at];
    const bool doubled = at + 1 < format.size() && format[at + 1] == c;
    if (c != '{' && c != '}') {
      made += c;
    } else if (doubled) {
      made += c;
      ++at;
    } else {
      const size_t end = format.find('}', at);
      if (c == '}' || end == std::string_view::npos) {
        refuse("a single '{}' stands in the format '{}'", c, format);
      }
      made += fields.text(std::string(format.substr(at + 1, end - at - 1)));
      at = end;
    }
  }
  return made;
}

namespace {

// "%5.2f" behind its '%' or "(name)": flags, width, precision, type. `at` is left at the type.
Form percent_form(std::string_view format, size_t& at) {
  Form form;
  for (; at < format.size() && std::string_view("-+ 0").find(format[at]) != std::string_view::npos;
       ++at) {
    if (format[at] == '-') form.align = '<';
    if (format[at] == '0') form.zeros = true;
    if (format[at] == '+' || format[at] == ' ') form.flags += format[at];
  }
  form.width = static_cast<size_t>(read_number(format, at));
  if (at < format.size() && format[at] == '.') {
    form.precision = static_cast<int>(read_number(format, ++at));
  }
  if (at >= format.size()) refuse("the format '{}' ends too early", format);
  form.type = format[at] == 'i' || format[at] == 'u' ? 'd' : format[at];
  return form;
}

std::string formatted(const Value& value, const Form& form) {
  if (form.type == 's' || form.type == 'r') {
    const std::string text = form.type == 's' ? to_text(value) : repr(value);
    return padded(cut(text, form.precision), form, '>');
  }
  if (std::string_view("dfFeEgG").find(form.type) == std::string_view::npos) {
    refuse("the format '%{}' is not followed", form.type);
  }
  return number_text(value, form);
}

}  // namespace

std::string format_percent(std::string_view format, const Value& values) {
  const Sequence* sequence = values.sequence();
  const bool is_tuple = sequence && sequence->kind == Sequence::Kind::kTuple;
  const Values given = is_tuple ? sequence->items : Values{values};
  size_t used = 0;
  std::string made;
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      made += format[at];
      continue;
    }
    const Value* value = nullptr;
    if (++at < format.size() && format[at] == '(') {
      const size_t end = std::min(format.find(')', at), format.size());
      const std::string_view name = format.substr(at + 1, end - at - 1);
      value = values.dict() ? values.dict()->find(name) : nullptr;
      if (!value) refuse("the format '{}' names '{}', which is not given", format, name);
      at = std::min(end + 1, format.size());
    }
    const Form form = percent_form(format, at);
    if (form.type == '%') {
      made += '%';
      continue;
    }
    if (!value) {
      if (used == given.size()) refuse("not enough arguments for the format '{}'", format);
      value = &given[used++];
    }
    made += formatted(*value, form);
  }
  const bool is_mapping = values.dict() || (sequence && sequence->kind == Sequence::Kind::kList);
  if (used < given.size() && !is_mapping) {
    refuse("not all arguments converted during string formatting");
  }
  return made;
}

}  // namespace kvcomm::jinja
