#include "text/jinja/filters.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "text/jinja/arguments.h"
#include "text/jinja/methods.h"
#include "text/jinja/sequence_filters.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

// ---- texts

Value trim(const Value& input, const Arguments& arguments) {
  const Bound bound("trim", arguments, {"chars"});
  std::optional<std::string_view> set;
  if (bound.some(0)) set = bound.text(0);
  return strip(to_text(input), Side::kBoth, set);
}

template <auto kFunction>
Value of_text(const Value& input, const Arguments& arguments) {
  const Bound none("this filter", arguments, {});
  return kFunction(to_text(input));
}

// Words begin behind white space, hyphens and opening brackets: not where str.title() begins them.
std::string title_words(std::string_view text) {
  std::u32string word;
  std::string all;
  const auto end_word = [&] {
    if (word.empty()) return;
    all += upper(encode_utf8(word.substr(0, 1))) + lower(encode_utf8(word.substr(1)));
    word.clear();
  };
  for (const char32_t c : decode_utf8(text)) {
    const bool separates =
        is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string::npos;
    if (separates) {
      end_word();
      all += encode_utf8({&c, 1});
    } else {
      word += c;
    }
  }
  end_word();
  return all;
}

Value replace_filter(const Value& input, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  return replace(to_text(input), to_text(*bound[0]), to_text(*bound[1]),
                 bound.some(2) ? bound.integer(2, 0) : -1);
}

Value indent(const Value& input, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  const Value width = bound[0] ? *bound[0] : Value(4);
  const std::string space = width.text() ? *width.text() : to_text(reckon("*", " ", width));
  const bool blank = bound.truth(2, false);
  std::string made;
  bool first = true;
  if (!input.text()) throw TemplateError("indent takes a text, not " + type_name(input));
  for (const std::string& line : split_lines(*input.text() + "\n", /*keep_ends=*/false)) {
    if (!first) made += "\n" + (blank || !line.empty() ? space : "");
    made += line;
    first = false;
  }
  return bound.truth(1, false) ? space + made : made;
}

Value truncate(const Value& input, const Arguments& arguments) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t most = bound.integer(0, 255), leeway = bound.some(3) ? bound.integer(3, 5) : 5;
  const std::string end = bound.text(2, "...");
  if (length(input) <= most + leeway) return input;
  const int64_t room = most - length(end);
  if (room < 0) throw TemplateError("truncate() takes a length of at least its end's");
  const Value kept = slice(input, None{}, room, None{});
  if (bound.truth(1, false)) return to_text(kept) + end;
  return split(to_text(kept), " ", 1, Side::kRight).front() + end;
}

Value word_count(const Value& input, const Arguments&) {
  int64_t words = 0;
  bool inside = false;
  for (const char32_t c : decode_utf8(to_text(input))) {
    const bool part = c == U'_' || is_alphabetic(c) || is_numeric(c);
    words += part && !inside;
    inside = part;
  }
  return words;
}

Value center(const Value& input, const Arguments& arguments) {
  const int64_t width = Bound("center", arguments, {"width"}).integer(0, 80);
  return std::get<std::shared_ptr<Object>>(*find_method(to_text(input), "center"))
      ->call({.positional = {width}, .named = {}});
}

Value format_filter(const Value& input, const Arguments& arguments) {
  if (arguments.named.empty())
    return format_percent(to_text(input), make_tuple(arguments.positional));
  if (!arguments.positional.empty()) {
    throw TemplateError("format() takes arguments by place or by name, not both");
  }
  Dict named;
  for (const auto& [name, value] : arguments.named) named.set(name, value);
  return format_percent(to_text(input), std::make_shared<Dict>(std::move(named)));
}

Value mark_safe(const Value& input, const Arguments&) { return Text{to_text(input), true}; }

Value escape(const Value& input, const Arguments&) {
  const Text* text = std::get_if<Text>(&input);
  return text && text->markup ? input : Value(Text{escape_html(to_text(input)), true});
}

Value force_escape(const Value& input, const Arguments&) {
  return Text{escape_html(to_text(input)), true};
}

Value to_string(const Value& input, const Arguments&) {
  return input.text() ? input : Value(to_text(input));
}

// ---- numbers

// Python's int() or float() of a text; none where it raises ValueError.
std::optional<double> read_float(const std::string& text) {
  const std::string bare = strip(text, Side::kBoth, std::nullopt);
  if (!is_ascii(bare)) throw TemplateError("digits beyond ASCII are not followed");
  const char* start = bare.data() + (bare.starts_with('+') ? 1 : 0);
  double number = 0;
  const auto read = std::from_chars(start, bare.data() + bare.size(), number);
  const bool whole = read.ec == std::errc() && read.ptr == bare.data() + bare.size();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<int64_t> read_integer(const std::string& text) {
  const std::string bare = strip(text, Side::kBoth, std::nullopt);
  const char* start = bare.data() + (bare.starts_with('+') ? 1 : 0);
  int64_t number = 0;
  const auto read = std::from_chars(start, bare.data() + bare.size(), number);
  if (read.ec == std::errc::result_out_of_range) {
    throw TemplateError("whole numbers beyond 64 bits are not followed");
  }
  const bool whole = read.ec == std::errc() && read.ptr == bare.data() + bare.size();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<double> float_of(const Value& input) {
  if (const std::string* text = input.text()) return read_float(*text);
  if (const double* number = std::get_if<double>(&input)) return *number;
  if (is_integer(input) || input.is<Undefined>()) return static_cast<double>(to_integer(input));
  return std::nullopt;
}

Value to_int(const Value& input, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  if (bound.integer(1, 10) != 10) throw TemplateError("int() with a base is not followed");
  if (is_integer(input)) return to_integer(input);
  if (const std::string* text = input.text()) {
    if (const auto number = read_integer(*text)) return *number;
  }
  const auto number = float_of(input);
  if (number && std::abs(*number) < 9e18) return static_cast<int64_t>(*number);
  return bound[0] ? *bound[0] : Value(0);
}

Value to_float(const Value& input, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  if (const auto number = float_of(input)) return *number;
  return bound[0] ? *bound[0] : Value(0.0);
}

Value round_filter(const Value& input, const Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"});
  const int64_t precision = bound.integer(0, 0);
  const std::string method = bound.text(1, "common");
  if (precision < 0 || precision > 300) throw TemplateError("this precision is not followed");
  const auto number = float_of(input);
  if (!number || input.text()) throw TemplateError("round() takes a number");
  if (method == "common") {
    if (is_integer(input)) return to_integer(input);
    return std::stod(fmt::format("{:.{}f}", *number, precision));
  }
  if (method != "ceil" && method != "floor") {
    throw TemplateError("method must be common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return (method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale;
}

Value absolute(const Value& input, const Arguments&) {
  if (const double* number = std::get_if<double>(&input)) return std::abs(*number);
  return to_integer(input) < 0 ? negate(input) : Value(to_integer(input));
}

// ---- any value

Value default_value(const Value& input, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  const bool lacks = input.is<Undefined>() || (bound.truth(1, false) && !truth(input));
  return !lacks ? input : bound[0] ? *bound[0] : Value("");
}

Value attribute_filter(const Value& input, const Arguments& arguments) {
  const Bound bound("attr", arguments, {"name"}, 1);
  if (input.dict() && !find_method(input, bound.text(0))) {
    return Undefined{fmt::format("'dict object' has no attribute '{}'", bound.text(0))};
  }
  return attribute(input, bound.text(0));
}

const std::map<std::string_view, Filter> kFilters = {
    {"abs", absolute},
    {"attr", attribute_filter},
    {"batch", batch},
    {"capitalize", of_text<capitalize>},
    {"center", center},
    {"count", length_filter},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", sort_dict},
    {"e", escape},
    {"escape", escape},
    {"first", first},
    {"float", to_float},
    {"forceescape", force_escape},
    {"format", format_filter},
    {"indent", indent},
    {"int", to_int},
    {"items", items_of_dict},
    {"join", join_filter},
    {"last", last},
    {"length", length_filter},
    {"list", list_of},
    {"lower", of_text<lower>},
    {"map", map_filter},
    {"max", largest},
    {"min", smallest},
    {"reject", reject},
    {"rejectattr", reject_attribute},
    {"replace", replace_filter},
    {"reverse", reverse},
    {"round", round_filter},
    {"safe", mark_safe},
    {"select", select},
    {"selectattr", select_attribute},
    {"slice", slices},
    {"sort", sort},
    {"string", to_string},
    {"sum", sum},
    {"title", of_text<title_words>},
    {"tojson", to_json},
    {"trim", trim},
    {"truncate", truncate},
    {"unique", unique},
    {"upper", of_text<upper>},
    {"wordcount", word_count},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

bool is_unfollowed_filter(std::string_view name) {
  static const std::set<std::string_view> names = {"filesizeformat", "groupby",   "pprint",
                                                   "random",         "striptags", "urlencode",
                                                   "urlize",         "wordwrap",  "xmlattr"};
  return names.contains(name);
}

}  // namespace kvcomm::jinja
